"""What to ask a system for: prompts of a split, drawn by seed, or one's own."""

from __future__ import annotations

import random
from pathlib import Path

from minit2v.errors import UserError
from minit2v.world import captions
from minit2v.world.captions import Meaning
from minit2v.world.scenes import World, check, sample_meaning

SPLITS = ("held-out", "train")


def draw_prompts(n: int, split: str, world: World, seed: int = 0, pillar: bool = False) -> list[str]:
    """`n` random prompts of a split, always the same ones for a seed; with `pillar`, of those that have one.

    The language is that of `world.frames`: in a long clip most glides would leave the picture. Raises `UserError` for
    other splits, n < 1, and pillars in a world whose clips are too long or too short to pass one.
    """
    if split not in SPLITS:
        raise UserError(f"there is no split {split!r}; legal are {' and '.join(SPLITS)}")
    if n < 1:
        raise UserError(f"{n} prompts: give a number of at least 1")
    if pillar:
        check(Meaning("ball", ("right",), pillar=True), world)
    rng = random.Random(f"evaluate {split} {seed}")
    return [captions.phrase(_draw(rng, world, split, pillar), rng) for _ in range(n)]


def _draw(rng: random.Random, world: World, split: str, pillar: bool) -> Meaning:
    while True:
        meaning = sample_meaning(rng, world, split)
        if meaning.pillar or not pillar:
            return meaning


def read_prompts(path: str | Path, world: World) -> list[str]:
    """The prompts of a text file, one on each line; empty lines and those that start with # do not count.

    Raises `UserError` with the number of the first line that the world cannot show.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"cannot read '{path}': {reason}; give a text file with one prompt on each line") from error
    prompts = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            check(captions.parse(line), world)
        except UserError as error:
            raise UserError(f"'{path}', line {number}: {error}") from error
        prompts.append(line.strip())
    if not prompts:
        raise UserError(f"'{path}' holds no prompts; write one on each line")
    return prompts
