"""Runs a job in a process of its own, with a limit of time and of memory, so that nothing here can be lost.

On Linux the process is a fork: it has everything that the notebook has, at once, and what it changes is its own copy.
Threads do not survive a fork, so torch gets one thread there. Elsewhere (forking is unsafe on macOS, and unknown on
Windows) it is a fresh Python that gets the function by `carry`; loading torch takes it seconds, so the next one is
started while the last one's verdict is being read. Memory is bounded on Linux only.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass

from minit2v.errors import UserError
from minit2v.exercises import guest

METHOD = "fork" if sys.platform.startswith("linux") else "fresh"
KEPT = 2000  # characters of what is printed
START = 120.0  # seconds that a fresh process may take to load


@dataclass(frozen=True)
class Limits:
    """What a guest may use."""

    seconds: float = 5.0  # for all of its answers together
    memory: int | None = 2**30  # bytes, on top of what the notebook has; None: no limit
    writable: str | None = None  # a folder in which it may write files


class TooSlow(Exception):
    """The time was up; the guest has been ended."""


class Died(Exception):
    """The guest ended without an answer: an exit code, or minus the number of a signal."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        with suppress(ValueError):
            return signal.Signals(-self.code).name
        return f"signal {-self.code}"


class Guest:
    """A running job. Use it in a `with`: at its end the process is gone, whatever it was doing."""

    def __init__(self, job, limits: Limits | None = None, method: str | None = None):
        self.limits, self.inbox, self._heard = limits or Limits(), queue.SimpleQueue(), []
        if (method or METHOD) == "fork":
            self._fork(job)
        else:
            self._take_spare(job)
        threading.Thread(target=self._listen, daemon=True).start()
        self._ear = threading.Thread(target=self._overhear, daemon=True)
        self._ear.start()
        self._left = START
        if (said := self._next()) != guest.READY:
            self.end()
            raise UserError(f"the function cannot be taken to a process of its own ({said.decode()})")
        self._left = self.limits.seconds

    def ask(self, message: bytes) -> bytes:
        """Its answer. Raises `TooSlow` and `Died`."""
        with suppress(BrokenPipeError):
            guest.write_message(self._to, message)
        return self._next()

    def allow(self, seconds: float) -> None:
        """From now on, it has so much time."""
        self._left = seconds

    def _next(self) -> bytes:
        began = time.monotonic()  # only the time that it takes counts, not that of the judge
        try:
            message = self.inbox.get(timeout=max(0.0, self._left))
        except queue.Empty:
            self.end()
            raise TooSlow from None
        self._left -= time.monotonic() - began
        if message is None:
            raise Died(self.end(dying=True))
        return message

    @property
    def printed(self) -> str:
        """What it has printed so far, the first `KEPT` characters."""
        self._ear.join(0.05)
        return b"".join(self._heard).decode("utf-8", "replace")[:KEPT]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self, dying: bool = False) -> int:
        """Ends the process, if it runs still; its exit code. dying: it is about to end by itself."""
        if self._code is None:
            self._code = self._end(dying)
            with suppress(OSError):
                os.close(self._to)
        return self._code

    # ---- listening ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        file = self._from
        with suppress(OSError):
            while (message := guest.read_message(file)) is not None:
                self.inbox.put(message)
        self.inbox.put(None)
        with suppress(OSError):
            os.close(file)

    def _overhear(self) -> None:
        file, room = self._said, 4 * KEPT
        with suppress(OSError):
            while part := os.read(file, 2**16):  # read on to the end, lest it waits for ever with a full pipe
                if room > 0:
                    self._heard.append(part[:room])
                    room -= len(part)
        with suppress(OSError):
            os.close(file)

    # ---- two ways to begin ----------------------------------------------------------------------------------

    def _fork(self, job) -> None:
        (its_in, self._to), (self._from, its_out), (self._said, its_said) = os.pipe(), os.pipe(), os.pipe()
        mine = (self._to, self._from, self._said)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads; see above
            pid = os.fork()
        if pid == 0:
            _live(job, self.limits, its_in, its_out, its_said, mine)
        for file in (its_in, its_out, its_said):
            os.close(file)
        self._code = None

        self._end = lambda dying: _bury(pid, dying)

    def _take_spare(self, job) -> None:
        process = spare()
        self._to, self._from, self._said = (os.dup(p.fileno()) for p in (process.stdin, process.stdout, process.stderr))
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        first = pickle.dumps((job, self.limits.memory, self.limits.writable))
        with suppress(BrokenPipeError):
            guest.write_message(self._to, first)
        self._code = None

        def end(dying: bool) -> int:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5 if dying else 0)
            process.kill()
            process.wait()
            prepare()
            return process.returncode

        self._end = end


def _bury(pid: int, dying: bool) -> int:
    """Ends a forked process and all that it started; its exit code."""
    try:
        for _ in range(50 if dying else 0):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        for kill in (os.killpg, os.kill):  # it leads a group of its own, once it has got so far
            with suppress(OSError):
                kill(pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # somebody else has waited for it
        return -signal.SIGKILL


def _live(job, limits, its_in, its_out, its_said, not_its) -> None:
    """The whole life of a forked process. It never returns: what lies above on the stack belongs to the notebook."""
    code = 1
    try:
        os.setsid()
        for file in not_its:
            os.close(file)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        guest.redirect(its_said)
        with suppress(OSError):
            os.chdir(limits.writable or "/")
        guest.settle(limits.memory, limits.writable)
        guest.write_message(its_out, guest.READY)
        job.serve(lambda: guest.read_message(its_in), lambda message: guest.write_message(its_out, message))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


# ---- fresh processes, loaded in advance --------------------------------------------------------------------------

_waiting: list[subprocess.Popen] = []


def prepare() -> None:
    """Starts loading a fresh process, unless one is waiting already."""
    if not _waiting:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        command = [sys.executable, "-c", "from minit2v.exercises import guest; guest.main()"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        _waiting.append(subprocess.Popen(command, env=environment, **pipes))


def spare() -> subprocess.Popen:
    """A fresh process, loaded or loading."""
    while True:
        prepare()
        process = _waiting.pop()
        if process.poll() is None:
            return process
