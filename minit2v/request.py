"""What to generate: prompts and seeds, given frames, and how a long clip is cut into windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from minit2v.errors import UserError
from minit2v.vae import VAEConfig, check_frames
from minit2v.world.scenes import World
from minit2v.world.windows import Window, plan


@dataclass(frozen=True)
class Given:
    """Frames that a clip is made around. first: uint8 (t, h, w, 3), the frames that it begins with, 1, 5, 9, …; last:
    the picture that it ends with, (1, h, w, 3). noise: the level in [0, 1) at which the network sees them: more gives
    it more freedom, to move and to change what it is given.
    """

    first: np.ndarray | None = None
    last: np.ndarray | None = None
    noise: float = 0.0


@dataclass(frozen=True)
class Sliding:
    """How a clip longer than those of training is made: in windows as long as those, so that no position is new to the
    network and memory does not grow.

    context: frames that a window is given of the one before, 1, 5, 9, …; 0: no windows, the whole clip at once.
    noise: the level at which the network sees them. They are encoded from their pixels, the first of them alone, as
    at the start of a clip; or, if `carry`, their latents are handed on, the first of which covers four frames.
    """

    context: int = 0
    noise: float = 0.0
    carry: bool = False


@dataclass(frozen=True)
class Request:
    """What to generate, checked. frames: of the clip. windows: in which it is made, one or more. shape: of a window's
    latents, (f, c, h, w). given: one for each prompt, or none."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    shape: tuple[int, int, int, int]
    steps: int
    guidance: float
    given: tuple[Given, ...] = ()
    frames: int = 0
    windows: tuple[Window, ...] = ()
    sliding: Sliding = Sliding()


def cut_into_windows(
    frames: int, world: World, sliding: Sliding, given: Sequence[Given] = (), group: int = 4
) -> tuple[Window, ...]:
    """In which a clip of `frames` is made around what is given, `group` frames to a latent. Raises `UserError` for a
    context that is not legal, and where the last window would have nothing to make."""
    check_noise(sliding.noise)
    windows = plan(frames, world.frames, sliding.context, len(given[0].first) if has_first(given) else 0, group)
    if given and given[0].last is not None and windows[-1].frames - windows[-1].known <= group:
        raise UserError(f"{frames} frames leave none to be made before the last picture; ask for {frames + group}")
    return tuple(windows)


def has_first(given: Sequence[Given]) -> bool:
    """Whether what is given begins the clip."""
    return bool(given) and given[0].first is not None


def check_seed(seed: int) -> None:
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise UserError(f"seed {seed}: give a whole number from 0 to 2**63 - 1")


def check_given(given: Sequence[Given], count: int, frames: int, world: World, vae: VAEConfig) -> None:
    """Raises `UserError` unless there is one for each prompt, all of one kind, that leave something to be made."""
    kinds = {(*(None if part is None else part.shape for part in (one.first, one.last)), one.noise) for one in given}
    if len(given) != count or len(kinds) > 1:
        raise UserError(f"{count} prompts need {count} given pictures or clips of one size and noise level, or none")
    ((first, last, noise),) = kinds
    for shape in filter(None, (first, last)):
        if shape[1:] != (world.height, world.width, 3):
            raise UserError(f"given frames of {shape[1:]}: they must be ({world.height}, {world.width}, 3); scale them")
    if first is None and last is None:
        raise UserError("nothing is given: name a first or a last picture, or leave `given` out")
    if first is not None:
        check_frames(first[0], vae.temporal)
    if (first[0] if first else 0) + (vae.temporal if last else 0) >= frames:
        raise UserError(f"{frames} frames leave none to be made beside those given: ask for more")
    check_noise(noise)


def check_noise(noise: float) -> None:
    if not 0 <= noise < 1:
        raise UserError(f"noise {noise} on given frames: give a number from 0 (as they are) to below 1")
