"""A motion of one's own: for a while, the world has one word and one way of moving more.

    def zigzag(time, pace): ...  # seconds (T,) -> px (T, 2)

    with speaking("zigzags", zigzag) as world:
        frames = render(scene(parse("a large red ball zigzags"), 0, world))
        judge(frames, world).motions  # ("zigzags",)

Whatever was possible before looks as it did, inside and afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from minit2v.errors import UserError
from minit2v.world import captions, laws, scenes
from minit2v.world.scenes import STANDARD, World

EVERYBODY = ("ball", "box", "triangle", "star", "dog")  # who can go anywhere


@contextmanager
def speaking(
    word: str, track: Callable, subjects: tuple[str, ...] = EVERYBODY, world: World = STANDARD
) -> Iterator[World]:
    """`world` with one motion more, said by one new word; only within the `with`.

    track(time, pace): where the subject is, px from where it began, x to the right and y down: seconds (T,) -> (T, 2),
    (0, 0) at 0 s; pace is 0.5, 1 or 2 for "slowly", at its own pace, "quickly". Raises `UserError` for a word that is
    known already or is not one lower-case word, for subjects that there are not, and for a track of another kind.
    """
    _check(word, track, subjects)
    before = dict(captions.REPERTOIRE), captions.VOCABULARY
    captions.MOTIONS[word], captions.PHRASES[(word,)] = (word,), ("motion", word)
    captions.REPERTOIRE.update({name: (*captions.REPERTOIRE[name], word) for name in subjects})
    captions.VOCABULARY = tuple(sorted((*captions.VOCABULARY, word)))
    scenes.ADDED[word] = track
    _forget()
    try:
        yield replace(world, motions=(*world.motions, word))
    finally:
        del captions.MOTIONS[word], captions.PHRASES[(word,)], scenes.ADDED[word]
        captions.REPERTOIRE.update(before[0])
        captions.VOCABULARY = before[1]
        _forget()


def _check(word: str, track: Callable, subjects: tuple[str, ...]) -> None:
    if not isinstance(word, str) or captions.words(word) != [word]:
        raise UserError(f"{word!r} is not one lower-case word: a motion's name is what a prompt says")
    if word in captions.VOCABULARY or word in captions.MOTIONS:
        raise UserError(f"the word {word!r} is known already; take another one")
    if unknown := [name for name in subjects if name not in captions.SUBJECTS]:
        raise UserError(f"there is no subject {unknown[0]!r}; legal: {', '.join(captions.SUBJECTS)}")
    way = np.asarray(track(np.arange(3) / 8, 1.0), dtype=np.float64)
    if way.shape != (3, 2) or not np.isfinite(way).all() or np.abs(way[0]).max() > 1e-6:
        raise UserError(
            f"the track of {word!r} gives {way.shape} for 3 times; due are px (3, 2), all finite, that begin at (0, 0)"
        )


def _forget() -> None:
    """The judge's book of laws is computed once for each set of words; another track may come under the same one."""
    laws._book.cache_clear()
    laws._paces.cache_clear()
