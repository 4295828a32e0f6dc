"""How much memory a computation needs: the bytes of all tensors that are alive at once, at most.

On the CPU, PyTorch keeps no books. `LiveBytes` keeps them: it sees every operation, notes the storages that come out
of it, and is told when each of them dies. That counts tensors only, so it says the same on every machine, which
the size of the process does not. Scratch that a kernel frees before it returns is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Watches what happens inside `with`: `now` and `peak` are bytes of live tensors, those that were given included.

    given: modules and tensors that are alive from the beginning, such as weights and inputs.
    """

    def __init__(self, *given):
        super().__init__()
        self.now = self.peak = 0
        self.seen: dict[int, weakref.ref] = {}
        for tensor in tensors_of(given):
            self.note(tensor)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tensors_of(out):
            self.note(tensor)
        return out

    def note(self, tensor) -> None:
        """Counts a tensor's storage, if it is a new one."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return

        def gone(_, key=key, size=size):
            del self.seen[key]
            self.now -= size

        self.seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_bytes(run: Callable, *given) -> int:
    """Bytes of tensors that are alive at once, at most, while `run()` runs without gradients.

    given: modules and tensors that are alive before and all the while. On a GPU the allocator's own counter is read,
    which sees the kernels' scratch as well.
    """
    with torch.no_grad():
        if any(tensor.is_cuda for tensor in tensors_of(given)):
            torch.cuda.reset_peak_memory_stats()
            run()
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated()
        with LiveBytes(*given) as live:
            run()
    return live.peak


def tensors_of(things) -> list[torch.Tensor]:
    """All tensors in modules (their parameters and buffers), and in lists, tuples and dicts."""
    leaves = []
    for thing in tree_leaves(things):
        leaves += [*thing.parameters(), *thing.buffers()] if isinstance(thing, torch.nn.Module) else [thing]
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
