"""Inside the process that runs a learner's function: it is called, and what became of it is told.

The process is a guest in the house: it may compute, print and raise as it likes. Files, other programs and the network
are none of its business (a guard says so, kindly; it stops accidents, not burglars), memory is bounded, and its end,
whatever it is, ends nothing else. `minit2v.exercises.sandbox` starts it, and ends it when its time is up.
"""

from __future__ import annotations

import faulthandler
import linecache
import os
import pickle
import random
import struct
import sys
from contextlib import suppress

import numpy as np
import torch

from minit2v.exercises import carry, wire

LENGTH = struct.Struct(">Q")  # before every message, its size
READY = b"ready"  # the first message of a process
FORBIDDEN = {
    "os.system": "start programs", "subprocess.Popen": "start programs", "os.exec": "start programs",
    "os.posix_spawn": "start programs", "os.startfile": "start programs", "os.fork": "start processes",
    "os.forkpty": "start processes", "os.kill": "end processes", "os.killpg": "end processes",
    "os.remove": "delete files", "os.rmdir": "delete folders", "shutil.rmtree": "delete folders",
    "os.rename": "move files", "os.truncate": "cut files", "os.link": "make links", "os.symlink": "make links",
    "socket.connect": "use the network", "socket.bind": "use the network",
}  # fmt: skip


# ---- one function, called again and again -----------------------------------------------------------------------


class Call:
    """A function that is called for every message that comes in."""

    def __init__(self, function):
        self.function = function

    def __getstate__(self):
        return carry.pack(self.function)

    def __setstate__(self, state):
        self.function = carry.unpack(state)

    def serve(self, receive, send) -> None:
        while (message := receive()) is not None:
            send(wire.pack(answer(self.function, wire.unpack(message, trusted=True))))


def answer(function, arguments) -> dict:
    """Calls the function. {"value", "changed": numbers of the arguments that are no longer what they were, "dice":
    whether it drew from or set a global random generator, "logs": what was asked of arguments that keep a log} or
    {"raised": …}, as `raised` tells."""
    before, dice = [wire.pack(each) for each in arguments], states()
    try:
        value = function(*arguments)
        told = {"value": wire.unpack(wire.pack(value))}
    except BaseException as error:  # a sys.exit, too, is an answer
        return raised(error, function)
    told["logs"] = {i: list(each.asked) for i, each in enumerate(arguments) if hasattr(each, "asked")}
    pairs = enumerate(zip(arguments, before, strict=True))
    told["changed"] = [i for i, (each, was) in pairs if not callable(each) and wire.pack(each) != was]
    told["dice"] = states() != dice
    return told


def states() -> tuple:
    """Where the three global random generators stand."""
    numbers = np.random.get_state()
    return bytes(torch.get_rng_state().numpy()), numbers[1].tobytes(), numbers[2], random.getstate()


def raised(error: BaseException, function) -> dict:
    """What went wrong, and in which line of the learner's own code."""
    try:
        message = str(error)[:400]
    except Exception:
        message = "(its message cannot be printed)"
    home = getattr(getattr(function, "__code__", None), "co_filename", None)
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == home:
            line = step.tb_lineno
        step = step.tb_next
    text = linecache.getline(home, line).strip() if line else ""
    lost = isinstance(error, MemoryError) or "allocate memory" in message or "not enough memory" in message
    return {"raised": type(error).__name__, "message": message, "line": text[:120], "memory": lost}


# ---- the room ---------------------------------------------------------------------------------------------------


def settle(memory: int | None, writable: str | None = None) -> None:
    """One thread, bounded memory, guarded files. memory: bytes on top of what the process has now."""
    faulthandler.disable()  # the last words of a crash would land on the notebook's own terminal
    torch.set_num_threads(1)  # threads do not survive a fork, and waiting for them would last for ever
    sys.setrecursionlimit(min(sys.getrecursionlimit(), 3000))
    _bound(memory)
    sys.addaudithook(guard(writable))


def _bound(memory: int | None) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such thing
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory and sys.platform.startswith("linux"):  # elsewhere the limit on addresses is not kept, or counts otherwise
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory,) * 2)


def guard(writable: str | None):
    """An audit hook (PEP 578): what `FORBIDDEN` names raises, and so does writing outside of the folder `writable`."""
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    folder = os.path.realpath(writable) + os.sep if writable else None

    def inside(path) -> bool:
        return folder is not None and os.path.realpath(os.fsdecode(path)).startswith(folder)

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            harmless = isinstance(path, int) or os.fsdecode(path) == os.devnull
            if isinstance(flags, int) and flags & writing and not harmless and not inside(path):
                raise PermissionError("while it is checked, your code may not write files")
        elif event in FORBIDDEN and not (arguments and isinstance(arguments[0], str | bytes) and inside(arguments[0])):
            raise PermissionError(f"while it is checked, your code may not {FORBIDDEN[event]}")

    return hook


# ---- messages ---------------------------------------------------------------------------------------------------


def read_message(file: int) -> bytes | None:
    """The next message from a pipe; None at its end."""
    head = _read(file, LENGTH.size)
    return None if head is None else _read(file, LENGTH.unpack(head)[0])


def _read(file: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(file, min(size, 2**20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_message(file: int, message: bytes) -> None:
    """One message into a pipe."""
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        rest = rest[os.write(file, rest) :]


def redirect(said: int) -> None:
    """From now on, whatever is printed goes into the pipe `said`; nothing can be typed in."""
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for number in (1, 2):
        os.dup2(said, number)
    sys.stdin = open(os.devnull)  # noqa: SIM115 (for as long as the process lives)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115


def main() -> None:
    """A fresh process: the job comes as the first message on stdin, answers leave through what was stdout."""
    source, target = os.dup(0), os.dup(1)
    redirect(os.dup(2))
    torch.zeros(2).softmax(0)  # everything is loaded before the job comes
    first = read_message(source)
    if first is None:
        return
    try:
        job, memory, writable = pickle.loads(first)
    except Exception as error:  # it needs something that is not here, such as a module beside the notebook
        return write_message(target, f"{type(error).__name__}: {error}".encode())
    settle(memory, writable)
    write_message(target, READY)
    job.serve(lambda: read_message(source), lambda message: write_message(target, message))
