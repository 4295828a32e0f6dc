"""What must last: a subject past a pillar, a subject to the end of a long clip; and what single frames cannot tell.

As in `metrics`, `frames` is uint8 (t, h, w, 3), `track` what the oracle measured in them, and nan what does not apply.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from minit2v.identity import at_end, permanence, stayed
from minit2v.physics import emergence_error, finite_mean
from minit2v.world.captions import Meaning
from minit2v.world.oracle import Reading, judge, matches
from minit2v.world.scenes import STANDARD, World
from minit2v.world.windows import due

PLACE = 4.0  # px: how far from where its motion leads a subject may come out, a quarter of the smallest one's width


def comes_out(frames: np.ndarray, track, meaning: Meaning, world: World = STANDARD) -> dict[str, float]:
    """The pillar, in two figures and one verdict: does the same thing come out, where its motion leads?

    same: `identity.permanence`; place_error: `physics.emergence_error`, px; verdict: 1 if it is the same, at most PLACE
    px from where it should be, else 0. nan without a pillar. Blind to what happens behind the pillar.
    Source: chapter, "long-range consistency".
    """
    same, error = permanence(frames, track, meaning), emergence_error(track, meaning, world)
    verdict = same if math.isnan(same) else float(same and error <= PLACE)
    return {"verdict": verdict, "same": same, "place_error": error}


def held(frames: np.ndarray, reading: Reading, meaning: Meaning, world: World = STANDARD) -> dict[str, float]:
    """Is the subject still itself when a long clip ends? Looked at in its last second; nan for clips that are not long.

    same: color, outline, size and texture of the last second are those of the first frame (`identity.stayed`);
    asked: the oracle, shown the last second alone, reads the subject, color and size that the prompt asks for (the size
    only while it is due: see `windows.due`), and in the whole clip its texture, for in one second of a subject that a
    camera has left small it cannot be told; verdict: both. Blind to motion, and to how it got there.
    Source: chapter, "longer coherent clips".
    """
    place, last = replace(world, frames=len(frames)), world.fps + 1
    if not place.long:
        return dict.fromkeys(("verdict", "same", "asked"), math.nan)
    change = at_end(frames, reading.track, meaning, last)
    same = stayed(change, meaning.size or reading.size, tuple(change))
    right = matches(judge(frames[-last:], world), due(meaning, place, len(frames) - last, last))
    right["texture"] = matches(reading, meaning)["texture"]
    asked = float(all(right[name] for name in ("subject", "color", "texture", "size") if name in right))
    return {"verdict": same * asked, "same": same, "asked": asked}


def frame_adherence(frames: np.ndarray, meaning: Meaning, world: World = STANDARD) -> float:
    """Share of the frames that, each looked at alone, show the subject, color and texture asked for.

    Blind to everything between frames (the order, motion, flicker), and to the background, which cannot be told from
    one frame of a camera that moves. nan for pillars, which hide the subject. A clip that is right here and wrong as a
    clip is what is meant by: Source: chapter, "why does temporal consistency fail even when single frames look
    beautiful?"
    """
    if meaning.pillar:
        return math.nan
    names = ("subject", "color", "texture")
    alone = (matches(judge(frame[None], world), meaning) for frame in frames)
    return finite_mean([all(right[name] for name in names if name in right) for right in alone])
