"""course.py with stand-in environments: nothing is installed, and no network is needed."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "course.py"
COURSE, TEST = ["course"], ["course", "test"]


def raising(error):
    """A function that raises `error`, whatever it is called with."""

    def function(*_, **__):
        raise error

    return function


@pytest.fixture
def clone(tmp_path):
    """A folder that looks like a clone of the repository, without an environment."""
    root = tmp_path / "a clone"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\n")
    (root / "constraints.txt").write_text("torch==2.13.*\n")
    return root


@pytest.fixture
def installs(course, monkeypatch):
    """In place of an installation: a real environment with hollow packages. Lists the calls."""
    calls = []

    def install(root, extras, cpu_index):
        calls.append((extras, cpu_index))
        for name in ("pip", "torch", "minit2v"):
            package(root, name).mkdir(exist_ok=True)

    def build(path):
        course.remove(path)
        venv.create(path, symlinks=os.name != "nt")

    monkeypatch.setattr(course, "build", build)
    monkeypatch.setattr(course, "install", install)
    return calls


@pytest.fixture
def ready(course, clone, installs):
    """A clone that has been set up for the notebooks."""
    course.set_up(clone, COURSE)
    assert course.diagnose(clone, COURSE) == ("keep", "")
    installs.clear()
    return clone


@pytest.fixture
def started(course, monkeypatch):
    """The programs that course.py would start, as lists of words; each answers as `generate` does."""
    commands = []
    seen = {"subject": "ball", "motions": ["right", "up"], "x": [1.5], "size": None, "pillar": False}
    answer = {"prompt": "a ball", "oracle": seen}

    def start(command, folder=None, keep_output=False):
        commands.append([str(word) for word in command])
        return 0, json.dumps(answer) if keep_output else None

    monkeypatch.setattr(course, "start", start)
    return commands


def package(root, name):
    return next((root / ".venv").rglob("site-packages")) / name


def edit_stamp(course, root, **changes):
    path = root / ".venv" / course.STAMP
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# --- what is wrong with an environment ----------------------------------------------------------------------


def test_a_fresh_clone_is_set_up_once(course, clone, installs, capsys):
    assert course.diagnose(clone, COURSE)[0] == "build"
    first, second = course.set_up(clone, COURSE), course.set_up(clone, COURSE)
    assert first == second and first.exists()
    assert installs == [(COURSE, None)]
    assert capsys.readouterr().out.count("\n") == 1


def test_a_second_start_takes_a_moment(course, ready):
    begin = time.perf_counter()
    course.set_up(ready, COURSE)
    assert time.perf_counter() - begin < 2


def spoil_no_stamp(course, root):
    (root / ".venv" / course.STAMP).unlink()


def spoil_cut_stamp(course, root):
    path = root / ".venv" / course.STAMP
    path.write_text(path.read_text()[:-9])


def spoil_foreign_stamp(course, root):
    (root / ".venv" / course.STAMP).write_text("[]")


def spoil_python_gone(course, root):
    course.python_of(root / ".venv").unlink()


def spoil_python_garbage(course, root):
    python = course.python_of(root / ".venv")
    python.unlink()
    python.write_bytes(b"not a program")
    python.chmod(0o755)


def spoil_python_other(course, root):
    edit_stamp(course, root, python="3.10")


def spoil_package_gone(course, root):
    package(root, "torch").rmdir()


def spoil_file(course, root):
    shutil.rmtree(root / ".venv")
    (root / ".venv").write_text("")


SPOILS = {
    spoil_no_stamp: "half made",
    spoil_cut_stamp: "half made",
    spoil_foreign_stamp: "half made",
    spoil_python_gone: "does not start",
    spoil_python_garbage: "does not start",
    spoil_python_other: "its Python was 3.10 and is now 3.",
    spoil_package_gone: "packages are missing",
    spoil_file: "half made",
}


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_a_broken_environment_is_made_anew_and_told_why_in_one_line(course, ready, installs, capsys, spoil):
    capsys.readouterr()
    spoil(course, ready)
    assert course.diagnose(ready, COURSE)[0] == "build"
    course.set_up(ready, COURSE)
    said = capsys.readouterr().out
    assert SPOILS[spoil] in said and said.count("\n") == 1
    assert installs == [(COURSE, None)]
    assert course.diagnose(ready, COURSE) == ("keep", "")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_an_environment_that_is_a_dead_link_is_made_anew(course, ready):
    shutil.rmtree(ready / ".venv")
    (ready / ".venv").symlink_to(ready / "nowhere")
    course.set_up(ready, COURSE)
    assert course.diagnose(ready, COURSE) == ("keep", "")


def test_a_moved_folder_is_noticed(course, ready):
    there = ready.rename(ready.with_name("elsewhere"))
    action, reason = course.diagnose(there, COURSE)
    assert action == "build" and "moved" in reason


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_list_of_packages_is_installed_on_top(course, ready, name):
    with open(ready / name, "a") as file:
        file.write("# changed\n")
    action, reason = course.diagnose(ready, COURSE)
    assert action == "install" and "changed" in reason


def test_windows_line_ends_are_no_change(course, ready):
    for name in ("pyproject.toml", "constraints.txt"):
        (ready / name).write_bytes((ready / name).read_bytes().replace(b"\n", b"\r\n"))
    assert course.diagnose(ready, COURSE) == ("keep", "")


def test_the_test_tools_are_added_and_stay(course, ready, installs):
    assert course.diagnose(ready, TEST)[0] == "install"
    course.set_up(ready, TEST)
    assert installs == [(TEST, None)]
    assert course.diagnose(ready, COURSE) == course.diagnose(ready, TEST) == ("keep", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), None])
@pytest.mark.parametrize("before", ["nothing", "an older environment"])
def test_an_interrupted_set_up_never_counts_as_good(course, clone, installs, monkeypatch, error, before):
    if before != "nothing":
        course.set_up(clone, COURSE)
    error = error or course.Stop("installing failed")
    monkeypatch.setattr(course, "install", raising(error))
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        course.set_up(clone, TEST)
    assert course.diagnose(clone, COURSE)[0] == "build"


def test_an_environment_can_be_made_anew_from_within_itself(course, ready):
    """As after `source .venv/bin/activate`: the running Python is the one that is removed."""
    code = f"import pathlib, sys, venv; sys.path.insert(0, {str(SOURCE.parent)!r}); import course\n"
    code += "venv.EnvBuilder._setup_pip = lambda *_: None  # it takes seconds\n"
    code += f"course.build(pathlib.Path({str(ready / '.venv')!r}))"
    subprocess.run([course.python_of(ready / ".venv"), "-c", code], check=True)
    assert not package(ready, "minit2v").exists()
    assert course.probe(ready / ".venv") == (".".join(map(str, sys.version_info[:2])), False)


@pytest.mark.parametrize("error", [subprocess.CalledProcessError(1, "ensurepip"), ImportError("venv")])
def test_a_python_without_venv_is_told_what_to_install(course, clone, monkeypatch, error):
    monkeypatch.setattr(venv.EnvBuilder, "create", raising(error))
    with pytest.raises(course.Stop, match="apt install python3-venv"):
        course.build(clone / ".venv")


def test_what_cannot_be_removed_is_said(course, ready, monkeypatch):
    monkeypatch.setattr(course.shutil, "rmtree", raising(PermissionError(13, "denied")))
    with pytest.raises(course.Stop, match=r"cannot remove \.venv \(denied\)"):
        course.remove(ready / ".venv")


# --- installing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own_places", [False, True])
@pytest.mark.parametrize("uv, uv_works", [(False, False), (True, True), (True, False)])
def test_uv_is_used_if_it_is_there_and_pip_takes_over(course, clone, monkeypatch, uv, uv_works, own_places):
    tools = []

    def start(command, folder=None, keep_output=False):
        tools.append("uv" if command[0] == "uv" else "pip")
        assert folder == clone and ".[course,test]" in command and "constraints.txt" in command
        return int(tools[-1] == "uv" and not uv_works), None

    monkeypatch.setattr(course, "start", start)
    monkeypatch.setattr(course.shutil, "which", lambda name: "uv" if uv else None)
    monkeypatch.setattr(course, "pip_has_its_own_places", lambda _: own_places)
    course.install(clone, TEST, None)
    assert tools == (["pip"] if not uv or own_places else ["uv"] if uv_works else ["uv", "pip"])


def test_pip_that_fails_stops_the_set_up(course, clone, monkeypatch):
    monkeypatch.setattr(course, "start", lambda *_: (1, None))
    monkeypatch.setattr(course.shutil, "which", lambda name: None)
    with pytest.raises(course.Stop, match="check the network"):
        course.install(clone, COURSE, None)


@pytest.mark.parametrize("address", [None, "https://example.org/cpu"])
def test_the_index_of_cpu_builds_is_asked_only_when_told_to(course, clone, started, monkeypatch, address):
    monkeypatch.setattr(course.shutil, "which", lambda name: None)
    course.install(clone, COURSE, address)
    (command,) = started
    assert ("--extra-index-url" in command, address in command) == (bool(address), bool(address))
    assert {"--no-compile", "--editable", ".[course]"} <= set(command)


@pytest.mark.parametrize(
    "config, own", [("", False), ("global.cert='x'\n", False), ("global.find-links='x'\n", True),
                    (":env:.INDEX_URL='x'\n", True), ("global.extra-index-url='x'\n", True)],
)  # fmt: skip
def test_places_that_only_pip_knows(course, monkeypatch, config, own):
    answer = subprocess.CompletedProcess([], 0, config, "")
    monkeypatch.setattr(course.subprocess, "run", lambda *_, **__: answer)
    assert course.pip_has_its_own_places("python") is own


# --- the command line ---------------------------------------------------------------------------------------


@pytest.fixture
def no_set_up(course, monkeypatch):
    asked = []
    monkeypatch.setattr(course, "set_up", lambda root, *rest: asked.append(rest) or "PYTHON")
    return asked


def test_test_lints_then_tests_and_passes_arguments_on(course, started, no_set_up):
    assert course.main(["test", "-k", "shape and not slow", "-x", "tests/test_vae.py"]) == 0
    assert started[0] == ["PYTHON", "-m", "ruff", "check", "."]
    assert started[1][:3] == ["PYTHON", "-m", "pytest"] and "loadfile" in started[1]
    assert {"--nbval-lax", "--nbval-current-env"} < set(started[1])
    assert started[1][-4:] == ["-k", "shape and not slow", "-x", "tests/test_vae.py"]
    assert no_set_up == [(TEST, None)]


@pytest.mark.parametrize("lint, tests, code", [(0, 0, 0), (1, 0, 1), (0, 5, 5), (1, 5, 5)])
def test_the_exit_code_is_that_of_the_tests_or_the_linter(course, no_set_up, monkeypatch, lint, tests, code):
    monkeypatch.setattr(course, "start", lambda command: (lint if "ruff" in command else tests, None))
    assert course.main(["test"]) == code


def test_lab_opens_the_notebooks(course, started, no_set_up):
    assert course.main(["lab", "--no-browser"]) == 0
    (command,) = started
    assert command[:3] == ["PYTHON", "-m", "jupyterlab"] and command[-1] == "--no-browser"
    assert any(word.endswith("/lab/tree/notebooks") for word in command)
    assert no_set_up == [(COURSE, None)]


@pytest.mark.parametrize("rest", [[], ["a blue star spins", "--seed", "3"]])
def test_run_makes_a_clip_and_says_what_is_in_it(course, started, no_set_up, monkeypatch, tmp_path, capsys, rest):
    monkeypatch.setattr(course, "ROOT", tmp_path)
    assert course.main(["run", *rest]) == 0
    assert (tmp_path / "outputs").is_dir()
    (command,) = started
    assert command[:4] == ["PYTHON", "-m", "minit2v", "generate"]
    assert command[4 : 4 + len(rest or [1])] == (rest or [course.PROMPT])
    said = capsys.readouterr().out
    assert "the judge sees  ball, right then up\n" in said
    assert "first_clip.mp4" in said and "first_clip.png" in said and "course.py lab" in said


def test_refresh_runs_all_lessons_then_the_solutions_and_writes_the_glossary_last(course, no_set_up, started):
    assert course.main(["refresh"]) == 0
    steps = ["minit2v." + name for name in ("lab.refresh", "exercises.generate", "lab.contents", "lab.glossary")]
    assert [words[2] for words in started] == steps
    lessons = [Path(word).name for word in started[0][3:]]
    assert lessons == sorted(path.name for path in (SOURCE.parent / "notebooks").glob("*.ipynb"))
    started.clear()
    assert course.main(["refresh", "notebooks/01_factory.ipynb"]) == 0
    assert [words[2:] for words in started] == [["minit2v.lab.refresh", "notebooks/01_factory.ipynb"]]


def test_refresh_stops_at_the_first_that_fails(course, no_set_up, monkeypatch):
    codes = iter([2, 0, 0])
    monkeypatch.setattr(course, "start", lambda *_, **__: (next(codes), None))
    assert course.main(["refresh"]) == 2 and next(codes) == 0


def test_run_passes_the_exit_code_on_and_stays_silent(course, no_set_up, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "start", lambda *_, **__: (2, ""))
    assert course.main(["run", "a blue xylophone"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "words, address, rest",
    [
        (["run", "--cpu-index"], "https://download.pytorch.org/whl/cpu", []),
        (["run", "--cpu-index", "a ball"], "https://download.pytorch.org/whl/cpu", ["a ball"]),
        (["--cpu-index=https://example.org/x", "run"], "https://example.org/x", []),
        (["run", "a ball", "--cpu"], None, ["a ball", "--cpu"]),
    ],
)
def test_the_option_for_cpu_builds(course, words, address, rest):
    options, further = course.parse(words)
    assert (options.cpu_index, further) == (address, rest)


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 13)])
def test_an_old_python_gets_one_line(course, monkeypatch, capsys, version):
    monkeypatch.setattr(course.sys, "version_info", version)
    assert course.main(["run"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "needs 3.11 or newer" in said.err


def test_a_python_too_new_for_torch_leaves_everything_in_place(course, ready, monkeypatch):
    monkeypatch.undo()  # the real `build`
    monkeypatch.setattr(course.sys, "version_info", (3, 15, 0))
    with pytest.raises(course.Stop, match=r"Python 3\.11 to 3\.14"):
        course.build(ready / ".venv")
    assert course.python_of(ready / ".venv").exists()


@pytest.mark.parametrize(
    "error, code",
    [(OSError(28, "No space left on device"), 1), (KeyboardInterrupt(), 130)],
    ids=["disk", "ctrl-c"],
)
def test_errors_are_one_line(course, monkeypatch, capsys, error, code):
    monkeypatch.setattr(course, "set_up", raising(error))
    assert course.main(["run"]) == code
    assert capsys.readouterr().err.count("\n") == 1


def test_help_and_a_wrong_command():
    help_ = subprocess.run([sys.executable, SOURCE, "--help"], capture_output=True, text=True)
    assert help_.returncode == 0
    assert all(f"course.py {command}" in help_.stdout for command in ("run", "test", "lab", "exercises", "refresh"))
    wrong = subprocess.run([sys.executable, SOURCE, "rnu"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr and "'rnu'" in wrong.stderr


def test_the_bootstrap_needs_the_standard_library_alone_and_an_old_python_can_read_it():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names if isinstance(node, ast.Import)}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert names and names <= sys.stdlib_module_names


# --- starting programs --------------------------------------------------------------------------------------


def test_start_returns_exit_code_and_output(course):
    speaks = "print('σ × 2'); raise SystemExit(7)"
    code, output = course.start([sys.executable, "-c", speaks], keep_output=True)
    assert (code, output.strip()) == (7, "σ × 2")
    assert course.start([sys.executable, "-c", ""]) == (0, None)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_program_gives_the_code_that_shells_give(course):
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert course.start([sys.executable, "-c", killed])[0] == 128 + signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_waits_for_the_program_and_ends_with_one_line(tmp_path):
    """The program gets the Ctrl-C too, and may take its time over it."""
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import time\n"
        "try:\n    print('ready', flush=True); time.sleep(30)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.5); print('tidied up', flush=True); exit(1)\n"
    )
    driver = (
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import course\n"
        f"course.set_up = lambda *_: course.start([sys.executable, {str(slow)!r}])\n"
        "sys.exit(course.main(['run']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", driver], stdout=-1, stderr=-1, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "tidied up\n", "course.py: stopped\n")
