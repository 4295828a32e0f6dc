"""Sets the course up and starts it. Needs nothing but Python 3.11 to 3.14 and a network connection.

    python3 course.py run [PROMPT]       make a clip from a prompt, and show what is in it
    python3 course.py test [ARGUMENT..]  check the code, run the tests and the notebooks
    python3 course.py lab [ARGUMENT..]   open the notebooks in the browser
    python3 course.py exercises [ARG..]  write exercises/ anew from solutions/
    python3 course.py refresh [FILE..]   run the notebooks anew and store what they show

The first start makes the folder .venv and installs into it (about 1.5 GB, two to three minutes); after
that a start takes seconds. Further arguments go to `minit2v generate`, pytest, JupyterLab and so on.
"""

# Standard library only, and no syntax newer than Python 3.6: an old Python must get as far as the message.
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PROMPT = "a large red ball moves right"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST, NEWEST = (3, 11), (3, 14)  # what the versions in constraints.txt are built for
THIS = sys.version.split()[0]
EXTRAS = {"test": ["course", "test"]}  # of pyproject.toml; the other commands need "course" alone
STAMP = "minit2v-stamp.json"  # in .venv, written last: an environment without it is half made
PROBE = """
import sys, importlib.util
print("%d.%d" % sys.version_info[:2], all(map(importlib.util.find_spec, ["pip", "torch", "minit2v"])))
"""


class Stop(Exception):
    """Ends the program with one line that says what is wrong and what to do."""


def main(arguments=None):
    try:
        if sys.version_info[:2] < OLDEST:
            raise Stop(f"this is Python {THIS}, and the course needs 3.11 or newer: see python.org/downloads")
        options, rest = parse(sys.argv[1:] if arguments is None else arguments)
        python = set_up(ROOT, EXTRAS.get(options.command, ["course"]), options.cpu_index)
        return COMMANDS[options.command](python, rest)
    except (Stop, OSError) as error:
        print("course.py: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("course.py: stopped", file=sys.stderr)
        return 130


def parse(arguments):
    usage = "python3 course.py {run,test,lab,exercises,refresh} [--cpu-index[=URL]] [ARGUMENT ..]"
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(None, usage, __doc__, formatter_class=raw, allow_abbrev=False)
    parser.add_argument("command", choices=list(COMMANDS), help=argparse.SUPPRESS)
    cpu = "take PyTorch from its index of CPU builds: 200 MB, where Linux otherwise gets several GB for GPUs"
    parser.add_argument("--cpu-index", metavar="URL", help=cpu)
    # Written without "=", argparse would take the word that follows for the address.
    return parser.parse_known_args(f"{a}={CPU_INDEX}" if a == "--cpu-index" else a for a in arguments)


# --- the environment ---------------------------------------------------------------------------------------


def set_up(root, extras, cpu_index=None):
    """Makes, mends or just finds `root/.venv`, with the extras installed. Returns the path of its Python."""
    venv = root / ".venv"
    action, reason = diagnose(root, extras)
    if action != "keep":
        print(f"course.py: {reason}", flush=True)
        if action == "build":
            build(venv)
        remove(venv / STAMP)
        install(root, extras, cpu_index)
        stamp = {**inputs(root), "python": probe(venv)[0], "extras": extras}
        (venv / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    return python_of(venv)


def diagnose(root, extras):
    """What `root/.venv` needs, and why: ("keep" | "install" | "build", reason)."""
    venv, now = root / ".venv", inputs(root)
    if not os.path.lexists(venv):
        return "build", "setting up .venv (two to three minutes, this once)"
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        then = {key: stamp[key] for key in ("root", "files", "python", "extras")}
    except (OSError, ValueError, KeyError, TypeError):
        return "build", "making .venv anew: it is half made, or was not made by course.py"
    version, complete = probe(venv)
    if then["root"] != now["root"]:
        return "build", "making .venv anew: this folder was moved or copied"
    if version is None:
        return "build", "making .venv anew: its Python is missing or does not start"
    if then["python"] != version:
        return "build", f"making .venv anew: its Python was {then['python']} and is now {version}"
    if not complete:
        return "build", "making .venv anew: packages are missing from it"
    if then["files"] != now["files"]:
        return "install", "bringing .venv up to date: pyproject.toml or constraints.txt changed"
    if not set(extras) <= set(then["extras"]):
        return "install", "adding to .venv what the tests need"
    return "keep", ""


def inputs(root):
    """What an environment depends on: the folder it was made for, and the files that list its packages."""
    lists = b"".join((root / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return {"root": str(root), "files": hashlib.sha256(lists.replace(b"\r\n", b"\n")).hexdigest()}


def probe(venv):
    """(version, complete) as the environment's own Python tells them; (None, False) if it does not start."""
    command = [str(python_of(venv)), "-I", "-c", PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        version, complete = answer.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None, False
    return version, complete == "True"


def python_of(venv):
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build(venv):
    if sys.version_info[:2] > NEWEST:
        raise Stop(f"the course's PyTorch runs on Python 3.11 to 3.14, and this is {THIS}: use one of those")
    remove(venv / STAMP)  # first, so that an environment half removed counts as half made
    remove(venv)
    try:
        from venv import EnvBuilder  # some Linux systems ship it, or the pip it needs, separately

        EnvBuilder(symlinks=os.name != "nt", with_pip=True).create(venv)
    except (ImportError, subprocess.CalledProcessError):
        raise Stop("this Python cannot make .venv (on Debian and Ubuntu: apt install python3-venv)") from None


def remove(path):
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
    except OSError as error:
        message = f"cannot remove {path.name} ({error.strerror}): close what uses it, and start again"
        raise Stop(message) from None


def install(root, extras, cpu_index):
    python = python_of(root / ".venv")
    what = ["--editable", f".[{','.join(extras)}]", "--constraint", "constraints.txt"]
    what += ["--extra-index-url", cpu_index] if cpu_index else []
    what += [] if sys.stdout.isatty() else ["--quiet"]
    if shutil.which("uv") and not pip_has_its_own_places(python):
        # By itself, uv takes a package only from the first index that has it.
        uv = ["uv", "pip", "install", "--python", python, "--index-strategy", "unsafe-best-match"]
        if start([*uv, *what], root)[0] == 0:
            return
        print("course.py: uv did not manage; trying pip", flush=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]
    if start([*pip, *what], root)[0]:
        raise Stop("installing failed: see above, check the network connection and the disk, and start again")


def pip_has_its_own_places(python):
    """Whether pip is told where packages are on this machine. uv does not read that, and would miss them."""
    command = [str(python), "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True).stdout.lower().replace("_", "-")
    return any(name in told for name in ("index-url", "find-links", "no-index"))


# --- the commands ------------------------------------------------------------------------------------------


def run(python, rest):
    Path(ROOT, "outputs").mkdir(exist_ok=True)
    clip, sheet = Path("outputs", "first_clip.mp4"), Path("outputs", "first_clip.png")
    generate = [python, "-m", "minit2v", "generate", *(rest or [PROMPT]), "--json", "--out", clip, "--out", sheet]
    code, answer = start(generate, keep_output=True)
    if code == 0:
        facts = json.loads(answer)
        print(f"\n  prompt          {facts['prompt']}\n  the judge sees  {in_words(facts['oracle'])}")
        print(f"  the clip        {clip}\n  all its frames  {sheet}")
        print("\nOpen the course:  python3 course.py lab")
    return code


def test(python, rest):
    lint, _ = start([python, "-m", "ruff", "check", "."])
    # The folders stand in pyproject.toml (testpaths), so that a path among the arguments replaces them.
    notebooks = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300"]
    # One process per core, with one thread each: threads of several processes would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    workers = ["-n", min(4, os.cpu_count() or 1), "--dist", "loadfile"]
    code, _ = start([python, "-m", "pytest", *notebooks, *workers, *rest])
    return code or lint


def lab(python, rest):
    where = [f"--ServerApp.root_dir={ROOT}", "--LabApp.default_url=/lab/tree/notebooks"]
    return start([python, "-m", "jupyterlab", *where, *rest])[0]


def exercises(python, rest):
    return start([python, "-m", "minit2v.exercises.generate", *rest])[0]


def refresh(python, rest):
    if rest:
        return start([python, "-m", "minit2v.lab.refresh", *rest])[0]
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb"))
    # The glossary comes last: its links are numbers of lines.
    steps = [["lab.refresh", *lessons], ["exercises.generate", "--run"], ["lab.contents"], ["lab.glossary"]]
    codes = (start([python, "-m", f"minit2v.{module}", *words])[0] for module, *words in steps)
    return next(filter(None, codes), 0)


COMMANDS = {"run": run, "test": test, "lab": lab, "exercises": exercises, "refresh": refresh}



def start(command, folder=ROOT, keep_output=False):
    """Runs a program to its end. Returns its exit code and, with `keep_output`, what it wrote to stdout.

    Ctrl-C reaches the program as well, and it is waited for: JupyterLab asks back, pytest sums up.
    """
    command, environment = [str(part) for part in command], {**os.environ, "PYTHONUTF8": "1"}
    pipe = subprocess.PIPE if keep_output else None
    child = subprocess.Popen(command, cwd=str(folder), env=environment, stdout=pipe, encoding="utf-8")
    interrupted, output = False, None
    while child.returncode is None:
        try:
            output, _ = child.communicate()
        except KeyboardInterrupt:
            interrupted = True
    if interrupted and child.returncode:
        raise KeyboardInterrupt
    return (child.returncode if child.returncode >= 0 else 128 - child.returncode), output


def in_words(seen):
    """The judge's reading in one line: its words, not its numbers."""
    values = [seen] if isinstance(seen, str) else seen.values()
    lists = [[value] if isinstance(value, str) else value for value in values]
    lists = [words for words in lists if words and isinstance(words, list)]
    return ", ".join(" then ".join(words) for words in lists if all(isinstance(word, str) for word in words))


if __name__ == "__main__":
    sys.exit(main())
