"""Learner code is untrusted: whatever it does, there is a verdict in time, and nothing here is lost."""

import contextlib
import functools
import gc
import os
import pickle
import random
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from minit2v.errors import UserError
from minit2v.exercises import carry, check, hint, sandbox, wire
from minit2v.exercises.checking import judge

SECONDS = 1.0  # the time limit given; a verdict must come within 5 s, on a busy machine
linux = pytest.mark.skipif(sandbox.METHOD != "fork", reason="memory is bounded on Linux only")
VICTIM = {"list": [1, 2, 3]}


def right(x, kernel):
    """A right answer to 04.1."""
    return torch.cat([x.new_zeros(x.shape[0], kernel - 1, *x.shape[2:]), x], dim=1)


# ---- what learners, and their cats, can do ------------------------------------------------------------------------


def loops(x, kernel):
    while True:
        pass


def loops_and_catches_everything(x, kernel):
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(0.01)


def sleeps(x, kernel):
    time.sleep(10_000)


def ignores_signals(x, kernel):
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def hangs_inside_c(x, kernel):
    return re.match(r"(a+)+$", "a" * 64 + "b")


def prints_for_ever(x, kernel):
    while True:
        print("here I am" * 100)


def calls_itself(x, kernel):
    return calls_itself(x, kernel)


def asks_for_a_huge_tensor(x, kernel):
    return torch.zeros(10**7, 10**4)


def builds_a_huge_list(x, kernel):
    return [0] * 10**10


def grows_slowly(x, kernel):
    kept = []
    while True:
        kept.append(torch.ones(2**22))


def raises_what_cannot_be_printed(x, kernel):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no")

    raise Odd


def raises_keyboard_interrupt(x, kernel):
    raise KeyboardInterrupt


def exits(x, kernel):
    sys.exit("bye")


def exits_hard(x, kernel):
    os._exit(0)


def crashes(x, kernel):
    import ctypes

    ctypes.string_at(0)


def kills_the_notebook(x, kernel):
    os.kill(os.getppid(), 9)


def forks_for_ever(x, kernel):
    while True:
        os.fork()


def deletes_files(x, kernel):
    os.remove(VICTIM["path"])


def overwrites_files(x, kernel):
    with open(VICTIM["path"], "w") as file:
        file.write("gone")


def starts_programs(x, kernel):
    import subprocess

    return subprocess.run(["echo", "hello"])


def asks_the_user(x, kernel):
    return input("which frame? ")


def closes_everything(x, kernel):
    os.closerange(0, 200)
    return right(x, kernel)


def returns_code(x, kernel):
    class Bomb:
        def __reduce__(self):
            return os._exit, (1,)

    return Bomb()


def returns_too_much(x, kernel):
    return [torch.zeros(2**20)] * 50_000


def returns_itself(x, kernel):
    knot = []
    knot.append(knot)
    return knot


def returns_a_generator(x, kernel):
    return (frame for frame in x)


def changes_its_input(x, kernel):
    x[:] = 0
    return right(x, kernel)


def fakes_the_comparison(x, kernel):
    torch.allclose = torch.equal = lambda *_, **__: True
    torch.Tensor.abs = lambda self: torch.zeros_like(self)
    return torch.zeros(x.shape[0], x.shape[1] + kernel - 1, *x.shape[2:])


def changes_what_is_global(x, kernel):
    torch.manual_seed(7)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    np.random.seed(7)
    random.seed(7)
    VICTIM["list"].clear()
    gc.disable()
    return x


def leaves_a_thread(x, kernel):
    threading.Thread(target=loops, args=(x, kernel)).start()
    return x


HOSTILE = {
    loops: "still running", loops_and_catches_everything: "still running", sleeps: "still running",
    ignores_signals: "still running", hangs_inside_c: "still running", prints_for_ever: "still running",
    calls_itself: "RecursionError", raises_what_cannot_be_printed: "with Odd",
    raises_keyboard_interrupt: "with KeyboardInterrupt", exits: "with SystemExit: bye",
    exits_hard: "ended Python itself", crashes: "ended Python itself", kills_the_notebook: "may not end processes",
    forks_for_ever: "may not start processes", deletes_files: "may not delete files",
    overwrites_files: "may not write files", starts_programs: "may not start programs", asks_the_user: "EOFError",
    closes_everything: "ended Python itself", returns_code: "a Bomb", returns_too_much: "is a list",
    returns_itself: "is a list of 1", returns_a_generator: "a generator", changes_its_input: "in place",
    fakes_the_comparison: "do not stand",
    changes_what_is_global: "You add 0 frames", leaves_a_thread: "You add 0 frames",
}  # fmt: skip
HUNGRY = {asks_for_a_huge_tensor: "more memory", builds_a_huge_list: "more memory", grows_slowly: "more memory"}


@pytest.mark.parametrize("function", HOSTILE, ids=lambda function: function.__name__)
def test_hostile_code_gets_a_verdict_in_time(function, tmp_path):
    VICTIM["path"] = str(tmp_path / "notes.txt")
    (tmp_path / "notes.txt").write_text("mine")
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes(), torch.get_default_dtype()
    began = time.perf_counter()
    verdict = judge("04.1", function, seconds=SECONDS)
    assert time.perf_counter() - began < 5
    assert verdict.status == "wrong" and HOSTILE[function] in verdict.message, verdict.message
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes(), torch.get_default_dtype()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert VICTIM["list"] == [1, 2, 3] and torch.is_grad_enabled() and gc.isenabled()


@linux
@pytest.mark.parametrize("function", HUNGRY, ids=lambda function: function.__name__)
def test_hunger_is_bounded(function):
    verdict = judge("04.1", function, seconds=4, memory=2**28)
    assert HUNGRY[function] in verdict.message and "256 MB" in verdict.message


def test_after_all_of_that_a_right_answer_is_right_and_the_answer_comes_fast():
    judge("04.1", right)
    began = time.process_time(), time.perf_counter()
    assert judge("04.1", right).right
    assert time.perf_counter() - began[1] < 1
    assert not [thread for thread in threading.enumerate() if "Guest" in thread.name]


def test_threads_of_the_notebook_do_not_hold_the_check_up():
    """A forked process has none of the notebook's threads; a pool that waited for them would wait for ever."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        big = torch.randn(600, 600)
        (big @ big).sum()
        torch.nn.functional.conv2d(torch.randn(4, 16, 64, 64), torch.randn(16, 16, 3, 3))

        def heavy(x, kernel):
            (big @ big).sum()
            torch.nn.functional.conv2d(torch.randn(4, 16, 64, 64), torch.randn(16, 16, 3, 3))
            return right(x, kernel)

        assert judge("04.1", heavy, seconds=20).right
    finally:
        torch.set_num_threads(threads)


@linux
def test_no_process_is_left():
    def children():
        found = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
        return {child for each in found for child in each}

    before = children()  # of other tests in this process
    with sandbox.Guest(judge_job(loops), sandbox.Limits(0.3)) as running:
        assert len(children() - before) == 1
        with pytest.raises(sandbox.TooSlow):
            running.ask(wire.pack((torch.zeros(1), 3), trusted=True))
    assert not children() - before


def judge_job(function):
    from minit2v.exercises.guest import Call

    return Call(function)


# ---- what is told ------------------------------------------------------------------------------------------------


def test_an_error_is_told_with_its_line_and_what_was_given():
    def breaks(x, kernel):
        y = x.transpose(0, 9)
        return y

    message = judge("04.1", breaks).message
    assert "IndexError" in message and "`y = x.transpose(0, 9)`" in message and "x (2, 5, 3, 4, 6)" in message


def test_what_a_wrong_function_prints_is_shown(capsys):
    def talks(x, kernel):
        print("kernel is", kernel)
        return x

    assert not check("04.1", talks)
    assert "| kernel is 3" in capsys.readouterr().out
    assert check("04.1", lambda x, kernel: (print("silence"), right(x, kernel))[1])
    assert "silence" not in capsys.readouterr().out


def test_setting_a_seed_is_remarked_on():
    def seeded(x, kernel):
        torch.manual_seed(0)
        return right(x, kernel)

    verdict = judge("04.1", seeded)
    assert verdict.right and "random generator" in verdict.message


def test_any_callable_will_do():
    class Padder:
        def __call__(self, x, kernel):
            return right(x, kernel)

    assert judge("04.1", Padder()).right
    assert judge("04.1", functools.partial(right)).right
    assert not judge("04.1", torch.add).right


def test_wrong_calls_are_told_in_one_line():
    with pytest.raises(UserError, match=r"did you mean '04\.1'|there are"):
        check("04.11", right)
    with pytest.raises(UserError, match="give a number such as"):
        check(4.1, right)
    with pytest.raises(UserError, match="needs the function itself"):
        check("04.1", 5)
    with pytest.raises(UserError, match="time limit"):
        check("04.1", right, seconds=0)


def test_hints_come_one_by_one(capsys):
    for _ in range(4):
        hint("08.3")
    said = capsys.readouterr().out
    assert "Hint 1 of 3" in said and "Hint 3 of 3" in said and "all hints" in said


def test_a_verdict_shows_itself_once(capsys):
    verdict = check("04.1", right)
    verdict._ipython_display_()
    assert capsys.readouterr().out.count("04.1") == 1
    assert verdict and "✓ 04.1" in str(verdict)


# ---- fresh processes, as on Windows and macOS ----------------------------------------------------------------------

FACTOR = 1


def another(x, count, *, fill=0.0):
    return torch.full((x.shape[0], count, *x.shape[2:]), fill * FACTOR)


def with_others(x, kernel, axis=1):
    return torch.cat([another(x, kernel - 1), x], dim=axis)


def test_a_fresh_process_gets_the_function_with_all_it_needs():
    extra = torch.zeros(())

    def closure(x, kernel):
        return with_others(x, kernel) + extra

    with pytest.raises(UserError, match="cannot be taken to a process"):
        judge("04.1", right, method="fresh")  # this file is no module that could be imported there
    for function in (another, with_others, closure, loops):
        function.__module__ = "__main__"  # as in a notebook
    for function in (with_others, closure):
        assert judge("04.1", function, method="fresh", seconds=30).right
    assert "still running" in judge("04.1", loops, method="fresh", seconds=0.5).message
    while sandbox._waiting:
        sandbox._waiting.pop().kill()


def test_a_function_that_calls_itself_can_be_carried():
    def count(n):
        return 0 if n == 0 else 1 + count(n - 1)

    count.__module__ = "__main__"
    assert carry.unpack(carry.pack(count))(5) == 5


# ---- values on their way --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 2.5, 10**40, "word", (1, [2, "x"]), {"a": 1}, torch.arange(6).view(2, 3), torch.tensor(2.5),
     torch.tensor([0.1, -2.5]).to(torch.bfloat16), torch.tensor([True]), np.arange(3.0), np.float32(1.5)],
    ids=str,
)  # fmt: skip
def test_plain_values_arrive_as_they_were(value):
    there = wire.unpack(wire.pack(value))
    if isinstance(value, torch.Tensor):
        assert there.dtype == value.dtype and torch.equal(there, value)
    elif isinstance(value, np.ndarray):
        assert np.array_equal(there, value)
    else:
        assert there == value


def test_what_is_no_data_arrives_as_its_type_alone():
    assert wire.unpack(wire.pack(object())) == wire.Foreign("an object")
    assert wire.unpack(wire.pack(torch.zeros(1, device="meta"))).type.startswith("a tensor without")
    with pytest.raises(pickle.UnpicklingError, match="no plain data"):
        wire.unpack(pickle.dumps(print))
