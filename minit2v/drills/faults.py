"""What breaks? A true clip of the world with a fault hidden in it, on a page of all its frames.

A fault is a name, what it does to the frames, and which figure sees it. More of them may be added to `FAULTS` from
elsewhere (`add`), such as those of a model whose switches are set wrong: a fault gets the scene and gives frames.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from minit2v.drills.questions import Card, Question
from minit2v.errors import UserError

HEALTHY = "nothing is wrong"


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with a clip.

    spoil(scene, rng) -> frames. prompts: some for which the fault can be seen. figure: a name of `metrics.measure`
    that sees it.
    """

    name: str  # an answer among others: "the clip is frozen"
    difficulty: int
    prompts: tuple[str, ...]
    spoil: Callable | str  # a function, or the name of one in `spoils`
    figure: str
    cause: str  # where in a real system it comes from
    wrong: str  # what people answer instead
    tempts: str
    look: str  # where to look, for a hint
    unlike: tuple[str, ...] = ()  # names that a page alone does not tell from this one


FAULTS: dict[str, Fault] = {}


def add(key: str, fault: Fault) -> None:
    """One more fault. Raises `UserError` for a key or a name that is taken."""
    if key in FAULTS or fault.name in {each.name for each in FAULTS.values()}:
        raise UserError(f"there is a fault {key!r} or {fault.name!r} already; choose another name")
    FAULTS[key] = fault


# ---- the faults ----------------------------------------------------------------------------------------------------

GLIDES = (
    "a large blue box moves left on a checkered floor",
    "a large red ball moves right in front of a brick wall",
    "a large yellow triangle moves up on a checkered floor",
    "a large green star moves down under a starry sky",
)
PATTERNS = (
    "a large striped blue box moves left on a checkered floor",
    "a large dotted red ball moves right by a wall of bricks",
    "a large striped pink star moves up on a checkered floor",
)
CAMERAS = (
    "a large blue box stands still on a checkered floor, the camera pans left",
    "a large red ball stands still in front of a brick wall, the camera pans right",
    "a large yellow star stands still on a checkered floor, the camera pushes in",
    "a large green box stands still in front of a brick wall, the camera pulls out",
)

add(
    "healthy",
    Fault(
        HEALTHY,
        2,
        GLIDES,
        "healthy",
        "",
        "Nothing went wrong. A reviewer who finds a fault in everything is of no use either.",
        "a fault that is not there",
        "one was asked what is wrong, so something must be",
        "Go through identity, place, light, camera, order and pace; it is allowed to find nothing.",
    ),
)
add(
    "frozen",
    Fault(
        "the clip is frozen",
        1,
        GLIDES,
        "frozen",
        "motion",
        "Conditioning that is too strong, or a model trained on stills: the safest clip is a photograph.",
        "nothing is wrong",
        "it is perfectly consistent: it wins every score of consistency",
        "Compare the first frame with the last.",
        ("the same frames come in a wrong order",),
    ),
)
add(
    "shuffled",
    Fault(
        "the same frames come in a wrong order",
        1,
        GLIDES,
        "shuffled",
        "motion.roughness",
        "Temporal positions that are missing or wrong: the model knows which frames there are, and not which comes"
        " first.",
        "it flickers",
        "it looks restless; but every frame on its own is right, and so is its brightness",
        "Follow the subject's place with a finger.",
        ("the subject leaps to another place halfway",),
    ),
)
add(
    "stutter",
    Fault(
        "it stutters: frames are shown again",
        2,
        GLIDES,
        "stutter",
        "motion.roughness",
        "A clip made at a low rate and padded, or a cache that repeats what it should compute.",
        "the motion is slow",
        "the way is right and the pace is right, on average",
        "Count how many different frames there are.",
    ),
)
add(
    "flicker",
    Fault(
        "it flickers: the brightness jumps",
        1,
        GLIDES,
        "flickering",
        "flicker",
        "Weak temporal mixing: every frame is drawn alone, and each is a little brighter or darker.",
        "the color drifts",
        "color and brightness both change; drift goes one way, flicker to and fro",
        "Look at the background of neighbors.",
    ),
)
add(
    "drift",
    Fault(
        "the subject's color drifts",
        1,
        GLIDES,
        "drifting",
        "identity_drift.color",
        "Identity is not held: each window starts from the last one's colors, and errors add up.",
        "it flickers",
        "both change color; a drift goes one way only, slowly",
        "First frame and last frame, the subject alone.",
    ),
)
add(
    "background",
    Fault(
        "the background becomes another one",
        1,
        GLIDES,
        "without_background",
        "adherence.background",
        "The place is forgotten between two windows, or the prompt is read anew for each of them.",
        "the camera does not do as asked",
        "the picture around the subject changes; a camera moves it, and does not replace it",
        "What is behind the subject, early and late?",
    ),
)
add(
    "camera",
    Fault(
        "the camera does not do as asked",
        2,
        CAMERAS,
        "other_camera",
        "camera",
        "Camera words that training never told apart: left and right are flipped by an augmentation, for one.",
        "nothing is wrong",
        "the camera does move, and smoothly; only the prompt knows the direction",
        "Pan left: the world goes right.",
        (HEALTHY,),
    ),
)
add(
    "texture",
    Fault(
        "the subject's texture changes",
        2,
        PATTERNS,
        "other_texture",
        "identity_drift.texture",
        "Fine patterns are the first thing that a small latent loses, and each window invents them anew.",
        "nothing is wrong",
        "color, shape and path are right, and stripes are small",
        "Look into the subject, early and late.",
    ),
)
add(
    "leap",
    Fault(
        "the subject leaps to another place halfway",
        2,
        GLIDES,
        "leaping",
        "motion.roughness",
        "A seam: two windows were made on their own, and nobody told the second where the first had ended.",
        "the frames come in a wrong order",
        "there is a jump; but only one, and before and after it all is in order",
        "Follow the subject's place with a finger.",
        ("the same frames come in a wrong order",),
    ),
)
add(
    "shadow",
    Fault(
        "the light changes sides",
        3,
        GLIDES[:3],
        "other_shadow",
        "flicker",
        "Geometry is not modelled: each frame's shadow is likely on its own, and nothing holds them to one light.",
        "nothing is wrong",
        "subject, place and motion are right; nobody looks at shadows until they are told",
        "Where is the shadow, early and late?",
    ),
)


# ---- questions ---------------------------------------------------------------------------------------------------


def families() -> list[Card]:
    """All cards of kind breaks."""
    return [
        Card(f"breaks-{key}", "failures", "breaks", fault.difficulty, _maker(key), True)
        for key, fault in FAULTS.items()
    ]


def _maker(key: str) -> Callable:
    return lambda seed: question(key, seed)


def question(key: str, seed: int) -> Question:
    """A clip with that fault. The frames are drawn when its picture is asked for."""
    fault, rng = FAULTS[key], random.Random(f"breaks-{key} {seed}")
    prompt, others = rng.choice(fault.prompts), _others(fault, rng)
    choices = tuple(rng.sample([fault.name, *others], 4))
    letters = "\n".join(f"  ({chr(ord('a') + i)}) {choice}" for i, choice in enumerate(choices))
    given = dict(fault=key, prompt=prompt, seed=seed)
    text = f"The prompt: “{prompt}”. Seventeen frames, two seconds. What is wrong with this clip?\n{letters}"
    return Question(
        f"breaks-{key}",
        "failures",
        "breaks",
        fault.difficulty,
        text,
        fault.name,
        fault.cause,
        fault.wrong,
        fault.tempts,
        hint=fault.look,
        value=fault.name,
        choices=choices,
        given=given,
        picture=lambda: page(given),
        alt=f"Seventeen frames of a clip, row by row, made for the prompt “{prompt}”, perhaps with a fault.",
    )


def _others(fault: Fault, rng) -> list[str]:
    """Three wrong answers, which the page itself refutes."""
    names = [each.name for each in FAULTS.values()]
    legal = [name for name in names if name != fault.name and name not in fault.unlike]
    if fault.prompts != CAMERAS:
        legal.remove("the camera does not do as asked")  # nothing was asked of it
    return rng.sample(legal, 3)


def clip(given: dict):
    """Frames of the clip of a question: uint8 (t, h, w, 3)."""
    from minit2v.drills import spoils
    from minit2v.world.captions import parse
    from minit2v.world.scenes import scene

    rng = random.Random(f"{given['fault']} {given['seed']}")
    spoil = FAULTS[given["fault"]].spoil
    spoil = getattr(spoils, spoil) if isinstance(spoil, str) else spoil
    return spoil(scene(parse(given["prompt"]), 0), rng)


def page(given: dict):
    """All frames on a page, as a PIL image."""
    from minit2v import media

    frames = clip(given)
    cells = [(frame, f"frame {i}") for i, frame in enumerate(media.enlarge(frames, 128))]
    return media.sheet(cells, 6)


def instruments(given: dict) -> dict[str, float]:
    """What the course's figures say of the clip: a way to answer for people who cannot see the page."""
    from minit2v.metrics import measure
    from minit2v.world.captions import parse

    figures = measure(clip(given), parse(given["prompt"]))
    names = (
        "flicker",
        "identity_drift.color",
        "identity_drift.texture",
        "motion",
        "motion.roughness",
        "adherence.background",
        "camera",
    )
    return {name: figures[name] for name in names if name in figures and figures[name] == figures[name]}
