"""What somebody knows already, in a small file of her own, and when each card is due again.

Six boxes (Leitner 1972): a right answer moves a card one box up, a half one leaves it where it is, a wrong one puts it
back into the first. The higher the box, the longer until the card comes again.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path

from minit2v.errors import UserError
from minit2v.files import cannot_write, write_whole

DAYS = (1, 3, 7, 16, 35, 90)  # until a card of that box comes again
VERSION = 1


def default_path() -> Path:
    """Where the system keeps such files: $MINIT2V_DRILLS, else $XDG_DATA_HOME, %APPDATA%, or the like."""
    if named := os.environ.get("MINIT2V_DRILLS"):
        return Path(named)
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        named = os.environ.get("XDG_DATA_HOME", "")
        base = Path(named) if os.path.isabs(named) else home / ".local" / "share"  # relative ones are to be ignored
    return base / "minit2v" / "drills.json"


@dataclass
class Known:
    """One card: its box (0 to 5), the day it is due, and how often it was asked and right."""

    box: int
    due: str  # ISO date
    asked: int = 0
    right: float = 0.0

    @classmethod
    def read(cls, row) -> Known:
        """Raises `ValueError` for what no `Known` ever wrote."""
        known = cls(**row)
        date.fromisoformat(known.due)
        whole = all(type(number) is int and number >= 0 for number in (known.box, known.asked))
        if not whole or known.box >= len(DAYS) or type(known.right) not in (int, float):
            raise ValueError
        return known


@dataclass
class Memory:
    """All cards that somebody was asked, and her streak: days in a row with an answer.

    `path` None keeps everything for this session only. Cards that the bank has no longer are kept as they are.
    """

    path: Path | None = None
    cards: dict[str, Known] = field(default_factory=dict)
    last_day: str = ""
    days: int = 0
    notice: str = ""  # one line about a file that could not be read

    # ---- what is known --------------------------------------------------------------------------------------

    def due(self, card: str, today: date) -> int | None:
        """Days that a card is overdue; negative: still to come; None: never asked."""
        known = self.cards.get(card)
        return None if known is None else (today - date.fromisoformat(known.due)).days

    def streak(self, today: date) -> int:
        """Days in a row, today or yesterday the last of them."""
        return self.days if self.last_day and (today - date.fromisoformat(self.last_day)).days <= 1 else 0

    def remember(self, card: str, points: float, today: date) -> Known:
        """Note an answer of 0 to 1 points, and write the file. A half keeps the box; it comes again tomorrow."""
        known = self.cards.get(card)
        if known is None:
            box = 0
        elif points >= 1:
            box = min(known.box + 1, len(DAYS) - 1)
        else:
            box = known.box if points >= 0.5 else 0
        wait = DAYS[box] if points >= 1 else 1 if points >= 0.5 else 0
        asked, right = (known.asked, known.right) if known else (0, 0.0)
        fresh = Known(box, (today + timedelta(days=wait)).isoformat(), asked + 1, right + points)
        self.cards[card] = fresh
        if self.last_day != today.isoformat():
            self.days = self.streak(today) + 1
            self.last_day = today.isoformat()
        self.save()
        return fresh

    # ---- the file -------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: Path | str | None = None) -> Memory:
        """What the file holds. One that is missing is empty; one that is damaged is kept beside, under another name,
        with what can be read of it taken over, and `notice` says so. Raises `UserError` where the file cannot be
        read at all, or comes from a newer version."""
        path = default_path() if path is None else Path(path)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise UserError(f"cannot read '{path}': {error.strerror}; name another file by --memory") from error
        try:
            rows = json.loads(data.decode("utf-8"))
            version, cards = rows["version"], rows["cards"]
            if type(version) is int and version > VERSION:
                raise UserError(f"'{path}' was written by a newer minit2v; update this one, or name another --memory")
            last, days = rows["last_day"], rows["days"]
            if last:
                date.fromisoformat(last)
            if type(days) is not int or days < 0:
                raise ValueError
            return cls(path, {name: Known.read(row) for name, row in cards.items()}, last, days)
        except UserError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls._rescued(path, data)

    @classmethod
    def _rescued(cls, path: Path, data: bytes) -> Memory:
        """A new memory with whatever is sound in a damaged file, which is kept as PATH.damaged-N."""
        number = 1
        while (beside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        write_whole(beside, data)
        memory, text = cls(path), data.decode("utf-8", errors="replace")
        try:
            rows = json.loads(text)["cards"].items()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            rows = ()
        for name, row in rows:
            try:
                memory.cards[name] = Known.read(row)
            except (ValueError, TypeError):
                continue
        saved = f"{len(memory.cards)} cards could be read of it" if memory.cards else "nothing could be read of it"
        memory.notice = f"'{path}' was damaged and is kept as '{beside.name}'; {saved}, and it begins anew"
        return memory

    def save(self) -> None:
        """Write the file, whole or not at all. Raises `UserError` where it cannot be written."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.path, 0, error) from error
        rows = {"version": VERSION, "last_day": self.last_day, "days": self.days}
        rows["cards"] = {name: asdict(known) for name, known in sorted(self.cards.items())}
        write_whole(self.path, (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
