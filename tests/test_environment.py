"""One list of dependencies: whatever else names packages must agree with pyproject.toml."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["optional-dependencies"]


def requirements(lines):
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


RUNTIME = requirements(PROJECT["dependencies"])
EVERYTHING = RUNTIME | requirements(EXTRAS["course"]) | requirements(EXTRAS["test"])


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


# --- environment.yml ---------------------------------------------------------------------------------------


def test_conda_environment_has_a_name_and_one_pip_section():
    assert set(CONDA) == {"name", "channels", "dependencies"}
    assert CONDA["name"] == "minit2v"
    assert CONDA["channels"] == ["conda-forge"]
    assert [list(entry) for entry in CONDA["dependencies"] if isinstance(entry, dict)] == [["pip"]]


def test_conda_specs_parse_strictly_and_are_python_and_pip_alone():
    specs = [MatchSpec(entry, strict=True) for entry in CONDA["dependencies"] if isinstance(entry, str)]
    assert [spec.name.normalized for spec in specs] == ["python", "pip"]


def test_a_wrong_conda_spec_would_be_noticed():
    with pytest.raises(Exception, match=r"(?i)invalid|parse|version"):
        MatchSpec("python >=3.11,<=>3.15", strict=True)


def test_conda_python_range_is_that_of_pyproject_and_of_the_bootstrap(course):
    python = MatchSpec(CONDA["dependencies"][0], strict=True)
    assert set(str(python.version).split(",")) == set(PROJECT["requires-python"].split(","))
    lowest, above = (tuple(map(int, bound.lstrip("<>=").split("."))) for bound in
                     sorted(PROJECT["requires-python"].split(","), reverse=True))  # fmt: skip
    assert (lowest, (above[0], above[1] - 1)) == (course.OLDEST, course.NEWEST)


def test_conda_installs_the_project_with_extras_that_exist():
    lines = CONDA["dependencies"][-1]["pip"]
    assert len(lines) == 1
    match = re.fullmatch(r"-e \.\[(.+)\]", lines[0])
    assert match and set(match[1].split(",")) == set(EXTRAS)


# --- pyproject.toml, constraints.txt, course.py -------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["jupyterlab", "torch", "einops", "ipywidgets", "matplotlib", "numpy", "nbval", "imageio"]
)
def test_what_the_course_promises_is_in_pyproject(name):
    assert name in RUNTIME | requirements(EXTRAS["course"])


def test_bootstrap_extras_exist(course):
    assert {extra for extras in course.EXTRAS.values() for extra in extras} <= set(EXTRAS)


def test_constraints_pin_everything_named_and_stay_within_its_ranges():
    pinned = {canonicalize_name(pin.name): pin for pin in pins()}
    assert set(EVERYTHING) <= set(pinned)
    for name, wanted in EVERYTHING.items():
        version = str(pinned[name].specifier).removeprefix("==").replace(".*", ".0")
        assert version in wanted.specifier, f"{pinned[name]} is outside of {wanted}"


def test_constraints_are_exact_and_hold_no_address():
    for pin in pins():
        assert pin.url is None and not pin.extras
        assert [part.operator for part in pin.specifier] == ["=="], str(pin)
    files = ["pyproject.toml", "constraints.txt", "environment.yml"]
    assert not [name for name in files if "://" in (ROOT / name).read_text(encoding="utf-8")]


def test_the_package_imports_only_what_it_declares():
    """Third-party imports anywhere in minit2v/ belong to the runtime list or, for notebooks, to `course`."""
    declared = set(RUNTIME) | set(requirements(EXTRAS["course"])) | {"ipython"}  # ipykernel brings it
    providers = metadata.packages_distributions()
    missing = set()
    for path in (ROOT / "minit2v").rglob("*.py"):
        for module in imported_modules(path.read_text(encoding="utf-8")):
            if module not in sys.stdlib_module_names and module != "minit2v":
                names = {canonicalize_name(name) for name in providers.get(module, [module])}
                if not names & declared:
                    missing.add(f"{path.name}: {module}")
    assert not missing


def imported_modules(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


# --- the package and the repository -------------------------------------------------------------------------


def test_importing_the_package_is_quick():
    """Neither torch nor matplotlib is imported by `import minit2v`, nor by asking what is in it."""
    code = "import sys, minit2v; dir(minit2v); print({'torch', 'matplotlib', 'numpy'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.stdout.strip() == "set()"


def test_the_package_has_a_version_and_names_what_it_lacks():
    import minit2v

    assert re.fullmatch(r"\d+\.\d+\.\d+", minit2v.__version__)
    assert {"TextToVideo", "Clip"} <= set(dir(minit2v))
    with pytest.raises(AttributeError, match="'Film'"):
        minit2v.Film  # noqa: B018


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git clone")
@pytest.mark.parametrize(
    "path, ignored",
    [
        ("minit2v/checkpoints/sora.safetensors", False),
        ("minit2v/checkpoints/sora.json", False),
        ("notebooks/01_factory.ipynb", False),
        ("constraints.txt", False),
        (".venv/bin/python", True),
        ("runs/sora/log.jsonl", True),
        ("outputs/first_clip.mp4", True),
        ("minit2v/__pycache__/dit.pyc", True),
        ("notebooks/.ipynb_checkpoints/x.ipynb", True),
        ("minit2v.egg-info/PKG-INFO", True),
    ],
)
def test_git_ignores_what_runs_leave_behind_and_keeps_the_weights(path, ignored):
    code = subprocess.run(["git", "check-ignore", "--quiet", "--no-index", path], cwd=ROOT).returncode
    assert code == (0 if ignored else 1)


@pytest.mark.skipif(os.name == "nt", reason="file modes and bash")
def test_continuous_integration_runs_the_test_command():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").rstrip().endswith('python3 course.py test "$@"')
    assert subprocess.run(["bash", "-n", script]).returncode == 0
