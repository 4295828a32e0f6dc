"""The failure lab: every switch does something, and leaves nothing behind; inspectors, sliders and the game."""

import json

import numpy as np
import pytest
import torch
from tiny_system import save_tiny

from minit2v import TextToVideo, attention, vae
from minit2v.clip import Clip
from minit2v.errors import UserError
from minit2v.exercises.plugs import exchanged
from minit2v.lab import failures_figures, failures_game, faults, inspectors
from minit2v.lab.failures import FAILURES, SILENT, Bench
from minit2v.lab.inspectors import INSPECTORS
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import scene

ALL = [*FAILURES, *SILENT]
QUIET = {"fp16 overflow"}  # in a tiny network no score is large enough
PROMPT = "a large red ball moves right on a checkered floor"


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("tiny")), device="cpu")


@pytest.fixture(scope="module")
def bench(system):
    return Bench(system, [PROMPT], [1], steps=8)


def of_world(prompt=PROMPT, seed=1):
    return Clip(render(scene(parse(prompt), seed)), prompt, seed=seed)


# ---- switches


@pytest.mark.parametrize("name", ALL)
def test_a_switch_changes_the_clip_and_leaves_nothing_behind(bench, system, name):
    places = SILENT[name] if name in SILENT else FAILURES[name].places(system)
    before = [where[key] if isinstance(where, dict) else getattr(where, key) for where, key, _ in places]
    state = {key: value.clone() for key, value in system.model.state_dict().items()}
    assert bench.changed(name) > 0.01 or name in QUIET
    after = [where[key] if isinstance(where, dict) else getattr(where, key) for where, key, _ in places]
    assert all(a is b or a == b for a, b in zip(before, after, strict=True))
    assert all(torch.equal(value, system.model.state_dict()[key]) for key, value in state.items())


def test_after_all_switches_the_healthy_clips_come_out_to_the_last_bit(bench, system):
    for name in ALL:
        bench.made(name)
    again = Bench(system, bench.prompts, bench.seeds, bench.steps)
    assert all((a.frames == b.frames).all() for a, b in zip(again.healthy, bench.healthy, strict=True))
    assert torch.equal(again.latents, bench.latents)


def test_a_switch_is_turned_back_when_something_goes_wrong(system):
    own = attention.attend
    with pytest.raises(ZeroDivisionError), exchanged(FAILURES["fp16 overflow"].places(system)):
        assert attention.attend is faults.half_softmax
        raise ZeroDivisionError
    assert attention.attend is own


def test_without_a_leak_the_clip_is_the_healthy_one(bench):
    healthy = bench.made("healthy, from a picture")[0].frames
    assert (bench.leaking(0.0)[0].frames == healthy).all()
    assert (bench.leaking(1.5)[0].frames == bench.made("the picture is held too firmly")[0].frames).all()


def test_every_failure_says_what_catches_it_and_what_is_blind():
    assert len(FAILURES) >= 15 and len({failure.part for failure in FAILURES.values()}) >= 5
    for failure in FAILURES.values():
        assert {failure.catches, failure.blind} <= set(INSPECTORS) and failure.catches != failure.blind
        assert failure.right or failure.wrong
        assert all((failure.looks, failure.cause, failure.fix))


# ---- wrong lines: that they do what they say


def test_scores_beyond_fp16_end_in_no_number_and_small_ones_do_not():
    dice = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, 4, 16, generator=dice) for _ in range(3))
    right, wrong = attention.attend(q, k, v), faults.half_softmax(q, k, v)
    assert torch.allclose(right, wrong, atol=1e-2)
    assert faults.half_softmax(100 * q, q, v).isnan().any() and attention.attend(100 * q, q, v).isfinite().all()


def test_wrong_orders_of_frames_keep_all_frames():
    pixels = torch.linspace(-1, 1, 17).view(1, 17, 1, 1, 1).expand(1, 17, 3, 8, 8)
    right = [int(f[0, 0, 0]) for f in vae.to_frames(pixels)[0]]
    words = [int(f[0, 0, 0]) for f in faults.frames_unsorted(pixels)[0]]
    back = [int(f[0, 0, 0]) for f in faults.frames_back_to_front(pixels)[0]]
    assert words != right and sorted(words) == right and words[2] == right[10]
    assert [right.index(value) for value in back[:6]] == [0, 4, 3, 2, 1, 8] and sorted(back) == right
    assert {int(f[0, 0, 0]) for f in faults.frames_frozen(pixels)[0]} == {right[0]}


def test_positions_without_time_are_frame_0s_and_backward_ones_are_turned_round():
    right = attention.rotary_3d(3, 2, 4, 24)
    assert torch.equal(faults.timeless_rotary(3, 2, 4, 24), right[:1].expand(3, -1, -1))
    assert torch.equal(faults.backward_rotary(3, 2, 4, 24), right.flip(0))
    columns = faults.columns_first_rotary(3, 2, 4, 24)
    assert torch.equal(columns[:, 1], right[:, 4]) and torch.equal(columns[:, 0], right[:, 0])
    assert faults.timeless_sinusoidal(3, 2, 4, 24).shape == attention.sinusoidal_3d(3, 2, 4, 24).shape


def test_which_failures_a_reconstruction_shows(bench):
    for name, failure in FAILURES.items():
        assert bench.reconstructs(name) == (not failure.late), name


# ---- inspectors


def test_no_inspector_rings_at_a_clip_of_the_world():
    clip = of_world()
    for name, inspector in INSPECTORS.items():
        assert not inspector.rings(inspector.measure(clip)), name


@pytest.mark.parametrize(
    ("spoil", "who"),
    [
        (lambda f: f[:1].repeat(17, 0), "speed"),
        (lambda f: f[..., ::-1], "frame by frame"),
        (lambda f: np.where(np.arange(17)[:, None, None, None] % 4 == 1, 128, f).astype(np.uint8), "flicker"),
        (lambda f: (128 + (f.astype(int) - 128) // 3).astype(np.uint8), "contrast"),
        (lambda f: np.clip(2 * f.astype(int) - 255, 0, 255).astype(np.uint8), "burnt"),
        (lambda f: np.concatenate([f[:, :, 8:40], f[:, :, 40:], f[:, :, :8]], axis=2)[:, :, ::-1], "as asked"),
    ],
    ids=["frozen", "bgr", "flashes", "pale", "dark", "mirrored"],
)
def test_inspectors_ring_at_what_they_are_for(spoil, who):
    clip = of_world()
    bad = Clip(np.ascontiguousarray(spoil(clip.frames)), clip.prompt, seed=1)
    if who == "as asked":  # the motion alone is wrong: seen, but no reason to ring
        assert INSPECTORS[who].measure(bad) < INSPECTORS[who].measure(clip)
    else:
        assert INSPECTORS[who].rings(INSPECTORS[who].measure(bad))


def test_bounds_are_told_in_words():
    assert INSPECTORS["speed"].bounds == "at least 0.6 and at most 1.5" and INSPECTORS["mud"].bounds == "at most 0.4"


def test_a_seam_is_found_where_it_is():
    frames = of_world().frames.astype(int)
    frames[:, :, 32:] = np.clip(frames[:, :, 32:] + 60, 0, 255)
    assert inspectors.seam(Clip(frames.astype(np.uint8), PROMPT, seed=1)) > 2 > inspectors.seam(of_world())


# ---- pages


def test_figures_and_pages_describe_themselves(bench):
    names = ["a frozen clip", "the picture is held too firmly"]
    assert "caught by speed" in failures_figures.beside(bench, names[:1]).alt
    assert "a frozen clip" in failures_figures.rings(bench, names).alt
    assert "frames_frozen" in failures_figures.causes(names[:1]).text
    assert failures_figures.ledger(bench, names).text.count("→") == 6  # two are in the head
    page = failures_figures.Shelf(bench, names).page({"failure": names[1]})
    assert page.count("<video") == 2 and "start_on_the_picture" in page


def curve(sign=-1, change=-0.4, borne_out=True):
    return dict(
        title="Few steps, mud", knob="steps: how many", figure="mud: 0 is best", sign=sign, default=4, real=0.1,
        settings=[1.0, 4.0, 8.0], effect=[0.5, 0.2, 0.1], bands=[[0.4, 0.6], [0.1, 0.3], [0.1, 0.2]], rho=-1.0,
        change=change, change_band=[change - 0.1, change + 0.1], borne_out=borne_out,
    )  # fmt: skip


def test_a_verdict_is_what_was_measured():
    assert failures_figures.verdict(curve()).startswith("Borne out: it falls; from the first")
    assert "falls as claimed, but not steadily" in failures_figures.verdict(curve(borne_out=False))
    assert "does not even go the way" in failures_figures.verdict(curve(change=0.2, borne_out=False))
    nothing = curve() | {"change": None, "change_band": [None, None]}
    assert "nothing could be measured" in failures_figures.verdict(nothing)
    assert "0.50 at 1, 0.20 at 4" in failures_figures.curves({"steps": curve()}).alt


@pytest.mark.parametrize("key", ["mixing", "guidance", "steps", "hold"])
def test_a_dial_turns_its_knob_and_turns_it_back(bench, monkeypatch, key):
    settings = {"mixing": [0.0, 1.0], "guidance": [0.0, 4.0], "steps": [1, 8], "hold": [0.5, 1.0]}[key]
    one = curve() | {"settings": settings, "effect": [0.5, 0.1], "bands": [[0.4, 0.6], [0.1, 0.2]], "default": 1.0}
    monkeypatch.setattr(failures_figures, "stored", lambda: {key: one})
    dial = failures_figures.Dial(bench, key)
    low, high = (dial.clip(setting).frames for setting in settings)
    assert (low != high).mean() > 0.01 and bench.system.temporal_strength == 1
    if key != "hold":
        usual = failures_figures.Dial(bench, key).clip({"mixing": 1.0, "guidance": 2.0, "steps": 8}[key])
        assert (usual.frames == bench.healthy[0].frames).mean() > 0.99
    assert "at 0.5" in dial.page({dial.name: 0.5}) if key == "hold" else dial.widget
    assert "0.50" in dial.stills(settings[:1]).alt


def test_the_stored_curves_are_whole():
    for key, one in failures_figures.stored().items():
        count = len(one["settings"])
        assert len(one["bands"]) == len(one["effect"]) == count >= 7 and one["default"] in one["settings"], key
        bands = zip(one["effect"], one["bands"], strict=True)
        assert all(mean is None or low <= mean <= high for mean, (low, high) in bands), key
        assert one["command"].startswith("python benchmarks/failure_curves.py") and one["n"] >= 1
        json.dumps(one, allow_nan=False)


# ---- the game


def test_points_are_counted(system):
    game = failures_game.Game(system)
    truth = [name for name, *_ in game.cases]
    assert game.score(truth).points == 10 and str(game.score(truth)) == "10 of 10"
    healthy = game.score([failures_game.HEALTHY] * 10)
    assert healthy.points == truth.count(failures_game.HEALTHY) and "look again at 1, 2, 4" in str(healthy)
    with pytest.raises(UserError, match="9 answers for 10"):
        game.score(truth[:9])
    with pytest.raises(UserError, match="tiles without overlap"):
        game.score([*truth[:9], "tiles with overlap"])


def test_the_game_shows_its_clips_and_not_its_answers(system):
    cases = failures_game.CASES[:3]
    game = failures_game.Game(system, cases, steps=2)
    assert "guidance" not in game.still.alt and cases[0][1] in game.still.alt
    assert "guidance far too strong" in game.answers().text and "<details>" in game.answers().html
    assert game.widget and game.counted() == "3 clips are not answered yet"
    for choice, (name, *_) in zip(game.choices, cases, strict=True):
        choice.value = name
    assert game.counted().startswith("3 of 3. clip 1: guidance far too strong")
