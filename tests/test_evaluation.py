"""Evaluating a system, on one that is perfect and on ones that are spoiled in known ways."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from perfect_system import Perfect
from scipy import ndimage
from tiny_system import save_tiny

from minit2v import evaluation
from minit2v.errors import UserError
from minit2v.evaluation import command, draw_prompts, draw_sources, evaluate, evaluate_pictures, pictures
from minit2v.metrics import wilson
from minit2v.world import captions
from minit2v.world.oracle import lab
from minit2v.world.render import render
from minit2v.world.scenes import NANO, STANDARD, check, scene

LONG = replace(STANDARD, frames=69)


def frozen(frames, request):
    return np.repeat(frames[:1], len(frames), axis=0)


# --- Prompts --------------------------------------------------------------------------------------------------


def test_prompts_of_long_clips_are_of_their_language():
    prompts = draw_prompts(30, "held-out", LONG)
    assert prompts == draw_prompts(30, "held-out", LONG) != draw_prompts(30, "held-out", STANDARD)
    for prompt in prompts:
        check(captions.parse(prompt), LONG)
    assert any(captions.parse(prompt).camera != "hold" for prompt in prompts)


def test_prompts_with_a_pillar():
    prompts = draw_prompts(5, "held-out", STANDARD, pillar=True)
    assert all(captions.parse(prompt).pillar and captions.is_held_out(captions.parse(prompt)) for prompt in prompts)
    for world, says in (LONG, "leave the picture"), (NANO, "no pillar"):
        with pytest.raises(UserError, match=says):
            draw_prompts(5, "held-out", world, pillar=True)


# --- Figures --------------------------------------------------------------------------------------------------


def test_long_clips_are_held_by_a_perfect_system_and_by_none_that_drifts():
    prompts = draw_prompts(3, "held-out", LONG, seed=2)
    figures, clips = evaluate(Perfect(), prompts, most_controls=2, frames=69)
    assert [len(clip.frames) for clip in clips] == [69] * 3
    assert figures["held"]["value"] == figures["camera"]["value"] == figures["adherence"]["overall"] == 1
    assert figures["held"]["n"] == 3 and figures["held"]["interval"] == list(wilson(3, 3))
    assert figures["held"]["controls"]["real"] == 1 > figures["held"]["controls"]["other"]
    assert figures["held"]["motion"]["value"] == pytest.approx(1, abs=0.1) and "permanence" not in figures

    def drifts(frames, request):
        share = np.linspace(0, 1, len(frames))[:, None, None, None]
        return (frames + share * (frames[..., [1, 2, 0]].astype(float) - frames)).astype(np.uint8)

    figures, _ = evaluate(Perfect(drifts), prompts[:2], most_controls=1, frames=69)
    assert figures["held"]["value"] == 0 and figures["held"]["controls"]["real"] == 1


def test_pillars_are_passed_by_a_perfect_system_and_not_by_a_frozen_one():
    prompts = draw_prompts(4, "held-out", STANDARD, pillar=True)
    figures, _ = evaluate(Perfect(), prompts, most_controls=2)
    passed = figures["permanence"]
    assert passed["value"] == passed["controls"]["real"] == 1 and passed["controls"]["frozen"] == 0
    assert passed["n"] == 4 and passed["parts"]["place_error"]["value"] < 1 and "held" not in figures
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert evaluate(Perfect(frozen), prompts, most_controls=1)[0]["permanence"]["value"] == 0


def test_the_kind_that_a_system_has_not_learned_is_named_first():
    """A system that draws all but stars, and freezes what spins: its average says 0.5, its kinds say why."""

    def unlearned(frames, request):
        if "star" in request["prompt"]:
            return np.zeros_like(frames)
        return frozen(frames, request) if "spins" in request["prompt"] else frames

    looks = ["a large red star moves right", "a small blue star moves down", "a large striped green box spins"]
    looks += ["a small red ball moves right", "a large blue box moves down", "a large red ball stands still"]
    figures, _ = evaluate(Perfect(unlearned), looks, most_controls=1)
    assert figures["adherence"]["overall"] == 0.5
    kinds = figures["adherence"]["kinds"]
    assert [kind for kind, one in kinds.items() if one["right"] == 0] == ["spins", "star", "striped"]
    assert kinds["large"] == {"right": 2, "n": 4} and kinds["ball"] == {"right": 2, "n": 2}
    assert command.weakest(kinds, fewest=2, most=2) == "star 0 of 2, box 1 of 2"
    assert command.weakest(kinds, fewest=99) == "-"


def test_the_settings_reach_the_system():
    system = Perfect()
    evaluation.generate_all(system, ["a red ball bounces"] * 18, 5, steps=3, guidance=1.5, sliding="any", frames=17)
    assert [request["seed"] for request in system.asked] == list(range(5, 23))
    assert {tuple(request[name] for name in ("steps", "guidance", "sliding")) for request in system.asked} == {
        (3, 1.5, "any")
    }


# --- Pictures -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sources():
    return draw_sources(8, seed=1)


def gauge(sources, change):
    """What is measured on the real clips of the sources, changed after the first frame."""
    rows = []
    for source in sources:
        clip = np.concatenate([source.clip[:1], change(source.clip)[1:]])
        rows.append(pictures.measure(clip, source))
    return rows


def test_pictures_are_drawn_by_seed_and_every_other_one_is_unseen(sources):
    again = draw_sources(8, seed=1)
    for one, other in zip(sources, again, strict=True):
        assert (one.clip == other.clip).all() and one.prompt == other.prompt
    assert [source.unseen for source in sources] == [False, True] * 4
    assert [source.prompt for source in draw_sources(3, seed=1)] == [source.prompt for source in sources[:3]]
    assert sources[0].prompt != draw_sources(1, seed=2)[0].prompt
    for source in sources:
        assert captions.parse(source.prompt) == source.meaning and not source.meaning.pillar
    with pytest.raises(UserError, match="at least 1"):
        draw_sources(0)


def test_unseen_looks_are_unlike_all_of_the_training_set():
    for seed in range(12):
        staged = scene(captions.parse("a large striped red box moves right"), seed)
        look = pictures.strange(staged, random.Random(seed))
        color = min(np.linalg.norm(lab(look.color) - lab(np.array(known))) for known in captions.COLORS.values())
        turned = abs((look.pattern_angle - 0.6 + np.pi / 2) % np.pi - np.pi / 2)
        assert color >= 15 or turned >= 0.4
        assert (look.position == staged.position).all() and (look.camera == staged.camera).all()
        plain = pictures.strange(scene(captions.parse("a large red box moves right"), seed), random.Random(seed))
        assert (plain.color != captions.COLORS["red"]).any()


def test_real_clips_keep_what_the_picture_shows(sources):
    rows = gauge(sources, lambda clip: clip)
    assert all(row["kept"] == 1 and row["color"] < 4 for row in rows)
    assert np.nanmedian([row["motion"] for row in rows]) == pytest.approx(1, abs=0.05)


def test_a_shifted_color_a_squashed_outline_and_a_frozen_picture_are_told_apart(sources):
    shifted = gauge(sources, lambda clip: clip[..., [1, 2, 0]])
    assert all(row["kept"] == row["color_kept"] == 0 and row["color"] > 10 for row in shifted)
    assert all(row["shape_kept"] == 1 or np.isnan(row["shape_kept"]) for row in shifted)

    def squash(clip):
        low = ndimage.zoom(clip, (1, 0.375, 1, 1), order=1)
        return np.pad(low, ((0, 0), (20, 20), (0, 0), (0, 0)), mode="edge")

    squashed = [row for row in gauge(sources, squash) if not np.isnan(row["shape_kept"])]
    assert len(squashed) >= 4 and all(row["kept"] == row["shape_kept"] == 0 for row in squashed)
    assert all(row["color_kept"] == 1 for row in squashed)
    still = gauge(sources, lambda clip: np.repeat(clip[:1], 17, axis=0))
    assert all(row["kept"] == 1 for row in still) and np.nanmedian([row["motion"] for row in still]) < 0.05
    lost = gauge(sources, lambda clip: np.full_like(clip, 128))
    assert all(row["kept"] == 0 and np.isinf(row["color"]) for row in lost)


def test_the_first_frames_error_is_split_between_vae_and_model(sources):
    source, rng = sources[0], np.random.default_rng(0)
    blurred = np.clip(source.picture + rng.normal(0, 3, source.picture.shape), 0, 255)
    clip = np.clip(blurred + 4.0, 0, 255)
    found = pictures.first_frame_error(clip, source, blurred)
    assert found["vae"] == pytest.approx(3, abs=0.3) and found["model"] == pytest.approx(4, abs=0.2)
    assert found["total"] == pytest.approx(5, abs=0.4)
    same = pictures.first_frame_error(source.clip, source, source.picture)
    assert same == {"total": 0, "vae": 0, "model": 0}


def test_a_perfect_system_keeps_all_pictures_and_a_swapped_one_none(sources):
    truth = {i: source.clip for i, source in enumerate(draw_sources(6, seed=1))}
    system = Perfect(truth=truth)
    figures, clips = evaluate_pictures(system, 6, seed=0, most_controls=2, noise=0.2)
    assert figures["kept"]["value"] < 1  # seed 0 has other pictures than those that are shown
    system = Perfect(truth={i + 1: clip for i, clip in truth.items()})
    figures, clips = evaluate_pictures(system, 6, seed=1, most_controls=2, noise=0.2)
    kept = figures["kept"]
    assert kept["value"] == kept["parts"]["unseen"]["value"] == kept["controls"]["frozen"] == 1
    assert kept["controls"]["other"] == 0 and kept["interval"] == list(wilson(6, 6))
    assert figures["motion"]["value"] == pytest.approx(1, abs=0.1) and figures["motion"]["controls"]["frozen"] < 0.1
    assert figures["first_frame"] == {"total": 0, "vae": 0, "model": 0} and figures["noise"] == 0.2
    for request, clip in zip(system.asked, clips, strict=True):
        assert (request["given"].first == clip.frames[:1]).all()
    assert {request["given"].noise for request in system.asked} == {0.2}
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


# --- The command ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("weights")))


def test_evaluate_long_clips_by_command(run, tiny):
    words = ["evaluate", "--system", tiny, "--n", 2, "--steps", 1, "--controls", 1, "--frames", 33]
    code, out, _ = run(*words, "--json")
    told = json.loads(out)
    assert code == 0 and told["frames"] == 33 and told["held"]["n"] == 2 and told["held"]["controls"]["real"] in (0, 1)
    assert "of 2 clips, 95 % interval" in command.table(told)["held"]


def test_evaluate_pictures_by_command(run, tiny):
    words = ["evaluate", "--system", tiny, "--pictures", "--n", 2, "--steps", 1, "--controls", 1, "--sheet", "a.png"]
    code, out, _ = run(*words, "--image-noise", 0.3, "--json")
    told = json.loads(out)
    assert code == 0 and told["kept"]["n"] == 2 and told["noise"] == 0.3 and told["first_frame"]["vae"] > 0
    rows = command.table(told)
    assert "VAE" in rows["first frame's error"] and "frozen" in rows["kept"]


def test_evaluate_pillars_by_command(run, tiny):
    code, out, _ = run("evaluate", "--system", tiny, "--pillar", "--n", 2, "--steps", 1, "--controls", 1, "--json")
    told = json.loads(out)
    assert code == 0 and told["permanence"]["n"] == 2 and told["permanence"]["controls"]["frozen"] == 0


@pytest.mark.parametrize(
    "words, says",
    [
        (["--frames", "68"], "65 and 69"),
        (["--frames", "0"], "4n+1"),
        (["--frames", "1001"], "are the most"),
        (["--frames", "33", "--pillar"], "leave the picture"),
        (["--pillar", "--prompts", "mine.txt"], "leave out --prompts"),
        (["--pictures", "--frames", "33"], "leave out --frames"),
        (["--pictures", "--n", "0"], "0 pictures"),
        (["--pictures", "--image-noise", "1"], "noise 1"),
        (["--image-noise", "0.2"], "add --pictures"),
    ],
)
def test_wrong_input_is_refused(run, tiny, words, says):
    code, out, err = run("evaluate", "--system", tiny, *words)
    assert code == 2 and not out and says in err.splitlines()[-1]


def test_the_world_shows_long_clips(run):
    prompt = "a large pink box spins under a starry sky, the camera pushes in"
    code, out, _ = run("world", prompt, "--frames", 69, "--json", "--out", "a.npz")
    told = json.loads(out)
    assert code == 0 and told["frames"] == 69 and all(told["oracle"]["matches"].values())
    with np.load("a.npz") as file:
        assert (file["frames"] == render(scene(captions.parse(prompt), 0, LONG))).all()
    code, _, err = run("world", "a small ball moves left", "--frames", 129)
    assert code == 2 and "leave the picture" in err
    for wrong in (0, -3, 1001):
        code, _, err = run("world", prompt, "--frames", wrong)
        assert code == 2 and "from 1 to 1000" in err
