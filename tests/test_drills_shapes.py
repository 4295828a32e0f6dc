"""Every traced shape, worked out a second time by plain arithmetic; and clips whose faults a figure sees."""

import math

import pytest

from minit2v.drills import faults, spoils
from minit2v.drills.faults import FAULTS, HEALTHY
from minit2v.drills.shapes import families
from minit2v.errors import UserError

SIDES = {"nano": (9, 32, 32, 3), "standard": (17, 64, 64, 3)}


def grid(g):
    """Token frames, places, numbers of a cube."""
    t, h, w = g["patch"]
    return g["f"] // t, (g["h"] // h) * (g["w"] // w), g["c"] * math.prod(g["patch"])


def folded(g):
    b, f, n, heads, size = (g[name] for name in ("b", "f", "n", "heads", "size"))
    shapes = {"full": (b, heads, f * n, size), "spatial": (b * f, heads, n, size), "temporal": (b * n, heads, f, size)}
    return shapes[g["layout"]]


SECOND = {
    "frames-outside": lambda g: SIDES[g["world"]],
    "pixels-inside": lambda g: (g["batch"], g["frames"], 3, g["side"], g["side"]),
    "encoded": lambda g: (g["batch"], g["frames"] // 4 + 1, g["channels"], g["height"] // 8, g["width"] // 8),
    "decoded": lambda g: (g["batch"], 4 * g["latent"] - 3, 3, 8 * g["height"], 8 * g["width"]),
    "grouped": lambda g: (1, g["frames"] // 4 + 1, 4, 3, g["side"], g["side"]),
    "posterior": lambda g: (1, 3, g["side"] // 8, g["side"] // 8, 2 * g["channels"]),
    "text-tokens": lambda g: (g["batch"], g["dim"]) if g["pooled"] else (g["batch"], g["words"], g["dim"]),
    "guided-batch": lambda g: (2 * g["b"], g["f"], g["c"], g["side"], g["side"]),
    "noise-levels": lambda g: (g["b"], g["f"]),
    "schedule": lambda g: (g["steps"] + 1,),
    "levels-on-frames": lambda g: (g["b"], g["f"], 1, 1, 1),
    "folded-queries": folded,
    "score-matrix": lambda g: (g["b"], g["heads"], g["n"], g["m"]),
    "cubes": lambda g: (g["b"], *grid(g)),
    "tokens-in-blocks": lambda g: (g["b"], *grid(g)[:2], g["dim"]),
    "modulation": lambda g: (g["b"], grid(g)[0], 6 * g["dim"]),
    "velocity": lambda g: (g["b"], g["f"], g["c"], g["h"], g["w"]),
    "at-the-bottom": lambda g: (g["b"], g["f"], g["side"] // 2, g["side"] // 2, g["widths"][1]),
    "temporal-picture": lambda g: (g["b"], g["widths"][0], g["f"], g["side"] ** 2),
    "merged": lambda g: (g["b"], g["f"], g["side"], g["side"], 2 * g["widths"][0]),
    "condition": lambda g: (g["b"], g["f"], g["c"] + 1, g["side"], g["side"]),
    "known-mask": lambda g: (2, g["frames"] // 4 + 1),
    "window-latents": lambda g: (1, g["window"] // 4 + 1, g["channels"], 8, 8),
}


def test_every_family_is_worked_out_a_second_time():
    assert {card.id for card in families()} == {f"shape-{name}" for name in SECOND}


@pytest.mark.parametrize("card", families(), ids=lambda card: card.id)
def test_the_shape_is_that_of_the_second_way(card):
    for seed in range(4):
        question = card.make(seed)
        assert question.value == SECOND[card.id.removeprefix("shape-")](question.given), question.question
        assert question == card.make(seed)
        assert question.answer.strip("(,)").replace(" ", "") == ",".join(map(str, question.value))


# ---- what breaks


def figures(key, seed):
    from minit2v.metrics import measure
    from minit2v.world.captions import parse

    given = faults.question(key, seed).given
    meaning = parse(given["prompt"])
    return measure(faults.clip(given), meaning), measure(faults.clip({**given, "fault": "healthy"}), meaning)


@pytest.mark.parametrize("key", [key for key, fault in FAULTS.items() if fault.figure])
def test_a_fault_is_seen_by_its_figure(key):
    name = FAULTS[key].figure
    spoiled, real = (each[name] for each in figures(key, 1))
    least = {
        "motion": 0.9,
        "motion.roughness": 2,
        "flicker": 0.2,
        "identity_drift.color": 20,
        "identity_drift.texture": 0.1,
        "adherence.background": 1,
        "camera": 1,
    }[name]
    assert abs(spoiled - real) >= least
    assert abs(real - {"motion": 1, "adherence.background": 1, "camera": 1}.get(name, 0)) < 0.2


def test_every_fault_changes_frames_and_the_healthy_clip_is_the_worlds_own():
    from minit2v.world.captions import parse
    from minit2v.world.render import render
    from minit2v.world.scenes import scene

    for key, fault in FAULTS.items():
        for prompt in fault.prompts:
            given = dict(fault=key, prompt=prompt, seed=3)
            same = (faults.clip(given) == render(scene(parse(prompt), 0))).all()
            assert bool(same) == (fault.name == HEALTHY), (key, prompt)


def test_choices_hold_the_right_one_once_and_none_that_the_page_cannot_refute():
    for key, fault in FAULTS.items():
        places = set()
        for seed in range(20):
            question = faults.question(key, seed)
            assert question.choices.count(fault.name) == 1 and len(set(question.choices)) == 4
            assert not set(question.choices) & set(fault.unlike)
            places.add(question.choices.index(fault.name))
        assert places == {0, 1, 2, 3}


def test_a_page_shows_all_frames_and_says_so_in_words():
    question = faults.question("frozen", 0)
    page = question.picture()
    assert page.size == (824, 479) and "Seventeen frames" in question.alt and question.given["prompt"] in question.alt
    assert "frozen" not in question.alt
    told = faults.instruments(question.given)
    assert told["motion"] == 0 and told["flicker"] == 0


def test_another_fault_is_a_question_too(monkeypatch):
    monkeypatch.setattr(faults, "FAULTS", dict(FAULTS))
    extra = faults.Fault(
        "it is upside down",
        1,
        faults.GLIDES,
        lambda scene, rng: spoils.healthy(scene, rng)[:, ::-1],
        "",
        "Rows are flipped.",
        "nothing is wrong",
        "it moves well",
        "Look at the shadow.",
    )
    faults.add("upside-down", extra)
    assert faults.families()[-1].id == "breaks-upside-down"
    assert faults.question("upside-down", 1).picture().size == (824, 479)
    with pytest.raises(UserError, match="already"):
        faults.add("upside-down", extra)
