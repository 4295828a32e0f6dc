"""Speed: fewer steps, answers that are kept from step to step, one pass in place of two; and what each of them loses.

A sampler calls the network step after step, and neighboring steps hear nearly the same. Everything here saves calls, or
the blocks in them, counts exactly what is left, and holds the clip against the one for which nothing was saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn

from minit2v.arithmetic import LatentShape, models
from minit2v.diffusion import euler, guided, sigmas, twice
from minit2v.dit import DiT, modulate, normalize
from minit2v.lab.reach import seconds
from minit2v.text import TextFeatures

STORED = Path(__file__).parent / "assets" / "speed.json"

# ---- which steps are computed --------------------------------------------------------------------------------------


def every(n: int, steps: int, first: int = 2, last: int = 1) -> frozenset[int]:
    """Steps that are computed if each is used `n` times; the `first` ones and the `last` ones are always computed."""
    return frozenset(i for i in range(steps) if i < first or i >= steps - last or (i - first) % n == n - 1)


def all_but(skipped: Collection[int], steps: int) -> frozenset[int]:
    """All steps but some; the very first can never be skipped, for nothing is kept yet."""
    return frozenset(range(steps)) - frozenset(skipped) | {0}


# ---- what the blocks added is kept -----------------------------------------------------------------------------------


class Kept(nn.Module):
    """All blocks of a transformer as one, which may answer from memory: tokens plus what the blocks added last time.

    The cut into cubes, the modulation and the head are computed anew in each step: they hear the new noise level.
    due: the steps in which the blocks run, or a function of (this, tokens, modulation) that says whether they must.
    Kept are sums of what all blocks added, as in TeaCache (Liu et al. 2024, arXiv:2411.19108); DeepCache (Ma et al.
    2023, arXiv:2312.00858) and PAB (Zhao et al. 2024, arXiv:2408.12588) keep a U-Net's deep features and attention.
    """

    def __init__(self, blocks: Sequence[nn.Module], due: Collection[int] | Callable):
        super().__init__()
        self.blocks, self.due = nn.ModuleList(blocks), due
        self.added, self.step, self.paid = None, 0, 0  # paid: clips for which the blocks ran, summed over the steps

    def forward(self, x, modulation, *rest):  # (b, f, n, d), as a block
        due = self.due(self, x, modulation) if callable(self.due) else self.step in self.due
        self.step += 1
        if self.added is not None and not due:
            return x + self.added
        y = x
        for block in self.blocks:
            y = block(y, modulation, *rest)
        self.added, self.paid = y - x, self.paid + len(x)
        return y


class WhenChanged:
    """`due` for `Kept`: the blocks run when what the first of them hears has changed enough since they last ran.

    The relative change of the modulated tokens from step to step is added up, and it is time at `enough`: TeaCache
    (Liu et al. 2024), without the polynomial that is fitted there to each model.
    """

    def __init__(self, enough: float):
        self.enough, self.heard, self.sum = enough, None, 0.0

    def __call__(self, kept: Kept, x, modulation) -> bool:
        shift, scale = (modulation + kept.blocks[0].table)[:, :, :2, None].unbind(2)  # (b, f, 1, d) each
        now = modulate(normalize(x), shift, scale)
        if self.heard is not None:
            self.sum += float((now - self.heard).abs().mean() / self.heard.abs().mean())
        due = self.heard is None or self.sum >= self.enough
        self.heard, self.sum = now, 0.0 if due else self.sum
        return due


@contextmanager
def kept_blocks(dit: DiT, due: Collection[int] | Callable):
    """Inside `with`, the transformer's blocks run only when they are due: for one call of a sampler."""
    blocks = dit.blocks
    dit.blocks = nn.ModuleList([Kept(blocks, due)])
    try:
        yield dit.blocks[0]
    finally:
        dit.blocks = blocks


# ---- what guidance adds is kept --------------------------------------------------------------------------------------


def sparingly(denoiser, text: TextFeatures, null: TextFeatures, scale: float, due: Collection[int]) -> Callable:
    """A `velocity_fn` with guidance whose second pass runs only in the steps `due`. In the others, what the prompt
    changed last time is taken again (as in FasterCache, Lv et al. 2024, arXiv:2410.19355)."""
    both, change, step = TextFeatures.cat(text, null), None, 0

    def velocity_fn(x, sigma):
        nonlocal change, step
        step += 1
        if change is not None and step - 1 not in due:
            return denoiser(x, sigma, text) + (scale - 1) * change
        v_text, v_null = denoiser(twice(x), twice(sigma), both).chunk(2)
        change = v_text - v_null
        return v_null + scale * change

    return velocity_fn


def kept_velocity(velocity_fn: Callable, due: Collection[int]) -> Callable:
    """The simplest cache of all: in steps that are not due, the last velocity is taken again."""
    velocity, step = None, 0

    def cached(x, sigma):
        nonlocal velocity, step
        if velocity is None or step in due:
            velocity = velocity_fn(x, sigma)
        step += 1
        return velocity

    return cached


# ---- what it costs ---------------------------------------------------------------------------------------------------


def apart(latents: Tensor, exact: Tensor) -> float:
    """How far clips lie from the exact ones (b, f, c, h, w), as a share of how large those are; the mean over clips."""
    off, size = ((each.square().mean((1, 2, 3, 4))).sqrt() for each in (latents - exact, exact))
    return float((off / size).mean())


def bill(system, prompt: str) -> dict[str, int]:
    """FLOPs of one clip by the recipe: the text once, all passes of the denoiser, the decoder."""
    request, model = system.request([prompt], [0]), system.model
    shape, words = LatentShape(*request.shape), len(model.tokenizer.word_ids(prompt)) + 1
    passes = request.steps * (1 if request.guidance == 1 else 2)
    return {
        "text encoder": models.text_encoder(model.text.config, words).flops,
        "denoiser": passes * models.transformer(model.denoiser.config, shape, words).flops,
        "decoder": models.decoder(system.vae.config, shape).flops,
    }


def stored() -> dict:
    """What benchmarks/speed.py measured on many clips: {"n", "weights", "ways": {way: figures}, "student": figures}."""
    return json.loads(STORED.read_text(encoding="utf-8"))


# ---- one way beside another ------------------------------------------------------------------------------------------


class Bench:
    """Some prompts and their noise, on which every way of saving is tried. exact: the recipe's own latents."""

    def __init__(self, system, prompts: Sequence[str], noise: Tensor):
        self.system, self.noise, self.steps = system, noise, system.sampling.steps
        self.text = system.model.read(list(prompts))
        self.null = system.model.text.null(len(self.text)).padded(self.text.tokens.shape[1])
        self.velocity = guided(system.model, self.text, self.null, system.sampling.guidance)
        self.added: list[Tensor] = []  # what the blocks added in each step of the exact way
        with kept_blocks(system.model.denoiser, range(self.steps)) as kept:
            self.exact = self.walk(self.velocity, on_step=lambda *_: self.added.append(kept.added))

    def walk(self, velocity: Callable, steps: int | None = None, take: Callable = euler, **more) -> Tensor:
        """Latents (b, f, c, h, w) by some velocity_fn, in the recipe's number of steps or another."""
        return take(velocity, self.noise, sigmas(steps or self.steps, self.system.sampling.shift), **more)

    def with_velocity(self, due: Collection[int]) -> Tensor:
        """The last velocity again, in the steps that are not due."""
        return self.walk(kept_velocity(self.velocity, due))

    def with_blocks(self, due: Collection[int] | Callable) -> tuple[Tensor, float]:
        """What the blocks added again; and the share of the passes through them that was paid."""
        with kept_blocks(self.system.model.denoiser, due) as kept:
            latents = self.walk(self.velocity)
        return latents, kept.paid / (2 * len(self.noise) * self.steps)

    def with_guidance(self, due: Collection[int]) -> tuple[Tensor, float]:
        """What the prompt changed again; and the share of the passes that was paid."""
        scale = self.system.sampling.guidance
        latents = self.walk(sparingly(self.system.model, self.text, self.null, scale, due))
        return latents, (self.steps + len(set(due) | {0})) / (2 * self.steps)

    def skipped(self, runs: Sequence[Collection[int]]) -> list[float]:
        """How far off the clips are if the blocks are skipped in just these steps, for each run of steps."""
        return [apart(self.with_blocks(all_but(run, self.steps))[0], self.exact) for run in runs]

    def changes(self) -> list[float]:
        """How much what the blocks add changes from each step to the next, as a share of it."""
        return [apart(now[:, None], before[:, None]) for before, now in pairwise(self.added)]


def per_clip(model, x: Tensor, sigma: Tensor, text: TextFeatures, batches: Sequence[int], times: int = 2) -> list:
    """Measured seconds of one pass for each clip, in batches of some sizes: the shortest of a few runs."""
    found = []
    for b in batches:
        part = TextFeatures(text.tokens[:b], text.mask[:b], text.pooled[:b])
        found.append(seconds(lambda b=b, part=part: model(x[:b], sigma[:b], part), times) / b)
    return found
