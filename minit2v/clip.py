"""A clip: frames, where they come from, what the judge sees in them, and how to keep and show them."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from minit2v import media
from minit2v.errors import UserError
from minit2v.world import captions
from minit2v.world.captions import Meaning
from minit2v.world.scenes import STANDARD, World


@dataclass(eq=False, repr=False)
class Clip:
    """frames: uint8 (t, h, w, 3). timings: seconds of each stage that made it."""

    frames: np.ndarray
    prompt: str = ""
    fps: int = 8
    system: str = ""
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    world: World = STANDARD
    timings: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        made = ", ".join(filter(None, [self.system, None if self.seed is None else f"seed {self.seed}"]))
        return f"Clip({self.prompt!r}, {self._size()}{', ' if made else ''}{made})"

    def _size(self) -> str:
        t, h, w, _ = self.frames.shape
        return f"{t} frames of {h} x {w} px at {self.fps} fps"

    @property
    def seconds(self) -> float:
        """How long it took to make."""
        return sum(self.timings.values())

    # ---- what it shows -----------------------------------------------------------------------------------

    @cached_property
    def meaning(self) -> Meaning | None:
        """What the prompt asks for; None if it is not in the world's language."""
        try:
            return captions.parse(self.prompt)
        except UserError:
            return None

    @cached_property
    def reading(self):
        """What the oracle sees: a `world.oracle.Reading`. It looks at the frames alone."""
        from minit2v.world.oracle import judge  # scipy takes a while, and not every clip is judged

        return judge(self.frames, self.world)

    @property
    def matches(self) -> dict[str, bool]:
        """For each attribute that the prompt fixes, whether the clip has it."""
        from minit2v.world.oracle import matches

        return matches(self.reading, self.meaning) if self.meaning else {}

    def oracle(self) -> dict:
        """The reading as a JSON object, the tracks left out."""
        seen, ratio = self.reading, self.reading.speed_ratio
        names = ("subject", "color", "texture", "size", "motions", "speed", "camera", "background", "pillar")
        told = {name: getattr(seen, name) for name in names}
        pace = None if np.isnan(ratio) else round(float(ratio), 3)
        return told | {"motions": list(seen.motions), "speed_ratio": pace, "matches": self.matches}

    def describe(self) -> str:
        """The clip in words, for people who cannot see it."""
        said = f", made from the prompt “{self.prompt}”" if self.prompt else ""
        seen = self.reading
        parts = [f"A clip of {self._size()}{said}.", f"It shows {seen.sentence()}.", _journey(seen.track)]
        if self.matches:
            wrong = [name for name, right in self.matches.items() if not right]
            count = f"{len(self.matches) - len(wrong)} of the {len(self.matches)} things that the prompt asks for"
            parts.append(f"It has {count}{'; wrong: ' + ', '.join(wrong) if wrong else ''}.")
        return " ".join(filter(None, parts))

    # ---- files -------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the clip by its extension: .mp4, .gif (looping), .png (contact sheet) or .npz (`frames`).

        The file is there whole or not at all. Raises `UserError` for another extension, a missing folder, a place
        where writing is not allowed, or a full disk.
        """
        path = Path(path)
        check_place(path)
        data = self.to_bytes(path.suffix.lower())
        from minit2v.files import write_whole

        write_whole(path, data)
        return path

    def to_bytes(self, kind: str) -> bytes:
        """The file's content; `kind` is one of ".mp4", ".gif", ".png", ".npz"."""
        facts = {"prompt": self.prompt, "system": self.system, "world": self.world.name, "seed": self.seed}
        return media.MAKERS[kind](self.frames, self.fps, **{k: v for k, v in facts.items() if v is not None})

    # ---- notebooks ---------------------------------------------------------------------------------------

    def _repr_html_(self) -> str:
        """A looping clip with controls, the prompt, and what the oracle sees. Nothing comes from elsewhere."""
        words = escape(self.describe(), quote=True)
        # It starts by itself unless the person has asked the system for less motion. Where a page shows no
        # video, as some do with notebooks, the strip of frames in it takes its place.
        start = "if(!matchMedia('(prefers-reduced-motion: reduce)').matches)this.play()"
        return (
            '<figure style="margin:0;display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-start">'
            f'<video controls loop muted playsinline width="256" aria-label="{words}" onloadeddata="{start}" '
            f'src="data:video/mp4;base64,{_base64(self.to_bytes(".mp4"))}">{self._strip(words)}</video>'
            f"<figcaption>{self._table()}"
            f'<details><summary>The clip in words</summary><p style="max-width:40em">{words}</p></details>'
            "</figcaption></figure>"
        )

    def _strip(self, alt: str) -> str:
        picture = media.png_bytes(Image.fromarray(media.strip(self.frames, 5)))
        return f'<img alt="{alt}" src="data:image/png;base64,{_base64(picture)}">'

    def _table(self) -> str:
        """Asked and seen, side by side; right and wrong differ in sign and word, not in color alone."""
        if not self.matches:
            seen = escape(self.reading.sentence())
            return f"<p><b>{escape(self.prompt)}</b></p><p>The judge sees {seen}.</p>"
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{name}</th>"
            f"<td style='text-align:left'>{escape(in_words(getattr(self.meaning, name)))}</td>"
            f"<td style='text-align:left'>{escape(in_words(getattr(self.reading, name)))}</td>"
            f"<td style='text-align:left'>{'✓ right' if right else '✗ wrong'}</td></tr>"
            for name, right in self.matches.items()
        )
        head = "".join(f"<th scope='col' style='text-align:left'>{name}</th>" for name in ("", "asked", "seen", ""))
        return f"<p><b>{escape(self.prompt)}</b></p><table><tr>{head}</tr>{rows}</table>"


def contact_sheet(
    clips: Sequence[Clip], captions: Sequence[str] | None = None, columns: int = 2, moments: int = 5
) -> Image.Image:
    """Many clips on one page: of each, `moments` frames from first to last, over its caption.

    Without `captions`, each clip's prompt and whether it shows all that this asks for.
    """
    if not clips:
        raise UserError("a contact sheet of no clips; give at least one")
    captions = [_verdict(clip) for clip in clips] if captions is None else captions
    strips = [media.strip(media.enlarge(clip.frames, 128), moments) for clip in clips]
    return media.sheet(list(zip(strips, captions, strict=True)), columns)


def _verdict(clip: Clip) -> str:
    wrong = ", ".join(f"{n}: {in_words(getattr(clip.reading, n))}" for n, right in clip.matches.items() if not right)
    return f"{clip.prompt}  [{'wrong, ' + wrong if wrong else 'right'}]"


def check_place(path: Path) -> None:
    """Raises `UserError` for a file that could not be written, before any work is done for it."""
    media.check_name(path)
    if not path.parent.is_dir():
        raise UserError(f"cannot write '{path}': there is no folder '{path.parent}'; create it or name another")
    if path.is_dir():
        raise UserError(f"cannot write '{path}': it is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write '{path}': writing to '{path.parent}' is not allowed; name another folder")


def in_words(value) -> str:
    """An attribute's value: ("left", "up") as "left then up", None as "unreadable"."""
    if isinstance(value, tuple):
        return " then ".join(value) or "none that is known"
    return "unreadable" if value is None else str(value)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _journey(track) -> str:
    """From where to where, on the screen."""
    seen = np.flatnonzero(track.visible & np.isfinite(track.center).all(axis=1))
    if not len(seen):
        return ""
    first, last = (_region(track.center[t], track.mask.shape[1:]) for t in (seen[0], seen[-1]))
    return f"On the screen it starts at the {first} and ends at the {last}."


def _region(center: np.ndarray, shape: tuple[int, int]) -> str:
    column, row = (min(2, max(0, int(3 * place / size))) for place, size in zip(center, shape[::-1], strict=True))
    down, across = ("top", "middle", "bottom")[row], ("left", "center", "right")[column]
    return "center" if (down, across) == ("middle", "center") else f"{down} {across}"
