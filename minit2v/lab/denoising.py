"""Denoisers that nobody had to train: the best ones there can be for a few known clips, and for a cloud of clips."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from einops import einsum
from torch import Tensor

from minit2v.diffusion import FlowMatching, draw_noise, euler, on_frames
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import sample_meaning, scene

# Five questions with two answers each. The last one is the control: no clip shows which word its caption used.
QUESTIONS = {
    "background": ("on a checkered floor", "under a starry sky"),
    "direction": ("left", "right"),
    "texture": ("plain", "dotted"),
    "shade": ("red", "orange"),
    "word": ("ball", "sphere"),
}
EXACT = 0.03  # known frames are told apart as if they had this much noise: encoders round


# ---- a few clips ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Handful:
    """Some captioned clips. answers (n, questions) long, 0 or 1: see `QUESTIONS`; latents (n, f, c, h, w) float64."""

    prompts: tuple[str, ...]
    answers: Tensor
    frames: np.ndarray
    latents: Tensor

    def where(self, question: str, answer: str) -> Tensor:
        """(n,) bool: the clips for which that question has that answer."""
        return self.answers[:, list(QUESTIONS).index(question)] == QUESTIONS[question].index(answer)

    def once(self) -> Handful:
        """Every clip once, with the first of the captions that it has."""
        first = self.where("word", QUESTIONS["word"][0])
        prompts = tuple(prompt for prompt, kept in zip(self.prompts, first, strict=True) if kept)
        return Handful(prompts, self.answers[first], self.frames[first.numpy()], self.latents[first])

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """For each of x (b, f, c, h, w): which clip is nearest, and how far away it is, (b,) each."""
        apart, which = torch.cdist(x.double().flatten(1), self.latents.flatten(1)).min(dim=1)
        return which, apart


def handful(system, seed: int = 1) -> Handful:
    """One clip for every combination of answers, drawn by the world and packed by the system's VAE."""
    chosen = list(product((0, 1), repeat=len(QUESTIONS)))
    prompts = []
    for answers in chosen:
        said = {q: words[a] for (q, words), a in zip(QUESTIONS.items(), answers, strict=True)}
        prompts.append("a small {texture} {shade} {word} moves {direction} {background}".format(**said))
    drawn = {}  # two captions that differ in a synonym only are of one clip
    for prompt in prompts:
        drawn.setdefault(parse(prompt), len(drawn))
    clips = np.stack([render(scene(meaning, seed)) for meaning in drawn])
    latents, order = system.encode(clips).double(), [drawn[parse(prompt)] for prompt in prompts]
    return Handful(tuple(prompts), torch.tensor(chosen), clips[order], latents[order])


class Few:
    """The best denoiser that there can be if clips (n, f, c, h, w) are all there is, each as likely as its prior.

    Bayes' rule says how likely each clip is, given the noisy x; the least squared error is made by their mean.
    """

    def __init__(self, clips: Tensor, prior: Tensor | None = None):
        self.clips = clips.double()
        self.prior = torch.ones(len(clips)).double() if prior is None else prior.double()  # (n,)

    def weights(self, x, sigma):
        """Posterior of every clip, (b, n): prior · exp(-|x - (1 - sigma) clip|² / (2 sigma²)), normalized.

        sigma (b, f), each frame's own; |x|² is the same for all clips and left out.
        """
        noise = on_frames(sigma.clamp(min=EXACT)).double() ** 2
        signal = on_frames(1 - sigma).double()
        fits = einsum(signal / noise * x, self.clips, "b f c h w, n f c h w -> b n")
        sizes = einsum(signal**2 / noise, self.clips**2, "b f c h w, n f c1 h1 w1 -> b n") / 2
        return (self.prior.log() + fits - sizes).softmax(dim=-1)

    def data(self, x, sigma):
        """The posterior mean, (b, f, c, h, w): what can be known of the clip in x."""
        return einsum(self.weights(x, sigma), self.clips, "b n, n f c h w -> b f c h w")

    def velocity(self, x, sigma):
        """A `velocity_fn` for every sampler: of all guesses from (x, sigma), the one with the least squared error."""
        return (x - self.data(x, sigma)) / on_frames(sigma).clamp(min=1e-9)


def certainty(few: Few, answers: Tensor, levels: Sequence[float], seeds: int = 4) -> np.ndarray:
    """How sure one can be of the right answer: (levels, questions), the mean over all clips and some noises."""
    dice, found = torch.Generator().manual_seed(0), []
    clips = few.clips.repeat(seeds, 1, 1, 1, 1)
    same = (answers.repeat(seeds, 1)[:, None] == answers).double()  # (b, n, questions)
    for level in levels:
        sigma = torch.full(clips.shape[:2], float(level))
        noise = torch.randn(clips.shape, generator=dice, dtype=torch.float64)
        weights = few.weights(FlowMatching.add_noise(clips, noise, sigma), sigma)  # (b, n)
        found.append(einsum(weights, same, "b n, b n q -> q") / len(clips))
    return torch.stack(found).numpy()


def believed(few: Few, which: Tensor, noise: Tensor, schedule: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Along Euler's path from noise (b, f, c, h, w): the noise levels (steps,), and at each the probability that the
    clip is one of `which` (n,) bool, (steps, b)."""
    seen = []
    euler(few.velocity, noise, schedule, on_step=lambda i, s, x, _: seen.append(few.weights(x, s)[:, which].sum(1)))
    return schedule[:-1].numpy(), torch.stack(seen).numpy()


def by_formula(distance: float, levels: Sequence[float]) -> np.ndarray:
    """The same for two clips that lie `distance` apart: everything there is to know is one number, with noise.

    Log odds are normal, with mean d²/2 and variance d², d = distance · (1 - sigma) / sigma; certainty is the mean of
    1 / (1 + e^-odds).
    """
    z = np.linspace(-8, 8, 2001)
    density = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    d = distance * (1 - np.asarray(levels)) / np.asarray(levels)
    odds = (d**2 / 2)[:, None] + d[:, None] * z
    return (density / (1 + np.exp(-odds.clip(-500, 500)))).sum(axis=1)


def distances(clips: Tensor, answers: Tensor) -> dict[str, float]:
    """How far apart two clips are that differ in one answer only, on average over all such pairs."""
    flat, found = clips.flatten(1), {}
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    differ = answers[:, None] != answers  # (n, n, questions)
    for q, name in enumerate(QUESTIONS):
        pairs = differ[..., q] & (differ.sum(-1) == 1)
        found[name] = apart[pairs].mean().item()
    return found


# ---- a cloud of clips ----------------------------------------------------------------------------------------------


class Cloud:
    """The best denoiser for a Gaussian cloud, whose samplers can be held against the exact solution.

    mean (f, c, h, w); directions (k, f, c, h, w), orthonormal; spreads (k,): the cloud's standard deviation in each.
    In one direction, x = root · noise + (1 - sigma) · mean with root² = (1 - sigma)² spread² + sigma², for ever.
    """

    def __init__(self, mean: Tensor, directions: Tensor, spreads: Tensor):
        self.mean, self.directions, self.spreads = mean.double(), directions.double(), spreads.double()

    @classmethod
    def of(cls, clips: Tensor) -> Cloud:
        """The cloud with the mean and the covariance of some clips (n, f, c, h, w)."""
        mean = clips.double().mean(0)
        _, size, rows = torch.linalg.svd((clips.double() - mean).flatten(1), full_matrices=False)
        keep = slice(len(clips) - 1)  # the last direction is rounding: the mean took one away
        return cls(mean, rows[keep].unflatten(1, mean.shape), size[keep] / math.sqrt(len(clips) - 1))

    def along(self, x):
        """x's coordinates in the cloud's directions, (b, k)."""
        return einsum(x, self.directions, "b f c h w, k f c h w -> b k")

    def place(self, coordinates):
        """The clip with these coordinates (b, k): (b, f, c, h, w)."""
        return self.mean + einsum(coordinates, self.directions, "b k, k f c h w -> b f c h w")

    def data(self, x, sigma):
        """The posterior mean (Wiener's filter): each direction shrunk by how much of it is cloud, not noise."""
        level = sigma[:, :1].double()  # one noise level for all frames
        signal = (1 - level) * self.spreads  # (b, k)
        keep = signal * self.spreads / (signal**2 + level**2)
        return self.place(keep * self.along(x - on_frames(1 - sigma).double() * self.mean))

    def velocity(self, x, sigma):
        """A `velocity_fn` for every sampler."""
        return (x - self.data(x, sigma)) / on_frames(sigma)

    def exact(self, noise):
        """Where infinitely many steps lead from this noise: spread · noise, in each direction."""
        return self.place(self.spreads * self.along(noise))

    def error(self, x, noise) -> float:
        """How far x is from there, as a share of how far the exact clips are from the mean."""
        right = self.along(self.exact(noise) - self.mean)
        return ((self.along(x - self.mean) - right).norm() / right.norm()).item()

    def contrast(self, x, noise) -> float:
        """How far x is from the mean, as a share of how far the exact clips are. Below 1: muddy."""
        return (self.along(x - self.mean).norm() / self.along(self.exact(noise) - self.mean).norm()).item()


def order(steps: Sequence[int], errors: Sequence[float]) -> float:
    """By what power of the number of steps the errors fall: the slope of a straight line through their logarithms."""
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


def some_latents(system, count: int) -> Tensor:
    """Latents (count, f, c, h, w) of clips as training draws them."""
    dice = random.Random(0)
    return system.encode([
        render(scene(sample_meaning(dice, system.world, "train"), seed, system.world)) for seed in range(count)
    ])  # fmt: skip


def noises(count: int, shape: Sequence[int] = (5, 24, 8, 8)) -> Tensor:
    """Pure noise (count, f, c, h, w) float64; number i is that of a clip with seed i."""
    return draw_noise((count, *shape), [torch.Generator().manual_seed(i) for i in range(count)]).double()


def detail(frames: np.ndarray) -> float:
    """How much neighboring pixels differ, in levels of 255: the mean over clips uint8 (…, h, w, 3). Mud has little."""
    pixels = frames.astype(float)
    return (np.abs(np.diff(pixels, axis=-2)).mean() + np.abs(np.diff(pixels, axis=-3)).mean()) / 2


def on_plane(village: Handful, x: Tensor) -> tuple[float, float]:
    """Where x (1, f, c, h, w) lies between left (-1) and right (+1), and between floor (-1) and sky (+1)."""
    place = []
    for question in ("direction", "background"):
        low, high = (village.latents[village.where(question, answer)].mean(0) for answer in QUESTIONS[question])
        axis = (high - low) / 2
        place.append((((x[0] - (high + low) / 2) * axis).sum() / axis.square().sum()).item())
    return tuple(place)


def corners(village: Handful) -> dict[str, tuple[float, float]]:
    """Where the means of the four groups of clips lie on that plane."""
    sides, grounds = QUESTIONS["direction"], dict(zip(QUESTIONS["background"], ("floor", "sky"), strict=True))
    found = {}
    for side, (said, ground) in product(sides, grounds.items()):
        mean = village.latents[village.where("direction", side) & village.where("background", said)].mean(0)
        found[f"{side}, {ground}"] = on_plane(village, mean[None])
    return found
