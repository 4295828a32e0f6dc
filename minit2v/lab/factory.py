"""One prompt on its way through the system: every stage's tensors, kept to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from torch import Tensor

from minit2v import media
from minit2v.clip import Clip
from minit2v.dit import patchify
from minit2v.lab.page import COLORS, Html, table
from minit2v.lab.players import Steps, step_slider
from minit2v.pipeline import TextToVideo
from minit2v.vae import to_frames


@dataclass(frozen=True)
class Stage:
    """A tensor on its way. axes: what each axis counts."""

    name: str
    tensor: Tensor
    axes: str

    @property
    def shape(self) -> str:
        return " × ".join(map(str, self.tensor.shape))


@dataclass(frozen=True)
class Step:
    """One denoising step: noise level, latents before it, and what clip the denoiser sees in them, (f, c, h, w)."""

    sigma: float
    latents: Tensor
    estimate: Tensor


class Trace:
    """What `trace` returns: `stages` by name, `steps`, and the finished `clip`."""

    def __init__(self, system: TextToVideo, clip: Clip, stages: list[Stage], steps: list[Step]):
        self.system, self.clip, self.steps = system, clip, steps
        self.stages = {stage.name: stage for stage in stages}

    def table(self) -> Html:
        """Every stage: its shape, what its axes count, how many numbers it holds, and their range."""
        rows = [
            [stage.name, stage.shape, stage.axes, f"{stage.tensor.numel():,}", _range(stage.tensor)]
            for stage in self.stages.values()
        ]
        head = ["", "shape", "axes", "numbers", "from … to"]
        return table(head, rows, f"“{self.clip.prompt}”, seed {self.clip.seed}, stage by stage")

    def picture(self) -> Drawing:
        """The factory: its machines, and on the belts between them the shapes of this prompt's tensors."""
        return Drawing(self.stages, len(self.steps), self.clip)

    def slider(self, moments: int = 5) -> Steps:
        """What the denoiser has, above, and what it sees in it, below, at every step; decoded to pixels."""
        pictures, labels = [], []
        for number, step in enumerate(self.steps):
            both = self.system.decode(torch.stack([step.latents, step.estimate]))  # (2, t, h, w, 3)
            rows = [media.strip(media.enlarge(frames, 128), moments) for frames in both]
            pictures.append(np.concatenate([rows[0], np.full_like(rows[0][:4], 255), rows[1]]))
            labels.append(f"step {number + 1} of {len(self.steps)}, noise level {step.sigma:.2f}")
        alt = (
            f"{moments} frames of the clip while it comes out of the noise: above, what the denoiser is given; below, "
            "the clip that it sees in it. Colors and the rough place come first, the edges last."
        )
        return step_slider(pictures, labels, alt)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table().html


def trace(system: TextToVideo, prompt: str, seed: int = 0, steps=None, guidance=None) -> Trace:
    """Generate a clip and keep what passes by. Raises `UserError` like `generate`."""
    taken = []

    def keep(i, sigma, x, estimate):
        taken.append(Step(float(sigma.max()), x[0].clone(), estimate[0].clone()))

    request = system.request([prompt], [seed], None, steps, guidance)
    model = system.model
    with torch.no_grad():
        ids, _ = model.tokenizer.encode([prompt])
        text = model.read([prompt])
        latents = system.denoise(request, keep)
        pixels = system.vae.decode(latents)
        frames = to_frames(pixels)[0]
    cubes = patchify(latents, model.denoiser.config.patch)
    stages = [
        Stage("word ids", ids[0], "words, with a start sign"),
        Stage("text tokens", text.tokens[0], "words × channels"),
        Stage("text, pooled", text.pooled[0], "channels"),
        Stage("noise", taken[0].latents, "latent frames × channels × height × width"),
        Stage("denoiser's tokens", cubes[0], "latent frames × places × numbers in a cube"),
        Stage("latents", latents[0], "latent frames × channels × height × width"),
        Stage("pixels", pixels[0], "frames × red, green, blue × height × width"),
        Stage("frames", torch.from_numpy(frames), "frames × height × width × red, green, blue"),
    ]
    about = dict(fps=system.world.fps, system=system.name, seed=seed, steps=request.steps, guidance=request.guidance)
    return Trace(system, Clip(frames, prompt, world=system.world, **about), stages, taken)


def _range(tensor: Tensor) -> str:
    low, high = tensor.min().item(), tensor.max().item()
    return f"{low} … {high}" if isinstance(low, int) else f"{low:.2f} … {high:.2f}"


class Drawing:
    """The factory as SVG: it scales, and is text to search and to read aloud."""

    def __init__(self, stages: dict[str, Stage], steps: int, clip: Clip):
        shape = {name: stage.shape for name, stage in stages.items()}
        self.machines = [  # name, what it does, what leaves it
            ("tokenizer", "words to numbers", shape["word ids"]),
            ("text encoder", "numbers to features", shape["text tokens"]),
            ("denoiser", f"noise to latents, {steps} steps", shape["latents"]),
            ("VAE decoder", "latents to pixels", shape["pixels"]),
            ("frames", f"{clip.fps} a second", shape["frames"]),
        ]
        self.prompt, self.noise = clip.prompt, shape["noise"]
        told = "; ".join(f"{name}, {what}, gives {out}" for name, what, out in self.machines)
        self.alt = f"The factory. The prompt “{self.prompt}” passes through: {told}. The denoiser starts from noise."

    def __repr__(self) -> str:
        return self.alt

    def _repr_svg_(self) -> str:
        wide, high, gap = 176, 64, 36
        length = len(self.machines) * (wide + gap)
        parts = [_text(10, 24, self.prompt, 15, "bold")]
        parts.append(_text(10, 168, "Below each machine: the shape of what leaves it."))
        for i, (name, what, out) in enumerate(self.machines):
            x = 10 + i * (wide + gap)
            parts.append(_box(x, 60, wide, high) + _text(x + 10, 86, name, 15, "bold") + _text(x + 10, 106, what))
            parts.append(_text(x + 10, 142, out))
            if i + 1 < len(self.machines):
                parts.append(_arrow(x + wide, 92, x + wide + gap, 92))
        x = 10 + 2 * (wide + gap) + wide / 2
        parts.append(_arrow(x, 34, x, 60) + _text(x + 8, 48, f"noise {self.noise}"))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {length} 180" width="{length}">'
            f"<title>{escape(self.alt)}</title><rect width='100%' height='100%' fill='#ffffff'/>{''.join(parts)}</svg>"
        )


def _box(x, y, wide, high) -> str:
    return (
        f"<rect x='{x}' y='{y}' width='{wide}' height='{high}' rx='6' fill='#f2f8fc' "
        f"stroke='{COLORS['blue']}' stroke-width='2'/>"
    )


def _text(x, y, text, size=12, weight="normal") -> str:
    font = f"font-family='sans-serif' font-size='{size}' font-weight='{weight}'"
    return f"<text x='{x}' y='{y}' {font}>{escape(text)}</text>"


def _arrow(x0, y0, x1, y1) -> str:
    """A line with a head, along an axis."""
    across, down = (8, 0) if y0 == y1 else (0, 8)
    side = (down / 2, across / 2)
    head = [(x1, y1), (x1 - across - side[0], y1 - down - side[1]), (x1 - across + side[0], y1 - down + side[1])]
    points = " ".join(f"{x},{y}" for x, y in head)
    line = f"<line x1='{x0}' y1='{y0}' x2='{x1 - across}' y2='{y1 - down}' stroke='#000000' stroke-width='2'/>"
    return f"{line}<polygon points='{points}' fill='#000000'/>"
