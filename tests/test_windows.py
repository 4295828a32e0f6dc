"""Windows of long clips: which there are, what they hold, and what they show."""

import random
from dataclasses import replace

import numpy as np
import pytest

from minit2v.errors import UserError
from minit2v.world import scenes
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import STANDARD, sample_meaning, scene
from minit2v.world.windows import Window, cut, due, plan

LONG = replace(STANDARD, frames=69)


# --- Which there are ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", [1, 5, 9, 13])
@pytest.mark.parametrize("frames", [17, 21, 33, 69, 129])
@pytest.mark.parametrize("have", [0, 1, 5, 13])
def test_windows_cover_every_frame_once_and_know_their_context(frames, context, have):
    windows, made = plan(frames, 17, context, have), have
    for number, window in enumerate(windows):
        assert window.frames == 17 and window.start % 4 == 0
        assert window.start + window.known == made and (window.known == 0 or window.known % 4 == 1)
        assert window.known >= context or number == 0
        made = window.end
    assert made == frames
    assert sum(window.known > context for window in windows) <= 1 + (have > context)  # where it does not divide


def test_without_context_or_for_a_short_clip_there_is_one_window():
    assert plan(69, 17, 0) == [Window(0, 69, 0)] and plan(69, 17, 0, 5) == [Window(0, 69, 5)]
    assert plan(9, 17, 9, 1) == [Window(0, 9, 1)]
    assert plan(129, 17, 9, 65)[0] == Window(56, 73, 9)  # what is there already is not made again


@pytest.mark.parametrize("context", [-1, 2, 8, 17, 21])
def test_a_context_that_cuts_a_latent_or_fills_the_window_is_refused(context):
    with pytest.raises(UserError, match=r"legal are 0 \(no windows\), 1, 5, 9, 13$"):
        plan(69, 17, context)


# --- What they hold -------------------------------------------------------------------------------------------


def test_a_window_is_a_piece_of_the_clip():
    whole = scene(parse("a small striped red dog moves right on a checkered floor, the camera pans right"), 2, LONG)
    frames = render(whole)
    for start in (0, 7, 52):
        assert (render(cut(whole, start, 17)) == frames[start : start + 17]).all()
    with pytest.raises(UserError, match="not all there"):
        cut(whole, 53, 17)


# --- What they show -------------------------------------------------------------------------------------------


def said(text, start, frames=17):
    return due(parse(text), LONG, start, frames)


def test_a_whole_clip_is_due_as_it_was_asked_for():
    rng = random.Random(0)
    for world in (STANDARD, LONG):
        for meaning in (sample_meaning(rng, world, "all") for _ in range(100)):
            assert due(meaning, world, 0, world.frames) == meaning
            first = due(meaning, replace(world, frames=max(world.frames, 18)), 0, 17)
            assert first == meaning if world is STANDARD else first.motions == meaning.motions[:1]


@pytest.mark.parametrize(
    "start, motions",
    [(0, ("right",)), (21, ("right",)), (22, ("right", "up")), (30, ("right", "up")), (31, ("up",)), (52, ("up",))],
)
def test_then_is_said_where_both_are_seen_for_half_a_second(start, motions):
    assert said("a small red box moves right then moves up", start).motions == motions  # it turns after 4.25 s


def test_a_window_too_short_for_half_a_second_shows_what_it_shows_most_of():
    assert said("a small red box moves right then moves up", 30, 5).motions == ("right",)
    assert said("a small red box moves right then moves up", 33, 5).motions == ("up",)


def test_a_camera_that_has_arrived_holds():
    cameras = [said("a red ball bounces, the camera pushes in", start).camera for start in range(53)]
    assert set(cameras[:21]) == {"push in"} and set(cameras[21:]) == {"hold"}
    follows = "a small red ball moves right, the camera pans right"
    assert {said(follows, start).camera for start in range(53)} == {"pan right"}


def test_water_that_has_come_to_rest_stands_still():
    quick, slow = (f"a tank of water sloshes {speed}" for speed in ("quickly", "slowly"))
    assert said(quick, 0) == parse(quick) and said(quick, 16).motions == ("still",)
    assert said(quick, 16).speed == "normal"  # what stands still has none
    assert said(slow, 40).motions == ("sloshes",) and said(slow, 40).speed == "slow"


def test_the_size_is_said_until_it_changes():
    assert said("a small red ball bounces, the camera pans left", 52).size == "small"
    assert said("a small red ball bounces, the camera pushes in", 0).size == "small"
    assert said("a small red ball bounces, the camera pushes in", 4).size is None
    assert said("a small dog moves left then grows", 34).size == "small"
    assert said("a small dog moves left then grows", 35).size is None


def test_what_is_due_is_what_the_scene_does():
    """Ground truth, not words: how far subject and camera go within a window, against what is said of them."""
    rng, seen = random.Random(4), set()
    for seed in range(150):
        window = cut(scene(sample_meaning(rng, LONG, "all"), seed, LONG), rng.randint(0, 52), 17)
        meaning, seconds = window.meaning, 2.0
        pan, zoom = np.ptp(window.camera[:, 0]) / scenes.PAN, np.ptp(np.log(window.zoom)) / scenes.ZOOM
        assert (meaning.camera != "hold") == (pan + zoom >= 0.25 * seconds - 1e-9)
        glides = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1)}
        for motion, (axis, way) in glides.items():
            alone = not {"bounces", "circles", *glides} - {motion} & set(window.meaning.motions)
            gone = way * (window.position[-1, axis] - window.position[0, axis]) / scenes.glide_speed(meaning)
            if motion in meaning.motions and alone:
                assert gone >= 0.5 - 1e-9
        if "sloshes" in meaning.motions:
            assert np.abs(window.tilt).max() > 0.01
        if meaning.motions == ("still",):
            assert np.ptp(window.position, axis=0).max() < 0.5 * 14 and np.abs(window.tilt).max() < 0.03
        seen |= {*meaning.motions, meaning.camera, meaning.size}
    assert {"left", "up", "bounces", "sloshes", "still", "push in", "pan left", "hold", None} <= seen
