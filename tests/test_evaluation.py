"""Evaluating a system, on one that is perfect and on ones that are spoiled in known ways."""

import json
from dataclasses import replace

import numpy as np
import pytest
from perfect_system import Perfect
from tiny_system import save_tiny

from minit2v import cli, evaluation
from minit2v.errors import UserError
from minit2v.evaluation import draw_prompts, evaluate
from minit2v.metrics import wilson
from minit2v.world import captions
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
    prompts = draw_prompts(4, "held-out", LONG, seed=2)
    figures, clips = evaluate(Perfect(), prompts, most_controls=2, frames=69)
    assert [len(clip.frames) for clip in clips] == [69] * 4
    assert figures["held"]["value"] == figures["camera"]["value"] == figures["adherence"]["overall"] == 1
    assert figures["held"]["n"] == 4 and figures["held"]["interval"] == list(wilson(4, 4))
    assert figures["held"]["controls"]["real"] == 1 > figures["held"]["controls"]["other"]
    assert figures["held"]["motion"]["value"] == pytest.approx(1, abs=0.1) and "permanence" not in figures

    def drifts(frames, request):
        share = np.linspace(0, 1, len(frames))[:, None, None, None]
        return (frames + share * (frames[..., [1, 2, 0]].astype(float) - frames)).astype(np.uint8)

    figures, _ = evaluate(Perfect(drifts), prompts, most_controls=1, frames=69)
    assert figures["held"]["value"] == 0 and figures["held"]["controls"]["real"] == 1


def test_pillars_are_passed_by_a_perfect_system_and_not_by_a_frozen_one():
    prompts = draw_prompts(4, "held-out", STANDARD, pillar=True)
    figures, _ = evaluate(Perfect(), prompts, most_controls=2)
    passed = figures["permanence"]
    assert passed["value"] == passed["controls"]["real"] == 1 and passed["controls"]["frozen"] == 0
    assert passed["n"] == 4 and passed["parts"]["place_error"]["value"] < 1 and "held" not in figures
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert evaluate(Perfect(frozen), prompts, most_controls=1)[0]["permanence"]["value"] == 0


def test_the_settings_reach_the_system():
    system = Perfect()
    evaluation.generate_all(system, ["a red ball bounces"] * 18, 5, steps=3, guidance=1.5, sliding="any", frames=17)
    assert [request["seed"] for request in system.asked] == list(range(5, 23))
    assert {tuple(request[name] for name in ("steps", "guidance", "sliding")) for request in system.asked} == {
        (3, 1.5, "any")
    }


# --- The command ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_evaluate_long_clips_by_command(run, tiny):
    words = ["evaluate", "--system", tiny, "--n", 2, "--steps", 1, "--controls", 1, "--frames", 33]
    code, out, _ = run(*words, "--json")
    told = json.loads(out)
    assert code == 0 and told["frames"] == 33 and told["held"]["n"] == 2 and told["held"]["controls"]["real"] in (0, 1)
    code, out, _ = run(*words)
    assert code == 0 and "held" in out and "of 2 clips, 95 % interval" in out


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
