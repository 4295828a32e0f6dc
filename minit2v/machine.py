"""What training needs of the machine: processes side by side, devices, a thread for batches, signals.

`torchrun` starts several processes and tells each its rank through environment variables; without it there is
one, and none of this costs anything.
"""

import atexit
import gc
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from minit2v.errors import UserError


@dataclass
class Processes:
    rank: int  # 0, 1, …, count − 1
    count: int
    device: torch.device

    @property
    def is_first(self):
        return self.rank == 0

    def share_of(self, batch):
        """This process's samples, a range within the whole batch. Raises UserError if shares are unequal."""
        if batch % self.count:
            near = max(self.count, batch - batch % self.count)
            raise UserError(f"batch {batch} cannot be shared by {self.count} processes equally: use {near}")
        each = batch // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def wrap(self, module):
        """The module, its gradients averaged over the processes by each backward pass."""
        if self.count == 1:
            return module
        # A layer may rest in some steps (an image batch has no use for temporal layers), so: find_unused.
        return DistributedDataParallel(module, find_unused_parameters=True)

    def mean(self, numbers):
        """Mean over the processes of a list of numbers."""
        if self.count == 1:
            return numbers
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return (total / self.count).tolist()

    def agree(self, stop, end):
        """(did any process ask to stop, the earliest `end` any has planned or None): the same on all."""
        if self.count == 1:
            return stop, end
        votes = torch.tensor([float(stop), -float("inf") if end is None else -end], device=self.device).double()
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        stop, end = votes.tolist()
        return bool(stop), None if end == -float("inf") else round(-end)

    def first_does(self, action):
        """Run `action` on the first process; every process gets its result, or its UserError."""
        if self.count == 1:
            return action()
        answer = [None, None]
        if self.is_first:
            try:
                answer = [action(), None]
            except UserError as error:
                answer = [None, str(error)]
        dist.broadcast_object_list(answer, src=0)
        if answer[1]:
            raise UserError(answer[1])
        return answer[0]


def _part():
    gc.collect()  # a wrapped model that outlives its processes can abort the interpreter's exit
    dist.destroy_process_group()


@contextmanager
def processes(device=None, threads=None):
    """The processes that torchrun started, or the one there is. Yields Processes.

    `device` is "cpu", "cuda", … or None for a GPU if there is one. `threads` are torch's, per process; with
    several processes on a CPU it is one unless said otherwise, since spinning thread pools starve each other.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    if count > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_part)  # not sooner: a second run could not join again
    before = torch.get_num_threads()
    torch.set_num_threads(threads or (1 if count > 1 else before))
    try:
        yield Processes(rank, count, device)
    finally:
        torch.set_num_threads(before)


# ---- batches and signals ------------------------------------------------------------------------------------


class Batches:
    """The batch of each step. With `ahead`, a thread makes the next one while the GPU works."""

    def __init__(self, make, ahead):
        self.make, self.pool, self.coming = make, ThreadPoolExecutor(1) if ahead else None, {}

    def get(self, step):
        if self.pool is None:
            return self.make(step)
        now = self.coming.pop(step, None) or self.pool.submit(self.make, step)
        self.coming = {step + 1: self.pool.submit(self.make, step + 1)}
        return now.result()

    def close(self):
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def to_device(batch, device):
    """The batch with all its tensors on the device."""
    if isinstance(batch, torch.Tensor | nn.Module):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [to_device(value, device) for value in batch]
    if is_dataclass(batch):
        return replace(batch, **{f.name: to_device(getattr(batch, f.name), device) for f in fields(batch)})
    return batch


@contextmanager
def stop_signals():
    """Yields an object whose `asked` Ctrl-C or SIGTERM sets to True; a second Ctrl-C, later on, interrupts."""
    stop = SimpleNamespace(asked=False, at=0.0)

    def ask(number, frame):
        # torchrun passes a Ctrl-C on that the terminal has delivered already: that is no second one.
        if stop.asked and number == signal.SIGINT and time.monotonic() > stop.at + 2:
            raise KeyboardInterrupt
        stop.asked, stop.at = True, stop.at or time.monotonic()

    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
