"""Long clips: positions past the training length, windows, what a context says and what it forgets, moving cameras."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from minit2v.arithmetic import ClipShape, VAEShape, pairs
from minit2v.arithmetic.models import transformer
from minit2v.attention import rotary_3d, sinusoidal_3d
from minit2v.checkpoints import available
from minit2v.clip import Clip
from minit2v.diffusion import FlowMatching, draw_noise, euler, sigmas
from minit2v.identity import TOLERANCE, drift_curves, whenever_seen
from minit2v.lab.denoising import Few
from minit2v.lab.start import NOTEBOOKS
from minit2v.meter import peak_bytes
from minit2v.pipeline import TextToVideo
from minit2v.request import Sliding
from minit2v.world.captions import CAMERAS, COLORS, parse
from minit2v.world.render import render
from minit2v.world.scenes import RADIUS, STANDARD, Scene, scene
from minit2v.world.windows import Window, due_prompt, plan

SYSTEM = "veo" if "veo" in available() else "sora"  # who makes the long clips of the lesson
WINDOW = STANDARD.frames  # of training's clips
LOST = 5.0  # tolerances: the most that drift counts, and what is no longer seen


def staged(prompt: str, seed: int = 0, frames: int = 69) -> Scene:
    """The truth of a long clip: how the world shows that prompt in so many frames."""
    return scene(parse(prompt), seed, replace(STANDARD, frames=frames))


# ---- positions past the training length ----------------------------------------------------------------------------


@contextmanager
def placed(dit, times: Sequence[float]):
    """Inside `with`, latent frame i of the transformer's clips has the position times[i] in time, in place of i."""
    spots, config = [(float(time), 0, 0) for time in times], dit.config

    def positions(grid, device=None):
        _, h, w = grid
        added = torch.cat([sinusoidal_3d(1, h, w, config.dim, offset=spot) for spot in spots])  # (f, n, d)
        turned = torch.cat([rotary_3d(1, h, w, config.head_dim, offset=spot) for spot in spots])  # (f, n, d/2)
        own = type(dit).positions(dit, grid, device)  # the model may use one of the two only
        return tuple(None if mine is None else new.to(mine) for mine, new in zip(own, (added, turned), strict=True))

    dit.positions = positions
    try:
        yield
    finally:
        del dit.positions


@torch.no_grad()
def misses(
    system, latents: Tensor, prompts: Sequence[str], times=None, level: float = 0.7, given: int = 0
) -> np.ndarray:
    """How far the denoiser's guess is off, for each latent frame: (f,), the rms over clips, channels and places.

    latents (b, f, c, h, w) of real clips are mixed with noise to that level, but for the first `given` frames, which it
    sees as they are; times: see `placed`. The unit is that of the latents, whose spread is about 1.
    """
    sigma = torch.full(latents.shape[:2], level)
    sigma[:, :given] = 0
    noise = draw_noise(latents.shape, [torch.Generator().manual_seed(i) for i in range(len(latents))])
    x = FlowMatching.add_noise(latents, noise, sigma)
    model = system.model
    with placed(model.denoiser, range(latents.shape[1]) if times is None else times):
        guess = FlowMatching.data_from_velocity(x, model(x, sigma, model.read(list(prompts))), sigma)
    return (guess - latents).square().mean(dim=(0, 2, 3, 4)).sqrt().numpy()


def squeezed(frames: int, most: int) -> list[float]:
    """Positions of that many latent frames, pressed together so that none lies beyond those of `most`."""
    return [i * (most - 1) / (frames - 1) for i in range(frames)]


# ---- what it costs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bill:
    """What the denoiser pays for a long clip. frames: those that go through it; tokens: of the largest pass; scores: of
    one head in one layer, all passes; flops: of one step, all passes. All exact."""

    windows: int
    frames: int
    tokens: int
    scores: int
    flops: int


def bill(config, frames: int, context: int, length: int = WINDOW, size=(64, 64), words: int = 10) -> Bill:
    """The bill of a clip of `frames`, made in windows of `length` with that context; context 0: in one piece.

    config: of a transformer on the latents of a 4 × 8 × 8 VAE, such as ours. The VAE's own work is not in it.
    """
    windows = plan(frames, length, context)  # all of one length
    latents = VAEShape(4, 8, 8, config.channels).latents(ClipShape(windows[0].frames, *size))
    grid = latents.tokens(config.patch)
    return Bill(
        windows=len(windows),
        frames=len(windows) * windows[0].frames,
        tokens=grid.tokens,
        scores=len(windows) * pairs("full", grid),
        flops=len(windows) * transformer(config, latents, words).flops,
    )


def pays_from(config, context: int, length: int = WINDOW, size=(64, 64), most: int = 2001) -> int | None:
    """From how many frames on windows cost fewer FLOPs than the clip in one piece; None: not up to `most`."""
    for frames in range(length + 4, most, 4):
        if bill(config, frames, context, length, size).flops < bill(config, frames, 0, length, size).flops:
            return frames
    return None


def peak(system, prompt: str, frames: int, sliding: Sliding) -> int:
    """Bytes of tensors alive at once, at most, beside the weights, while a clip streams by. One step: more take longer,
    and no more memory."""
    request = system.request([prompt], [0], frames, steps=1, guidance=1.0, sliding=sliding)
    weights = sum(each.numel() * each.element_size() for part in (system.model, system.vae) for each in
                  (*part.parameters(), *part.buffers()))  # fmt: skip

    def run():
        for _ in system.stream(request):
            pass

    return peak_bytes(run, system.model, system.vae) - weights


# ---- a pipeline that makes no mistakes -----------------------------------------------------------------------------


class Witness(TextToVideo):
    """The course's pipeline, with the best denoiser that there can be in the place of the trained one: see `Few`.

    village(start): the clips (n, frames, h, w, 3) that a window which starts at that frame may show. What comes out
    wrong here, no training mends: the context does not say it.
    """

    def __init__(self, system: TextToVideo, village: Callable[[int], np.ndarray]):
        super().__init__(system.model, system.vae, "witness")
        self.village, self.few = village, {}

    def piece(self, request, number, past):
        self.start = request.windows[number].start
        if self.start not in self.few:
            self.few[self.start] = Few(self.encode(list(self.village(self.start))))
        return super().piece(request, number, past)

    def denoise(self, request, on_step=None, carried=None) -> Tensor:
        dice = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        noise = draw_noise((len(dice), *request.shape), dice).double()  # (b, f, c, h, w)
        schedule, known = sigmas(request.steps, self.sampling.shift), self.known(request.given, noise, carried)
        return euler(self.few[self.start].velocity, noise, schedule, known, on_step).float()


# ---- what a context says: a ball on a circle -----------------------------------------------------------------------

CIRCLE = "a small red ball circles on a checkered floor"
ROUND = 16  # frames


def circling(start: int, frames: int = WINDOW) -> np.ndarray:
    """The two clips (2, frames, h, w, 3) of a ball on a circle that may be seen from frame `start` on: clockwise, and
    against the clock. Both begin at the top with frame 0."""
    told, clips = staged("a small red ball stands still on a checkered floor", 0, frames), []
    for way in (1, -1):
        angle = way * 2 * np.pi * (start + np.arange(frames)) / ROUND
        place = RADIUS * np.stack([np.sin(angle), -np.cos(angle)], axis=1)
        clips.append(render(replace(told, position=place, width=np.full(frames, 18.0))))
    return np.stack(clips)


def across(frames: np.ndarray) -> np.ndarray:
    """How far to the right of the middle the red thing in each frame is, px: (t,)."""
    red = frames[..., 0].astype(int) - frames[..., 1:].max(axis=-1) > 60  # (t, h, w)
    columns = np.arange(frames.shape[2]) + 0.5 - frames.shape[2] / 2
    return red.sum(axis=1) @ columns / np.maximum(red.sum(axis=(1, 2)), 1)


def ways(frames: np.ndarray, starts: Sequence[int]) -> list[int]:
    """Which way round the ball goes in each window that starts there: 1 clockwise, -1 against the clock."""
    paths = {way: across(clip) for way, clip in zip((1, -1), circling(0, len(frames)), strict=True)}
    track, ends = across(frames), [*starts[1:], len(frames) - 1]
    off = {way: [np.abs(track[s : e + 1] - path[s : e + 1]).mean() for s, e in zip(starts, ends, strict=True)]
           for way, path in paths.items()}  # fmt: skip
    return [1 if right < left else -1 for right, left in zip(off[1], off[-1], strict=True)]


# ---- what a window forgets: a ball behind a pillar -----------------------------------------------------------------

HIDES, PACE, BALL = 20, 1.0, 16.0  # the first frame in which nothing of the ball is seen; px a frame; px
FOUR = ("red", "yellow", "green", "blue")


def behind(hidden: int, start: int = 0, frames: int = WINDOW, colors: Sequence[str] = FOUR) -> np.ndarray:
    """Frames from `start` on (n, frames, h, w, 3) of a ball that passes behind a pillar: one clip for each color, in
    all else the same. Nothing of the ball is seen from frame HIDES to frame HIDES + hidden - 1."""
    told, way = staged("a small red ball stands still on a checkered floor", 0, frames), PACE * (hidden - 1)
    x = PACE * (start + np.arange(frames) - HIDES) - way / 2
    half = (way + BALL) / 2 + 0.6  # a little more than the ball's way, and less than a px more
    place = {"position": np.stack([x, 0 * x], axis=1), "width": np.full(frames, BALL)}
    shown = replace(told, **place, shadow=np.zeros(2), pillar=(-half, half))
    return np.stack([render(replace(shown, color=np.array(COLORS[color]))) for color in colors])


def remembered(system, hidden: int, context: int) -> float:
    """How sure the best denoiser is of the color of a ball that was hidden for so many frames, at the moment when it
    comes out and the window knows the last `context` frames only: 1 is certain, 1/4 is a mere guess."""
    seen = behind(hidden, HIDES + hidden - context, context)
    known = system.encode(list(seen)).double()  # (n, k, c, h, w)
    return Few(known).weights(known, torch.zeros(known.shape[:2])).diagonal().mean().item()


def color_of(frame: np.ndarray, colors: Sequence[str] = FOUR) -> str | None:
    """Which of the colors is in a picture (h, w, 3), on at least 40 pixels; None: none of them."""
    vivid = frame[np.ptp(frame.astype(int), axis=-1) > 90] / 255.0  # (n, 3)
    if len(vivid) < 40:
        return None
    return min(colors, key=lambda name: float(np.abs(vivid.mean(axis=0) - COLORS[name]).sum()))


# ---- what copying costs --------------------------------------------------------------------------------------------


def copied(system, picture: np.ndarray, times: int) -> np.ndarray:
    """A picture (1, h, w, 3), and what is left of it when one window after the other shows it and hands its last frame
    on: (times + 1, h, w, 3). The denoiser makes no mistake here: the picture stands still. Only the VAE is at work."""
    found = [picture]
    for _ in range(times):
        found.append(system.decode(system.encode([found[-1].repeat(WINDOW, axis=0)]))[0, -1:])
    return np.concatenate(found)


def psnr(frames: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The signal-to-noise ratio of each frame against the real one, dB: (t,)."""
    error = ((frames / 255.0 - real / 255.0) ** 2).mean(axis=(1, 2, 3))
    return -10 * np.log10(np.maximum(error, 1e-10))


# ---- drift ---------------------------------------------------------------------------------------------------------

WAYS = {  # to hand a window on to the next
    "the last frame alone": Sliding(1),
    "9 frames, their latents": Sliding(9, carry=True),
    "9 frames, re-encoded": Sliding(9),
    "9 frames, re-encoded, noise 0.3": Sliding(9, 0.3),
}
PROMPTS = (  # closed motions, or a camera that follows: the subject stays in the picture
    "a large yellow star spins on a checkered floor",
    "a large blue face talks in front of a brick wall, the camera pans left",
    "a small red ball moves right under a starry sky, the camera pans right",
    "a small green box stands still on a checkered floor, the camera pushes in",
    "a large orange box circles in front of a brick wall, the camera pulls out",
)
STORED = NOTEBOOKS.parent / "docs" / "drift.json"  # what benchmarks/drift.py writes


def off(clip: Clip) -> np.ndarray:
    """How far the subject of a clip is from its own first frame, second by second: (seconds,).

    The rms of color, size, outline and texture, each over what one would just not accept (`identity.TOLERANCE`); at
    most LOST, which is also what counts while nothing is seen.
    """
    track = whenever_seen(clip.reading.track)
    curves = drift_curves(clip.frames, track, clip.meaning)
    units = np.stack([curves[name] / TOLERANCE[name] for name in TOLERANCE])  # (4, t)
    known = np.isfinite(units)
    total = (np.where(known, units, 0) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    drift = np.where(track.visible, np.sqrt(total).clip(max=LOST), LOST)
    return np.array([drift[start : start + clip.fps].mean() for start in range(1, len(drift), clip.fps)])


def stored() -> dict | None:
    """The drift curves of a bigger run, if one is stored: see benchmarks/drift.py."""
    return json.loads(STORED.read_text(encoding="utf-8")) if STORED.is_file() else None


# ---- cameras -------------------------------------------------------------------------------------------------------

SHOTS = {command: f"a small red ball bounces on a checkered floor, {said[0]}" for command, said in CAMERAS.items()}


def shifted(told: Scene, at: int, px: float) -> Scene:
    """The same shot, with a camera that jumps to the right by `px` before frame `at`."""
    late = np.arange(told.world.frames) >= at
    return replace(told, camera=told.camera + px * np.stack([late, 0 * late], axis=1))


def asked(prompt: str, frames: int, context: int) -> list[tuple[Window, str]]:
    """What each window of a long clip is asked for."""
    world = replace(STANDARD, frames=frames)
    return [(window, due_prompt(prompt, world, window)) for window in plan(frames, WINDOW, context)]
