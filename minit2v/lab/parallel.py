"""One attention layer on several devices: every device has a share of the tokens, and the answer is the same.

Full attention needs every key at every query, so shares have to travel. Ulysses (Jacobs et al. 2023, arXiv:2309.14509)
trades tokens for heads and back; a ring (Liu et al. 2023, arXiv:2310.01889) hands keys and values round and merges what
each share says. `on_devices` runs both in real processes that talk by gloo, PyTorch's network for CPUs.

`python parallel.py RANK COUNT FOLDER` is one such process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from minit2v.attention import attend
from minit2v.errors import UserError

SECONDS = 180  # after which processes that do not answer are ended


# ---- merging what several shares say ---------------------------------------------------------------------------------


def heard(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Attention to one share of the keys: its answer (b, h, n, d), and how much was said, log Σ exp(scores) (b, h, n).

    A fused kernel returns both; here the second one is spelled out.
    """
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # (b, h, n, m)
    return attend(q, k, v), scores.logsumexp(dim=-1)


def merge(answers: Sequence[Tensor], said: Sequence[Tensor]) -> Tensor:
    """The answer to all shares from those to each: their mean, weighted by how much was said in each.

    out = Σᵢ exp(sᵢ - s) outᵢ with s = log Σᵢ exp(sᵢ) (Milakov & Gimelshein 2018, arXiv:1805.02867; FlashAttention).
    """
    weight = torch.stack(list(said)).softmax(dim=0)  # (shares, b, h, n)
    return (weight[..., None] * torch.stack(list(answers))).sum(dim=0)


# ---- two ways to share a layer's tokens ------------------------------------------------------------------------------


class Post:
    """Sends tensors between the processes and counts the bytes that leave this one."""

    def __init__(self, rank: int, count: int):
        self.rank, self.count, self.sent = rank, count, 0

    def trade(self, parts: Tensor) -> Tensor:
        """Part i of (count, …) goes to device i; back come the parts that the others meant for this one."""
        import torch.distributed as dist

        parts = parts.contiguous()
        back = torch.empty_like(parts)
        dist.all_to_all_single(back, parts)
        self.sent += parts.numel() * parts.element_size() * (self.count - 1) // self.count  # its own part stays
        return back

    def hand_on(self, x: Tensor) -> Tensor:
        """x goes to the next device in the ring; back comes the one of the device before."""
        import torch.distributed as dist

        back = torch.empty_like(x)
        going = dist.isend(x.contiguous(), (self.rank + 1) % self.count)
        dist.recv(back, (self.rank - 1) % self.count)
        going.wait()
        self.sent += x.numel() * x.element_size()
        return back


def ulysses(q: Tensor, k: Tensor, v: Tensor, post: Post) -> Tensor:
    """Own tokens of all heads (b, h, n, d) -> all tokens of some heads, attention, and back."""

    def to_heads(x):
        parts = post.trade(rearrange(x, "b (p h) n d -> p b h n d", p=post.count))
        return rearrange(parts, "p b h n d -> b h (p n) d")

    y = attend(to_heads(q), to_heads(k), to_heads(v))  # (b, h / p, all tokens, d)
    return rearrange(post.trade(rearrange(y, "b h (p n) d -> p b h n d", p=post.count)), "p b h n d -> b (p h) n d")


def ring(q: Tensor, k: Tensor, v: Tensor, post: Post) -> Tensor:
    """Own queries stay; keys and values go round, and each share's answer is kept until all are merged."""
    answers, said, pair = [], [], torch.stack([k, v])
    for turn in range(post.count):
        answer, amount = heard(q, *pair)
        answers.append(answer)
        said.append(amount)
        pair = post.hand_on(pair) if turn < post.count - 1 else pair
    return merge(answers, said)


WAYS = {"ulysses": ulysses, "ring": ring}


def all_reduce(layers: int, tokens: int, dim: int, devices: int, number: int = 2, sums: int = 3) -> Fraction:
    """Bytes that each device sends in a pass if every layer's *weights* are shared out (tensor parallelism, Shoeybi et
    al. 2019, arXiv:1909.08053), to hold against `arithmetic.device.all_to_all` and `ring`.

    Each device has a part of every answer, for all tokens; the parts of `sums` answers in a layer (self-attention,
    cross-attention, MLP) are added up, in shares that are traded and handed back:
    layers · sums · 2 · (n − 1) / n · tokens · dim · number
    """
    return Fraction(2 * layers * sums * tokens * dim * (devices - 1) * number, devices)


# ---- real processes --------------------------------------------------------------------------------------------------


def on_devices(q: Tensor, k: Tensor, v: Tensor, count: int = 2) -> dict[str, tuple[Tensor, int]]:
    """Both ways in `count` processes: {way: (the whole answer (b, h, n, d), bytes that each process sent)}.

    Raises `UserError` if tokens or heads do not divide by `count`, or if the processes do not come to an end.
    """
    for axis, name in ((1, "heads"), (2, "tokens")):
        if q.shape[axis] % count:
            raise UserError(f"{q.shape[axis]} {name} do not divide by {count} devices: give a number that divides")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        torch.save(torch.stack([q, k, v]), Path(folder) / "given.pt")
        command = [sys.executable, "-P", __file__]  # as a file: it needs nothing else of the lab, and starts sooner
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        running = [subprocess.Popen([*command, str(rank), str(count), folder], **quiet) for rank in range(count)]
        try:
            for process in running:
                _, said = process.communicate(timeout=SECONDS)
                if process.returncode:
                    raise UserError(f"a device stopped: {said.strip().splitlines()[-1:]}; can processes talk here?")
        except subprocess.TimeoutExpired:
            raise UserError(f"the devices did not answer within {SECONDS} s; can processes talk here?") from None
        finally:
            for process in running:
                process.kill()
                process.wait()
        parts = [torch.load(Path(folder) / f"made{rank}.pt") for rank in range(count)]
    return {way: (torch.cat([part[way][0] for part in parts], dim=2), parts[0][way][1]) for way in WAYS}


def device(rank: int, count: int, folder: Path) -> None:
    """One process: takes its share of the tokens, runs both ways, and leaves its answers."""
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform.startswith("linux") else "")
    if not os.environ["GLOO_SOCKET_IFNAME"]:
        del os.environ["GLOO_SOCKET_IFNAME"]
    dist.init_process_group("gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=count)
    share, made = torch.load(folder / "given.pt").chunk(count, dim=3)[rank], {}
    for name, way in WAYS.items():
        post = Post(rank, count)
        made[name] = way(*share, post), post.sent
    torch.save(made, folder / f"made{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    device(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
