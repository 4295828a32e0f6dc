"""What a prompt does: phrasings and how far apart they lie, clips at every guidance scale, prompts that are swapped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from minit2v.clip import Clip
from minit2v.diffusion import draw_noise, euler, guided, on_frames, sigmas
from minit2v.metrics import wilson
from minit2v.recipes import PromptedDenoiser
from minit2v.text import TextEncoder, TextFeatures
from minit2v.world.captions import (
    BACKGROUNDS,
    CAMERAS,
    COLORS,
    HELD_OUT_COLOR_SUBJECT,
    MOTIONS,
    REPERTOIRE,
    SIZES,
    SUBJECTS,
    SYNONYMS,
    Meaning,
)

# One sentence with a hole for each attribute, and what fills it: value -> the phrases that mean it.
HOLES = {
    "subject": ("a large red {} moves left", SUBJECTS),
    "motion": ("a large red ball {}", {motion: MOTIONS[motion] for motion in REPERTOIRE["ball"]}),
    "size": ("a {} red ball moves left", SIZES),
    "color": ("a large {} ball moves left", {name: SYNONYMS.get(name, (name,)) for name in COLORS}),
    "camera": ("a large red ball moves left, {}", CAMERAS),
    "background": ("a large red ball moves left {}", BACKGROUNDS),
}


# ---- phrasings -----------------------------------------------------------------------------------------------------


def phrasings(attribute: str) -> tuple[list[str], list[str]]:
    """Values of an attribute and prompts that say them, the phrasings of one value next to each other."""
    sentence, table = HOLES[attribute]
    pairs = [(value, sentence.format(phrase)) for value, phrases in table.items() for phrase in phrases]
    return [value for value, _ in pairs], [prompt for _, prompt in pairs]


def untrained(model: PromptedDenoiser, seed: int = 0) -> TextEncoder:
    """The control: a text encoder of the same sizes that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TextEncoder(model.text.config).eval()


@torch.no_grad()
def pooled(model: PromptedDenoiser, prompts: Sequence[str], encoder: TextEncoder | None = None, ordered=True) -> Tensor:
    """The pooled vectors of some prompts, (prompts, d). encoder: another one than the model's own; not `ordered`:
    without its positions, so that it reads a prompt as a bag of words."""
    encoder = encoder or model.text
    ids, mask = model.tokenizer.encode(list(prompts), next(encoder.parameters()).device)
    with bag_of_words(encoder, not ordered):
        return encoder(ids, mask).pooled


@contextmanager
def bag_of_words(encoder: TextEncoder, on: bool = True):
    """Inside `with`, the encoder does not know where in the prompt a word stands."""
    kept = encoder.positions
    encoder.positions = torch.zeros_like(kept) if on else kept
    try:
        yield
    finally:
        encoder.positions = kept


def distances(vectors: Tensor) -> np.ndarray:
    """How far apart vectors (n, d) lie, in units of the mean distance: (n, n), 0 on the diagonal."""
    found = torch.cdist(vectors, vectors).numpy()
    np.fill_diagonal(found, 0)  # rounding
    return found / found[~np.eye(len(found), dtype=bool)].mean()


def gap(found: np.ndarray, values: Sequence[str]) -> tuple[float, float]:
    """Mean distance of two phrasings of one value, and of two values. found: from `distances`."""
    same = np.array([[a == b for b in values] for a in values])
    pairs = same & ~np.eye(len(values), dtype=bool)
    return float(found[pairs].mean()), float(found[~same].mean())


def neighbors(found: np.ndarray, values: Sequence[str]) -> tuple[int, int]:
    """Of the phrasings that have a synonym: how many have one as their nearest neighbor, and how many there are."""
    nearest = (found + np.diag(np.full(len(found), np.inf))).argmin(axis=1)
    asked = [i for i, value in enumerate(values) if list(values).count(value) > 1]
    return sum(values[nearest[i]] == values[i] for i in asked), len(asked)


@torch.no_grad()
def sums_of_parts(model: PromptedDenoiser, encoder: TextEncoder | None = None) -> dict[tuple[str, str], int]:
    """For each held-out (color, subject): how many of all pairs lie nearer to the sum of its parts than it does itself.

    cyan ball ≈ cyan box + red ball - red box. The parts are said with other words than the whole, as far as there are
    some, so that a sum of words is not enough: it takes their meanings.
    """
    subjects = {name: (phrases[0], phrases[1]) for name, phrases in SUBJECTS.items()}
    names = [(color, subject) for color in COLORS for subject in subjects]
    whole, parts = (
        pooled(model, [f"a large {color} {subjects[subject][said]} moves left" for color, subject in names], encoder)
        for said in (0, 1)
    )
    at, ranks = {name: parts[i] for i, name in enumerate(names)}, {}
    for color, subject in sorted(HELD_OUT_COLOR_SUBJECT):
        hue, thing = another(color, list(COLORS)), another(subject, list(SUBJECTS))
        guess = at[color, thing] + at[hue, subject] - at[hue, thing]
        off = (whole - guess).norm(dim=1)
        ranks[color, subject] = int((off < off[names.index((color, subject))]).sum())
    return ranks


def another(name: str, names: list[str]) -> str:
    """The second one after `name`, round and round."""
    return names[(names.index(name) + 2) % len(names)]


# ---- padding -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def padded(model: PromptedDenoiser, prompt: str, words: int, masked: bool = True) -> TextFeatures:
    """A prompt's features as they come out of a batch whose longest prompt has so many tokens. Not `masked`: with the
    bug that takes padding for words."""
    ids, mask = model.tokenizer.encode([prompt], next(model.parameters()).device, multiple=words)
    return model.text(ids, mask if masked else torch.ones_like(mask))


# ---- guidance ------------------------------------------------------------------------------------------------------


def noises(system, seeds: Sequence[int]) -> Tensor:
    """The noise that those seeds stand for: (b, f, c, h, w)."""
    shape = system.latent_shape(system.world.frames)
    return draw_noise((len(seeds), *shape), [torch.Generator().manual_seed(seed) for seed in seeds])


def draw(system, text, seeds, scale=1.0, null=None, rescale=0.0, steps=6, on_step=None) -> Tensor:
    """Latents (b, f, c, h, w) of prompts or their features, with another null prompt than the learned one if given."""
    text = text if isinstance(text, TextFeatures) else system.model.read(list(text))
    null = system.model.text.null(len(text)) if null is None else null
    velocity = guided(system.model, text, null, scale, rescale)
    return euler(velocity, noises(system, seeds), sigmas(steps, system.sampling.shift), on_step=on_step)


def clips(system, latents: Tensor, prompts: Sequence[str]) -> list[Clip]:
    """Latents as clips, which know their prompts."""
    return [Clip(video, prompt) for video, prompt in zip(system.decode(latents), prompts, strict=True)]


@contextmanager
def counted(model: PromptedDenoiser):
    """Inside `with`: a list that gets the number of clips in each call of the network."""
    sizes = []
    hook = model.register_forward_hook(lambda _, inputs, output: sizes.append(len(output)))
    try:
        yield sizes
    finally:
        hook.remove()


def share(found: Sequence[Clip], names: Sequence[str] = ("color", "background"), shift: int = 0) -> tuple:
    """Of the clips' attributes `names`, the share that is as asked, and its Wilson interval. shift: judged by the
    prompt of the clip so many places further on, which is a control."""
    right = [
        getattr(clip.reading, name) == getattr(found[(i + shift) % len(found)].meaning, name)
        for i, clip in enumerate(found)
        for name in names
    ]
    return float(np.mean(right)), *wilson(sum(right), len(right))


# ---- a prompt that is swapped --------------------------------------------------------------------------------------


@torch.no_grad()
def swapped(system, first: Sequence[str], second: Sequence[str], seeds, steps: int = 8, at: Sequence[int] = ()):
    """Clips that begin with one prompt and end with another: {step: latents (b, f, c, h, w)} for the steps `at`
    before which the prompts are swapped; 0: the second alone, `steps`: the first alone. Guidance 1."""
    seen, schedule = [], sigmas(steps, system.sampling.shift)
    end = draw(system, first, seeds, steps=steps, on_step=lambda i, sigma, x, estimate: seen.append(x))
    text, ends = system.model.read(list(second)), {}
    for begin in at:
        x = [*seen, end][begin]
        for here, there in zip(schedule[begin:-1], schedule[begin + 1 :], strict=True):
            level = here.expand(x.shape[:2])
            x = x + on_frames(there.expand_as(level) - level) * system.model(x, level, text)
        ends[begin] = x
    return ends


def follows(found: Clip, first: Meaning, second: Meaning, name: str) -> str:
    """Whose attribute a clip has: "first", "second", or "neither" of the two meanings'."""
    whose = {getattr(second, name): "second", getattr(first, name): "first"}
    return whose.get(getattr(found.reading, name), "neither")
