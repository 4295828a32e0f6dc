"""The language of the world: what a prompt can say, in how many ways, and which pairs are held out.

A prompt is text; a `Meaning` is what it asks for. `parse` goes from text to meaning, `phrase` back to one
of many texts. Several phrases share each meaning, so the text encoder has synonyms to learn.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, fields

from minit2v.errors import UserError, nearest

# sRGB in [0, 1]. Far apart from each other and far more saturated than any background.
COLORS = {
    "red": (0.86, 0.13, 0.15),
    "orange": (0.97, 0.53, 0.08),
    "yellow": (0.95, 0.88, 0.18),
    "green": (0.15, 0.64, 0.24),
    "cyan": (0.15, 0.78, 0.82),
    "blue": (0.14, 0.30, 0.88),
    "purple": (0.50, 0.17, 0.71),
    "pink": (0.97, 0.50, 0.76),
}

# meaning -> the phrases that say it. The first one is the canonical phrase.
SUBJECTS = {
    "ball": ("ball", "sphere", "disc"),
    "box": ("box", "square", "crate"),
    "triangle": ("triangle", "wedge"),
    "star": ("star", "starfish"),
    "dog": ("dog", "puppy", "hound"),
    "face": ("face", "head"),
    "tank": ("tank of water", "water tank", "aquarium"),
}
TEXTURES = {"plain": ("plain",), "striped": ("striped", "stripy"), "dotted": ("dotted", "spotted")}
SIZES = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
SPEEDS = {"slow": ("slowly", "gently"), "normal": (), "quick": ("quickly", "fast")}
MOTIONS = {
    "left": ("moves left", "goes left", "travels to the left"),
    "right": ("moves right", "goes right", "travels to the right"),
    "up": ("moves up", "rises", "goes upwards"),
    "down": ("moves down", "sinks", "goes downwards"),
    "bounces": ("bounces", "hops", "jumps up and down"),
    "circles": ("circles", "moves in a circle", "goes round and round"),
    "grows": ("grows", "gets bigger", "expands"),
    "shrinks": ("shrinks", "gets smaller", "contracts"),
    "spins": ("spins", "rotates", "turns around"),
    "still": ("stands still", "does not move", "stays in place"),
    "talks": ("talks", "speaks", "opens and closes its mouth"),
    "sloshes": ("sloshes", "swings from side to side"),
}
CAMERAS = {
    "hold": ("the camera holds", "the camera stays fixed"),
    "pan left": ("the camera pans left", "the camera moves left"),
    "pan right": ("the camera pans right", "the camera moves right"),
    "push in": ("the camera pushes in", "the camera moves closer"),
    "pull out": ("the camera pulls out", "the camera moves away"),
}
BACKGROUNDS = {
    "checkered": ("on a checkered floor", "on checkered tiles"),
    "brick": ("in front of a brick wall", "by a wall of bricks"),
    "starry": ("under a starry sky", "at night"),
}
PILLAR = ("behind a pillar", "past a column")
SYNONYMS = {"purple": ("purple", "violet"), "cyan": ("cyan", "turquoise")}
FILLERS = frozenset({"a", "an", "the", "and", "as", "while", "is", "are", "with", "it"})

# Which motions each subject can make. A spin must be seen, so a plain ball cannot (see `scenes.check`).
GLIDES = ("left", "right", "up", "down", "bounces", "circles", "grows", "shrinks", "still")
REPERTOIRE = {
    "ball": (*GLIDES, "spins"),
    "box": (*GLIDES, "spins"),
    "triangle": (*GLIDES, "spins"),
    "star": (*GLIDES, "spins"),
    "dog": GLIDES,
    "face": ("left", "right", "up", "down", "grows", "shrinks", "still", "talks"),
    "tank": ("sloshes", "still"),
}
ONLY_PLAIN = ("face", "tank")  # their inside is busy already

# Pairs that no training clip contains. Every held-out prompt contains at least one of them.
HELD_OUT_COLOR_SUBJECT = frozenset({
    ("cyan", "ball"), ("pink", "box"), ("green", "triangle"), ("blue", "star"),
    ("purple", "dog"), ("orange", "face"), ("red", "tank"),
})  # fmt: skip
HELD_OUT_SUBJECT_MOTION = frozenset({
    ("ball", "up"), ("box", "circles"), ("triangle", "bounces"), ("star", "left"),
    ("dog", "grows"), ("face", "right"),
})  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """What a prompt asks for. `None` means that the prompt leaves it open, and it is not judged."""

    subject: str
    motions: tuple[str, ...] = ("still",)  # one, or two joined by "then"
    color: str | None = None
    texture: str = "plain"
    size: str | None = None
    speed: str = "normal"
    camera: str = "hold"
    background: str | None = None
    pillar: bool = False  # the subject passes behind a pillar

    @property
    def kinds(self) -> frozenset[str]:
        """What a clip of it shows that not all clips do, to count by: subject, texture, size, motions, "pillar"."""
        said = {self.subject, self.texture, self.size, *self.motions, "pillar" if self.pillar else None}
        return frozenset(said - {None})


def is_held_out(meaning: Meaning) -> bool:
    """True when `meaning` contains a (color, subject) or (subject, motion) pair that training never shows."""
    pairs = {(meaning.subject, motion) for motion in meaning.motions}
    return (meaning.color, meaning.subject) in HELD_OUT_COLOR_SUBJECT or bool(pairs & HELD_OUT_SUBJECT_MOTION)


def words(text: str) -> list[str]:
    """Lower-cased words of `text`; punctuation is dropped."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def _phrase_table() -> dict[tuple[str, ...], tuple[str, str]]:
    """Every phrase, as a tuple of words -> (attribute, value)."""
    color_words = {name: SYNONYMS.get(name, (name,)) for name in COLORS}
    tables = {
        "subject": SUBJECTS, "texture": TEXTURES, "size": SIZES, "speed": SPEEDS, "motion": MOTIONS,
        "camera": CAMERAS, "background": BACKGROUNDS, "color": color_words,
        "pillar": {"pillar": PILLAR}, "then": {"then": ("then",)},
    }  # fmt: skip
    return {
        tuple(words(phrase)): (attribute, value)
        for attribute, table in tables.items()
        for value, phrases in table.items()
        for phrase in phrases
    }


PHRASES = _phrase_table()
LONGEST = max(map(len, PHRASES))
VOCABULARY = tuple(sorted({word for phrase in PHRASES for word in phrase} | FILLERS))


def _spot(tokens: list[str]) -> list[tuple[str, str]]:
    """Greedy longest match: the (attribute, value) pairs that `tokens` say, in order."""
    found, i = [], 0
    while i < len(tokens):
        for length in range(min(LONGEST, len(tokens) - i), 0, -1):
            if (hit := PHRASES.get(tuple(tokens[i : i + length]))) is not None:
                found.append(hit)
                i += length
                break
        else:
            if tokens[i] not in FILLERS:
                raise UserError(_stray(tokens[i]))
            i += 1
    return found


def _stray(word: str) -> str:
    """The error for a word that fits no phrase: either unknown, or known and out of place."""
    if word in VOCABULARY:
        uses = [" ".join(phrase) for phrase in PHRASES if word in phrase][:3]
        return f"the word {word!r} stands alone here; it is used as in {', '.join(map(repr, uses))}"
    hint = nearest(word, VOCABULARY) or "no known word is close."
    return f"unknown word {word[:40]!r}; {hint} All known words: minit2v.world.captions.VOCABULARY"


MAX_WORDS = 48


def parse(text: str) -> Meaning:
    """The meaning of a prompt.

    Raises `UserError` for an empty text, unknown words, two values for one attribute, no subject, or a
    meaning that this world cannot show (see `scenes.check`, which the pipeline calls next).
    """
    tokens = words(text)
    if not tokens:
        raise UserError("the prompt is empty; say what to show, such as 'a small red ball bounces'")
    if len(tokens) > MAX_WORDS:
        raise UserError(f"the prompt has {len(tokens):,} words; at most {MAX_WORDS} are legal: shorten it")
    said: dict[str, list[str]] = {}
    for attribute, value in _spot(tokens):
        said.setdefault(attribute, []).append(value)
    return _assemble(said)


def _assemble(said: dict[str, list[str]]) -> Meaning:
    motions = tuple(said.pop("motion", ["still"]))
    thens = len(said.pop("then", []))
    if "subject" not in said:
        raise UserError(f"the prompt names no subject; legal ones: {', '.join(SUBJECTS)}")
    if len(motions) > 2 or len(motions) != thens + 1:
        raise UserError(
            f"the prompt has {len(motions)} motion(s) and {thens} 'then'; "
            "legal are one motion, or two joined by one 'then'"
        )
    for attribute, values in said.items():
        if len(values) > 1:
            raise UserError(f"the prompt names more than one {attribute}: {', '.join(values)}; keep one")
    single = {attribute: values[0] for attribute, values in said.items() if attribute != "pillar"}
    return Meaning(motions=motions, pillar="pillar" in said, **single)


def phrase(meaning: Meaning, rng: random.Random | None = None) -> str:
    """One text that says `meaning`: with `rng` any of the synonyms and clause orders, without it the canonical one."""

    def pick(options: tuple[str, ...]) -> str:
        return rng.choice(options) if rng else options[0]

    def chance(p: float) -> bool:
        return rng is not None and rng.random() < p

    adjectives = [pick(SIZES[meaning.size])] if meaning.size else []
    if meaning.texture != "plain" or chance(0.15):
        adjectives.append(pick(TEXTURES[meaning.texture]))
    if meaning.color:
        adjectives.append(pick(SYNONYMS.get(meaning.color, (meaning.color,))))
    noun = " ".join([*adjectives, pick(SUBJECTS[meaning.subject])])
    subject = ("an " if noun[0] in "aeiou" else "a ") + noun

    speed = [pick(SPEEDS[meaning.speed])] if SPEEDS[meaning.speed] else []
    action = " then ".join(pick(MOTIONS[motion]) for motion in meaning.motions)
    clause = [subject, *speed, action] if chance(0.3) else [subject, action, *speed]
    clause += [pick(PILLAR)] if meaning.pillar else []
    clause += [pick(BACKGROUNDS[meaning.background])] if meaning.background else []
    if meaning.camera == "hold" and not chance(0.15):
        return " ".join(clause)
    camera = pick(CAMERAS[meaning.camera])
    return f"{camera} as {' '.join(clause)}" if chance(0.3) else f"{' '.join(clause)}, {camera}"


def asked(meaning: Meaning) -> dict[str, object]:
    """The attributes that a prompt fixes, by name: what a clip of it is judged on."""
    every = {field.name: getattr(meaning, field.name) for field in fields(meaning)}
    if meaning.motions == ("still",) or meaning.pillar:
        every.pop("speed")  # nothing moves, or the pillar fixes the pace
    return {name: value for name, value in every.items() if value is not None and name != "pillar"}
