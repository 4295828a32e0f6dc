"""What an autoencoder keeps, who in it hears of whom, where it flickers, and what the KL term buys."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from minit2v.lab.page import COLORS, Figure
from minit2v.vae import VAE, Norm, to_frames, to_pixels

# ---- there and back ----------------------------------------------------------------------------------------------


def through(vae: VAE, frames: np.ndarray) -> np.ndarray:
    """Frames (t, h, w, 3) uint8, encoded and decoded as one clip."""
    return to_frames(vae.decode(vae.encode(to_pixels(frames)[None])))[0]


def noisy(vae: VAE, frames: np.ndarray, amount: float, way: str = "clip", seed: int = 0) -> np.ndarray:
    """The same with noise of that spread on the latents (1 is their own spread): the errors that a denoiser leaves.

    way: "clip", as one clip; "alone", every frame as a clip of its own; "same", as one clip, and with the same noise on
    every latent frame: an error just as large that does not change.
    """
    pixels = to_pixels(frames)  # (t, 3, h, w)
    latents = vae.encode(pixels[:, None] if way == "alone" else pixels[None])  # (b, f, c, h', w')
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    noise = noise[:, :1].expand_as(noise) if way == "same" else noise
    back = to_frames(vae.decode(latents + amount * noise))  # (b, t, h, w, 3)
    return back[:, 0] if way == "alone" else back[0]


def off(back: np.ndarray, frames: np.ndarray) -> float:
    """How far a value is off, on average: levels of 255."""
    return float(np.abs(back.astype(float) - frames).mean())


def echo(wrong: np.ndarray, right: np.ndarray) -> float:
    """How much of a frame's error is still there in the next frame: the correlation of neighboring frames' errors."""
    error = (wrong.astype(float) - right).reshape(len(right), -1)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairwise(error)]))


# ---- who hears of whom -------------------------------------------------------------------------------------------


class TimeNorm(nn.Module):
    """What a GroupNorm does to a video: one size for all frames and places, so every frame hears of every other."""

    def __init__(self, norm: Norm):
        super().__init__()
        self.weight = norm.weight

    def forward(self, x: Tensor) -> Tensor:  # (b, f, h, w, c)
        return x * self.weight * (x.square().mean(dim=(1, 2, 3, 4), keepdim=True) + 1e-6).rsqrt()


def leaky(vae: VAE) -> VAE:
    """A copy of the VAE, every norm taken over time as well. Its weights were not trained for that."""
    vae = copy.deepcopy(vae)
    for module in list(vae.modules()):
        for name, child in module.named_children():
            if isinstance(child, Norm):
                setattr(module, name, TimeNorm(child))
    return vae


def _moved(run, x: Tensor) -> np.ndarray:
    """Every frame of x (1, n, …) disturbed in turn: how far each frame of `run(x)` moves at most, (n, frames out)."""
    nudged = x.expand(x.shape[1], *x.shape[1:]).clone()
    for k in range(x.shape[1]):
        nudged[k, k] += 0.5
    return (run(nudged) - run(x)).abs().flatten(2).amax(dim=-1).numpy()


@torch.no_grad()
def hears(vae: VAE, frames: int = 17, size: int = 32, decoder: bool = False, seed: int = 0) -> np.ndarray:
    """Who hears of whom, found by disturbing: pixel frames → latent frames, or with `decoder` latent → pixel frames.

    Row: the one that is disturbed; column: how far that output moves. In float64, so that what does not move is 0.
    """
    vae = copy.deepcopy(vae).double()
    dice = torch.Generator().manual_seed(seed)
    pixels = torch.rand(1, frames, 3, size, size, generator=dice, dtype=torch.float64) * 2 - 1
    if not decoder:
        return _moved(lambda x: vae.posterior(x)[0], pixels)
    return _moved(lambda x: vae.reconstruct(vae.denormalise(x)), vae.encode(pixels))


def silent(found: np.ndarray) -> np.ndarray:
    """Which pairs do not hear of each other, (rows, columns) bool: moved by no more than rounding."""
    return found < 1e-9


def reached(found: dict[str, np.ndarray]) -> Figure:
    """Squares of who hears of whom, "disturbed → moved" being the name: white is nothing, darker is more."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    wide = [max(8.0, len(square[0])) for square in found.values()]
    canvas = Canvas(figsize=(9.8, 3.9), layout="constrained")
    panels, said = canvas.subplots(1, len(found), width_ratios=wide), []
    dark = np.array([int(COLORS["blue"][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    for panel, (name, square) in zip(panels, found.items(), strict=True):
        level = np.where(silent(square), 0, 0.25 + 0.75 * (1 + np.log10(square / square.max() + 1e-12) / 4).clip(0, 1))
        panel.imshow(1 + level[..., None] * (dark - 1), aspect="auto", interpolation="nearest")
        panel.set_xticks(np.arange(square.shape[1] + 1) - 0.5, labels=[], minor=True)
        panel.set_yticks(np.arange(square.shape[0] + 1) - 0.5, labels=[], minor=True)
        panel.grid(which="minor", color="#aaaaaa", lw=0.5)
        panel.tick_params(which="minor", length=0)
        panel.set_xticks(range(0, square.shape[1], 4 if square.shape[1] > 6 else 1))
        panel.set_yticks(range(0, square.shape[0], 4 if square.shape[0] > 6 else 1))
        title, _, axes = name.partition(": ")
        down, across = axes.split(" → ")
        panel.set_title(title, fontsize=10)
        panel.set(ylabel=f"{down} (disturbed)", xlabel=f"{across} (moves)")
        rows = [f"{down} {k} moves {_spans(np.flatnonzero(~silent(row)))}" for k, row in enumerate(square)]
        said.append(f"{title}: {rows[0]}, {rows[len(rows) // 2]}, {rows[-1]}")
    return described(canvas, f"Who hears of whom, found by disturbing one frame at a time. {'; '.join(said)}.")


def _spans(which: np.ndarray) -> str:
    return "nothing" if not len(which) else f"{which[0]} to {which[-1]}" if len(which) > 1 else f"{which[0]} alone"


# ---- tiles -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def in_tiles(vae: VAE, latents: Tensor, overlap: int) -> Tensor:
    """Latents (1, f, c, h, w) decoded in a left and a right half that share 2 · `overlap` latent columns, faded into
    each other where they do: (1, t, 3, H, W). Less memory at a time; the price is at the seam."""
    wide, scale = latents.shape[-1], vae.config.spatial
    middle = wide // 2
    left, right = vae.decode(latents[..., : middle + overlap]), vae.decode(latents[..., middle - overlap :])
    ramp = torch.zeros(wide * scale)
    ramp[(middle + overlap) * scale :] = 1
    shared = 2 * overlap * scale
    ramp[(middle - overlap) * scale : (middle + overlap) * scale] = (torch.arange(shared) + 0.5) / max(1, shared)
    both = [torch.zeros(*left.shape[:-1], wide * scale) for _ in range(2)]
    both[0][..., : left.shape[-1]], both[1][..., -right.shape[-1] :] = left, right
    return both[0] * (1 - ramp) + both[1] * ramp


# ---- what the KL term buys ---------------------------------------------------------------------------------------


@torch.no_grad()
def nats(vae: VAE, frames: np.ndarray) -> np.ndarray:
    """KL divergence of each latent value from the standard normal, ½ (μ² + σ² - 1 - log σ²): its mean per channel."""
    mean, log_variance = vae.posterior(to_pixels(frames)[None])  # (1, f, c, h, w)
    return (0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)).mean(dim=(0, 1, 3, 4)).numpy()


def without(vae: VAE, frames: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """There and back with some latent channels at their mean over all clips, 0."""
    latents = vae.encode(to_pixels(frames)[None])
    latents[:, :, list(channels)] = 0
    return to_frames(vae.decode(latents))[0]


class Pocket:
    """The smallest VAE there is: linear, of single patches, and solved instead of trained.

    It minimizes the mean over patches of ½ |x - x̂|² + β · KL. The best encoder looks along the principal directions of
    the patches. With variance λ along one of them, its number is worth its price while λ > β; then the posterior's
    variance is β/λ, the KL ½ log(λ/β) nats, and the error β. Else the number is silent, and the error λ.
    (Lucas et al. 2019, "Don't blame the ELBO"; Shannon's reverse water-filling: Cover and Thomas, section 10.3.)
    """

    def __init__(self, clips: Sequence[np.ndarray], side: int = 8):
        self.side = side
        patches = np.concatenate([self.cut(clip) for clip in clips])
        self.mean = patches.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov(patches.T, bias=True))
        self.variances, self.axes = np.maximum(variances[::-1], 1e-9), axes[:, ::-1]  # the largest first

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """Frames (t, h, w, 3) uint8 -> patches (n, side · side · 3) in [-1, 1]."""
        s = self.side
        return rearrange(frames / 127.5 - 1, "t (h p) (w q) c -> (t h w) (p q c)", p=s, q=s)

    def alive(self, beta: float) -> int:
        """How many of its numbers say anything at all."""
        return int((self.variances > beta).sum())

    def nats(self, beta: float) -> float:
        """KL divergence of one patch's numbers."""
        return float(0.5 * np.log(np.maximum(self.variances / beta, 1)).sum())

    def posterior(self, frames: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n, numbers) and variance (numbers,)."""
        variance = np.minimum(beta / self.variances, 1)
        scale = np.sqrt((1 - variance) / self.variances)
        return (self.cut(frames) - self.mean) @ self.axes * scale, variance

    def decode(self, latents: np.ndarray, shape: tuple, beta: float) -> np.ndarray:
        """Numbers (n, numbers) -> frames of that shape, not rounded, in 0 … 255."""
        t, h, w, _ = shape
        patches = latents * np.sqrt(np.maximum(self.variances - beta, 0)) @ self.axes.T + self.mean
        names = dict(t=t, h=h // self.side, w=w // self.side, p=self.side, q=self.side)
        return (rearrange(patches, "(t h w) (p q c) -> t (h p) (w q) c", **names) + 1) * 127.5

    def through(self, frames: np.ndarray, beta: float, seed: int = 0) -> np.ndarray:
        """There and back by a draw from the posterior, as in training."""
        mean, variance = self.posterior(frames, beta)
        drawn = mean + np.sqrt(variance) * np.random.default_rng(seed).normal(size=mean.shape)
        return self.decode(drawn, frames.shape, beta).clip(0, 255).round().astype(np.uint8)

    def expected(self, frames: np.ndarray, beta: float) -> np.ndarray:
        """There and back by the posterior's mean: what comes back on average, not rounded, in 0 … 255."""
        return self.decode(self.posterior(frames, beta)[0], frames.shape, beta)

    def errors(self, frames: np.ndarray, beta: float, seed: int = 0) -> np.ndarray:
        """Mean squared error along each principal direction, by a draw, (numbers,): before anything is rounded."""
        mean, variance = self.posterior(frames, beta)
        drawn = mean + np.sqrt(variance) * np.random.default_rng(seed).normal(size=mean.shape)
        apart = self.cut(frames) - self.mean - drawn * np.sqrt(np.maximum(self.variances - beta, 0)) @ self.axes.T
        return ((apart @ self.axes) ** 2).mean(axis=0)


def priced(pocket: Pocket, clips: Sequence[np.ndarray], betas: Sequence[float]) -> tuple[list[np.ndarray], list[str]]:
    """For a slider over the price β: frames of some clips above, what comes back below; and labels."""
    from minit2v.media import enlarge

    pictures, labels = [], []
    for beta in betas:
        back = [pocket.through(clip, beta) for clip in clips]
        rows = [np.concatenate([enlarge(clip[:1], 128)[0] for clip in row], axis=1) for row in (clips, back)]
        pictures.append(np.concatenate([rows[0], np.full_like(rows[0][:4], 255), rows[1]]))
        error = np.mean([off(b, clip) for b, clip in zip(back, clips, strict=True)])
        total = len(pocket.variances)
        labels.append(
            f"price {beta:g}: {pocket.alive(beta)} of {total} numbers alive, {pocket.nats(beta):.0f} nats a patch, "
            f"off by {error:.1f} of 255"
        )
    return pictures, labels


# ---- pictures ----------------------------------------------------------------------------------------------------


def bars(channels: dict[str, np.ndarray], about: str) -> Figure:
    """Nats of each latent channel, the loudest first; one panel for each autoencoder."""
    from matplotlib.figure import Figure as Canvas

    from minit2v.lab.drawings import described

    canvas, said = Canvas(figsize=(9.8, 2.9), layout="constrained"), []
    wide = [max(12, len(values)) for values in channels.values()]
    panels = canvas.subplots(1, len(channels), width_ratios=wide, sharey=True)
    for panel, (name, values) in zip(panels, channels.items(), strict=True):
        values = np.sort(values)[::-1]
        panel.bar(range(len(values)), values, color=COLORS["blue"])
        panel.set_title(f"{name}: {values.mean():.1f} nats a value", fontsize=10.5)
        panel.set(xlabel="latent channel, the loudest first", xticks=[0, len(values) - 1])
        panel.set_xticklabels(["1", str(len(values))])
        panel.spines[["top", "right"]].set_visible(False)
        said.append(f"{name}: from {values[0]:.1f} down to {values[-1]:.1f} nats")
    panels[0].set_ylabel("nats a value")
    return described(canvas, f"{about} {'; '.join(said)}.")


def latent_pictures(frames: np.ndarray, image: Tensor, video: Tensor) -> Figure:
    """Frames 0, 4, 8, … above; below them their latents by the image VAE (f, c, h, w), and those of the video VAE."""
    from minit2v.lab.drawings import _colors, _paste, _sheet, _write, described

    left, tile, gap = 176, 118, 10
    step = (len(frames) - 1) // (len(video) - 1)
    canvas, axes = _sheet(left + len(video) * (tile + gap), 24 + 3 * (tile + gap))
    shown = {
        f"image VAE: the latents\nof these frames,\n{image.shape[1]} channels": (image, image[::step]),
        f"video VAE: all {len(video)}\nlatent frames,\n{video.shape[1]} channels": (video, video),
    }
    rows = {"every fourth frame": frames[::step]}
    rows |= {label: _colors(latents.numpy())(some.numpy()) for label, (latents, some) in shown.items()}
    for line, (label, pictures) in enumerate(rows.items()):
        y = 24 + line * (tile + gap)
        _write(axes, left - 12, y + tile / 2, label, across="right")
        for k, picture in enumerate(pictures):
            _paste(axes, picture, left + k * (tile + gap), y, tile, tile)
            if not line:
                _write(axes, left + k * (tile + gap) + tile / 2, 11, f"frame {k * step}", across="center")
    alt = (
        f"Frames {', '.join(str(k * step) for k in range(len(video)))} of a clip; below them, in false colors, the "
        f"latents that the image VAE makes of each of them, and the {len(video)} latent frames of the video VAE. In "
        "both, the subject's place can be made out; one place stands for 8 × 8 pixels."
    )
    return described(canvas, alt)


def kept(back: np.ndarray, real: np.ndarray, where: np.ndarray) -> float:
    """The share of the real pattern that is still there, `where` being (t, h, w) bool: slope of brightness on
    brightness."""
    x, y = real.mean(axis=-1)[where], back.mean(axis=-1)[where]
    return float(np.cov(x, y)[0, 1] / x.var())


def contrast(frames: np.ndarray, real: np.ndarray, outside: np.ndarray) -> float:
    """How much brighter the stars are than the sky, levels of 255: stars and sky being where the real clip has them.

    outside: (t, h, w) bool, where the subject is not.
    """
    bright, shown = real.mean(axis=-1), frames.astype(float).mean(axis=-1)
    return float(shown[(bright > 200) & outside].mean() - shown[(bright < 120) & outside].mean())
