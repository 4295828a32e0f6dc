"""Inside the spacetime transformer: how far news travels in it, what it asks the prompt, frames that it is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from einops import einsum, rearrange, repeat
from torch import Tensor, nn

from minit2v.attention import apply_rotary, rotary_3d, split_heads
from minit2v.diffusion import Known, euler, start
from minit2v.dit import DiT, patchify, unpatchify
from minit2v.text import TextFeatures
from minit2v.world.captions import parse
from minit2v.world.scenes import Scene, scene

# ---- watching ------------------------------------------------------------------------------------------------------


@contextmanager
def watched(*modules: nn.Module):
    """Inside `with`: a list that gets (inputs, output) of these modules, in the order in which they run."""
    seen = []

    def keep(_, inputs, output):
        seen.append((inputs, output))

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def tokens(dit: DiT, latents: Tensor, level: Tensor, text: TextFeatures) -> Tensor:
    """The tokens before the first block and after each one: (layers + 1, b, f, n, d)."""
    with watched(*dit.blocks) as seen:
        dit(latents, level, text)
    return torch.stack([seen[0][0][0], *(output for _, output in seen)])


def refolded(dit: DiT, attention: str, window: int | None = None) -> DiT:
    """The same weights with another layout: who may look at whom has no parameters."""
    other = DiT(replace(dit.config, attention=attention, window=window))
    other.load_state_dict(dit.state_dict())
    return other.to(next(dit.parameters()).dtype).eval()


# ---- how far news travels ------------------------------------------------------------------------------------------


def disturbed(latents: Tensor, patch: Sequence[int], frame: int, place: int) -> Tensor:
    """Latents (b, f, c, h, w) with one cube, that of token (frame, place), replaced by noise."""
    cubes = patchify(latents, patch).clone()  # (b, f, n, c·pt·ph·pw)
    dice = torch.Generator().manual_seed(1)
    cubes[:, frame, place] = torch.randn(cubes[:, frame, place].shape, generator=dice, dtype=cubes.dtype)
    return unpatchify(cubes, patch, latents.shape[3] // patch[1])


def heard(dit: DiT, latents: Tensor, level: Tensor, text: TextFeatures, frame: int, place: int) -> Tensor:
    """How far every token moves, layer by layer, when token (frame, place) is disturbed: (layers + 1, f, n).

    In units of the tokens' own rms. Everything is computed in float64, so that what cannot hear stays at exactly 0.
    """
    dit, text = deepcopy(dit).double().eval(), text.to(torch.float64)
    latents = latents.double()
    before = tokens(dit, latents, level, text)
    after = tokens(dit, disturbed(latents, dit.config.patch, frame, place), level, text)
    size = before.square().mean(dim=(-1, -2, -3), keepdim=True).sqrt()
    return ((after - before) / size).square().mean(dim=-1).sqrt()[:, 0]


def reach(found: Tensor, least: float = 1e-12) -> list[int]:
    """After the embedding and each layer: how many tokens have heard. found: from `heard`."""
    return [int((layer > least).sum()) for layer in found]


# ---- positions -----------------------------------------------------------------------------------------------------


def sharpness(q: Tensor, k: Tensor, norm: nn.Module | None = None) -> float:
    """The largest weight that a query gives, on average: q, k (n, d). 1: each sees a single key, and cannot learn."""
    q, k = (x if norm is None else norm(x) for x in (q, k))
    return (q @ k.T / q.shape[-1] ** 0.5).softmax(dim=-1).amax(dim=-1).mean().item()


def score(q: Tensor, k: Tensor, here: Sequence[int], there: Sequence[int]) -> float:
    """The score of query q (d,) at the place (t, h, w) `here` with key k (d,) at `there`."""
    turned = []
    for x, place in ((q, here), (k, there)):
        rotation = rotary_3d(1, 1, 1, len(x), offset=tuple(map(int, place)), dtype=torch.complex128)
        turned.append(apply_rotary(x, rotation[0, 0]))
    return float(turned[0] @ turned[1]) / len(q) ** 0.5


# ---- what is asked of the prompt -----------------------------------------------------------------------------------


@torch.no_grad()
def to_words(dit: DiT, latents: Tensor, level: Tensor, text: TextFeatures) -> Tensor:
    """The weights of the text attention, (layers, b, heads, tokens, words): how much each token asks each word."""
    modules = [block.text_attention for block in dit.blocks]
    with watched(*modules) as seen:
        dit(latents, level, text)
    found = []
    for module, ((x, context, mask), _) in zip(modules, seen, strict=True):
        q = module.norm_q(split_heads(module.q(x), module.heads))  # (b, h, n, d)
        k, _ = rearrange(module.kv(context), "b m (s h d) -> s b h m d", s=2, h=module.heads)
        scores = einsum(q, module.norm_k(k), "b h n d, b h m d -> b h n m") / q.shape[-1] ** 0.5
        found.append(scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(dim=-1))
    return torch.stack(found)


def covered(frames: np.ndarray, bare: np.ndarray, grid: Sequence[int]) -> np.ndarray:
    """How much of each token's part of the picture the subject covers: (f, h', w') in [0, 1].

    frames, bare: the clip with the subject and without, uint8 (t, h, w, 3); latent frame 0 is frame 0, latent frame k
    the k-th group of the others.
    """
    differs = (np.abs(frames.astype(int) - bare).max(axis=-1) > 24).astype(float)  # (t, h, w)
    f, h, w = grid
    places = differs.reshape(len(differs), h, differs.shape[1] // h, w, differs.shape[2] // w).mean(axis=(2, 4))
    per = (len(places) - 1) // (f - 1)
    return np.concatenate([places[:1], places[1:].reshape(f - 1, per, h, w).mean(axis=1)])


# ---- frames that are given -----------------------------------------------------------------------------------------


def crossroads(colors: Sequence[str] = ("red", "blue"), ways: Sequence[str] = ("left", "right", "up", "down")):
    """Balls that start at the middle of the picture and part: prompts and scenes. Clips of one color share frame 0."""
    prompts = [f"a small {color} ball moves {way} on a checkered floor" for color in colors for way in ways]
    first = scene(parse(prompts[0]), 0)
    return prompts, [moved(scene(parse(prompt), 0), first.width) for prompt in prompts]


def moved(played: Scene, width: np.ndarray) -> Scene:
    """The same scene, begun at the middle of the picture, with a subject of that width."""
    return replace(played, position=played.position - played.position[0], width=width)


def given(latents: Tensor, frames: Sequence[int], count: int) -> Known | None:
    """What a sampler of `count` clips is given: those latent frames of latents (f, c, h, w)."""
    if not frames:
        return None
    mask = torch.zeros(len(latents), dtype=torch.bool)
    mask[list(frames)] = True
    return Known(mask.expand(count, -1), repeat(latents, "f c h w -> b f c h w", b=count))


def timetable(schedule: Tensor, known: Known | None, frames: int) -> np.ndarray:
    """Every frame's noise level at every moment, as the samplers have it: (moments, f)."""
    noise = torch.zeros(1, frames, 1, 1, 1) if known is None else torch.zeros_like(known.latents)
    return start(noise, schedule, known)[1][:, 0].numpy()


def ends(velocity_fn, noise: Tensor, schedule: Tensor, latents: Tensor, frames: Sequence[int]) -> Tensor:
    """Clips made from noise (b, f, c, h, w) around those frames of latents (f, c, h, w): one call for every task."""
    return euler(velocity_fn, noise, schedule, given(latents, frames, len(noise)))
