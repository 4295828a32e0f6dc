"""The world: prompts mean what they say, scenes obey their laws and stay in view, pictures show the scene."""

import hashlib
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from minit2v.errors import UserError
from minit2v.world import captions, render, scenes
from minit2v.world.captions import COLORS, MOTIONS, PHRASES, VOCABULARY, Meaning, asked, is_held_out, parse, phrase
from minit2v.world.scenes import HEIGHT, NANO, STANDARD, check, sample_meaning, scene

LONG = replace(STANDARD, frames=69)
WORLDS = pytest.mark.parametrize("world", [STANDARD, NANO], ids=["standard", "nano"])


def meanings(n, world=STANDARD, split="all", seed=0):
    rng = random.Random(seed)
    return [sample_meaning(rng, world, split) for _ in range(n)]


def one(motion="still", subject="box", seed=0, world=STANDARD, **said):
    said = {"color": "red", "size": "small", "background": "checkered", **said}
    motions = (motion,) if isinstance(motion, str) else motion
    return scene(Meaning(subject, motions, **said), seed, world)


# --- Prompts --------------------------------------------------------------------------------------------------


@WORLDS
def test_every_phrasing_parses_back(world):
    rng = random.Random(1)
    for meaning in meanings(300, world):
        assert parse(phrase(meaning)) == meaning
        for _ in range(3):
            text = phrase(meaning, rng)
            assert parse(text) == meaning
            assert parse(text.upper().replace(" ", "  ") + "!") == meaning
            assert set(captions.words(text)) <= set(VOCABULARY)


def test_a_meaning_has_many_phrasings_and_a_text_one_meaning():
    meaning = parse("a small striped purple ball moves up slowly on a checkered floor, the camera pans left")
    assert len({phrase(meaning, random.Random(seed)) for seed in range(200)}) > 100
    tables = [captions.SUBJECTS, captions.TEXTURES, captions.SIZES, captions.SPEEDS, MOTIONS, captions.CAMERAS,
              captions.BACKGROUNDS]  # fmt: skip
    said = sum(len(phrases) for table in tables for phrases in table.values())
    assert len(PHRASES) == said + len(COLORS) + len(captions.SYNONYMS) + len(captions.PILLAR) + 1  # and "then"


def test_the_sampled_texts_use_the_whole_vocabulary():
    rng = random.Random(2)
    used = {word for meaning in meanings(800) for word in captions.words(phrase(meaning, rng))}
    rare = {word for text in captions.PILLAR for word in captions.words(text)}
    assert used >= set(VOCABULARY) - captions.FILLERS - rare


@pytest.mark.parametrize(
    "text, expected",
    [
        ("ball", Meaning("ball")),
        ("A tiny VIOLET hound hops.", Meaning("dog", ("bounces",), "purple", size="small")),
        ("the camera moves closer while a puppy stands still", Meaning("dog", camera="push in")),
        (
            "quickly a big turquoise aquarium swings from side to side at night",
            Meaning("tank", ("sloshes",), "cyan", size="large", speed="quick", background="starry"),
        ),
        ("a square gets bigger then goes round and round", Meaning("box", ("grows", "circles"))),
        ("a ball jumps up and down", Meaning("ball", ("bounces",))),
        ("a sphere travels to the left past a column", Meaning("ball", ("left",), pillar=True)),
    ],
)
def test_parses(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "empty"),
        (" ,.! ", "empty"),
        ("a red bal bounces", "'bal'; did you mean 'ball'"),
        ("красный шар", "unknown word 'красный'"),
        ("赤いボール", "unknown word"),
        ("a red blue ball", "more than one color: red, blue"),
        ("a ball and a box", "more than one subject: ball, box"),
        ("a small large ball", "more than one size"),
        ("red moves left", "no subject"),
        ("a ball moves left moves up", "2 motion(s) and 0 'then'"),
        ("a ball moves left then", "1 motion(s) and 1 'then'"),
        ("a ball rises then sinks then grows", "3 motion(s)"),
        ("a ball moves", "'moves' stands alone"),
        ("ball " * 10_000, "10,000 words"),
        ("a ball " + "x" * 5_000, "unknown word 'xxxx"),
    ],
)
def test_refuses_a_prompt_in_one_short_line(text, said):
    with pytest.raises(UserError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_asks_only_for_what_the_prompt_says():
    assert asked(parse("a ball bounces")) == {
        "subject": "ball", "motions": ("bounces",), "texture": "plain", "speed": "normal", "camera": "hold",
    }  # fmt: skip
    assert "speed" not in asked(parse("a red ball stands still"))
    assert "speed" not in asked(parse("a red ball moves left behind a pillar"))
    full = parse("a large striped red box spins quickly in front of a brick wall, the camera pulls out")
    assert len(asked(full)) == 8


# --- Splits ---------------------------------------------------------------------------------------------------


@WORLDS
def test_no_training_prompt_holds_a_held_out_pair_and_every_other_does(world):
    assert not any(is_held_out(meaning) for meaning in meanings(400, world, "train"))
    assert all(is_held_out(meaning) for meaning in meanings(200, world, "held-out"))
    both = [is_held_out(meaning) for meaning in meanings(200, world, "all")]
    assert any(both) and not all(both)


def test_held_out_is_a_matter_of_pairs():
    assert is_held_out(Meaning("ball", color="cyan"))
    assert is_held_out(Meaning("dog", ("left", "grows")))
    assert not is_held_out(Meaning("ball", color="red")) and not is_held_out(Meaning("box", color="cyan"))
    for subject, motion in captions.HELD_OUT_SUBJECT_MOTION:
        assert motion in captions.REPERTOIRE[subject]  # else there is nothing to hold out


def test_training_shows_every_subject_color_and_motion():
    drawn = meanings(1500, split="train")
    assert {m.subject for m in drawn} == set(captions.SUBJECTS)
    assert {m.color for m in drawn} == {None, *COLORS}
    assert {motion for m in drawn for motion in m.motions} == set(MOTIONS)
    assert {m.camera for m in drawn} == set(captions.CAMERAS)
    hidden = [m for m in drawn if m.pillar]
    assert {m.subject for m in hidden} == set(captions.SUBJECTS) - {"tank"} and len(hidden) > 0.025 * len(drawn)
    assert min(sum(motion in m.motions for m in drawn) for motion in MOTIONS) > 0.05 * len(drawn)


def test_sampling_follows_its_seed():
    assert meanings(20, seed=5) == meanings(20, seed=5) != meanings(20, seed=6)


# --- What cannot be shown ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, said",
    [
        ("a red ball spins", "plain ball that spins"),
        ("a box grows, the camera pushes in", "zooming camera"),
        ("a box stands still slowly", "no speed"),
        ("a box moves left then moves left", "to itself"),
        ("a striped face talks", "never striped"),
        ("a dog talks", "not in the standard world"),
        ("a ball bounces slowly then rises", "too short"),
        ("a large ball moves left behind a pillar", "pillar"),
        ("a ball rises behind a pillar", "pillar"),
        ("a large box grows quickly", "leave the picture"),
    ],
)
def test_refuses_what_nobody_could_see(text, said):
    with pytest.raises(UserError, match=said):
        check(parse(text))


@pytest.mark.parametrize(
    "meaning",
    [
        Meaning("dog"),
        Meaning("box", size="large"),
        Meaning("box", ("left", "up")),
        Meaning("box", color="pink", speed="slow"),
    ],
)
def test_the_small_world_knows_its_limits(meaning):
    with pytest.raises(UserError, match="nano"):
        check(meaning, NANO)


# --- Scenes ---------------------------------------------------------------------------------------------------


@WORLDS
@pytest.mark.parametrize("split", ["train", "held-out"])
def test_what_is_drawn_is_in_the_picture_and_large_enough(world, split):
    for seed, meaning in enumerate(meanings(150, world, split, seed=3)):
        shown = scene(meaning, seed, world)
        said = shown.meaning
        width = shown.screen_width
        low, high = world.sizes[said.size]
        assert low - 1e-9 <= shown.width[0] <= high + 1e-9
        assert world.range[0] - 1e-9 <= width.min() and width.max() <= world.range[1] + 1e-9
        assert world is NANO or width.min() >= 16 - 1e-9
        half_width, half_height = width / 2, width * HEIGHT[said.subject] / 2
        if "spins" in said.motions:
            half_width = half_height = width * scenes.DIAGONAL[said.subject] / 2
        x, y = shown.screen_position.T
        assert (x - half_width).min() > 0 and (x + half_width).max() < world.width
        assert (y - half_height).min() > 0 and (y + half_height).max() < world.height
        assert (shown.camera[0] == 0).all() and shown.zoom[0] == 1
        for name, value in asked(meaning).items():
            assert getattr(said, name) == value


def test_a_scene_follows_its_seed_and_keeps_what_was_said():
    meaning = parse("a small ball circles")
    first, again, other = scene(meaning, 1), scene(meaning, 1), scene(meaning, 2)
    assert (first.position == again.position).all() and first.background == again.background
    assert (first.position != other.position).any()
    seen = [scene(meaning, seed) for seed in range(40)]
    assert len({s.background for s in seen}) == 3 and len({tuple(s.color) for s in seen}) == 8
    assert {s.meaning.size for s in seen} == {"small"}


@pytest.mark.parametrize("speed, factor", [("slow", 0.5), ("normal", 1.0), ("quick", 2.0)])
@pytest.mark.parametrize("motion, direction", [("left", (-1, 0)), ("right", (1, 0)), ("up", (0, -1)), ("down", (0, 1))])
def test_glides_at_the_nominal_speed(speed, factor, motion, direction):
    velocity = np.diff(one(motion, speed=speed).position, axis=0) * STANDARD.fps
    assert velocity == pytest.approx(np.tile(direction, (16, 1)) * 7.0 * factor)


def test_bounces_under_constant_gravity():
    shown = one("bounces")
    y = shown.position[:, 1] - shown.position[0, 1]
    assert y == pytest.approx(
        [16 * (min(k % 8, 8 - k % 8) / 4) ** 2 for k in range(17)]
    )  # y = g t^2 / 2, g = 128 px/s^2
    falling = np.diff(y[:5], n=2) * STANDARD.fps**2
    assert falling == pytest.approx([128.0] * 3)


def test_circles_clockwise_at_a_constant_radius():
    shown = one("circles")
    offset = shown.position - (shown.position[0] + [0, 9])
    assert np.linalg.norm(offset, axis=1) == pytest.approx([9.0] * 17)
    assert offset[4] == pytest.approx([9, 0], abs=1e-9)  # after a quarter, to the right
    assert offset[8] == pytest.approx([0, 9], abs=1e-9)  # after a half, below


def test_grows_spins_talks_and_sloshes_at_their_rates():
    assert one("grows").width[-1] / one("grows").width[0] == pytest.approx(1.5)
    assert one("shrinks", size="large").width[0] / one("shrinks", size="large").width[-1] == pytest.approx(1.5)
    assert np.diff(one("spins").angle) == pytest.approx([np.pi / 24] * 16)  # 7.5 degrees, quick 15
    assert one("talks", "face").mouth[[0, 4, 8]] == pytest.approx([0, 1, 0])
    tilt = one("sloshes", "tank").tilt
    assert tilt[[0, 4, 8, 16]] == pytest.approx(0, abs=1e-9)  # level before, after, and between the swings
    assert tilt[[2, 6, 10]] == pytest.approx(0.26 * np.exp([-0.175, -0.525, -0.875]) * [1, -1, 1])


@pytest.mark.parametrize("speed", ["slow", "normal", "quick"])
def test_a_walking_dog_moves_its_legs_at_every_speed(speed):
    stride = one("left", "dog", speed=speed).stride
    assert np.ptp(stride) > 0.9  # a full swing, to and fro
    assert np.abs(np.diff(stride)).max() > 0.1


def test_then_means_one_half_each():
    shown = one(("right", "up"))
    steps = np.diff(shown.position, axis=0) * 8
    assert steps[:8] == pytest.approx(np.tile([7.0, 0], (8, 1))) and steps[8:] == pytest.approx(
        np.tile([0, -7.0], (8, 1))
    )


@pytest.mark.parametrize(
    "camera, at_end, zoom",
    [("pan left", -16, 1), ("pan right", 16, 1), ("push in", 0, 1.3), ("pull out", 0, 1 / 1.3), ("hold", 0, 1)],
)
def test_cameras_move_at_their_rates(camera, at_end, zoom):
    shown = one(camera=camera)
    assert shown.camera[-1] == pytest.approx([at_end, 0]) and shown.zoom[-1] == pytest.approx(zoom)


# --- Long clips -----------------------------------------------------------------------------------------------


def test_the_standard_clip_is_what_it_was_before_there_were_long_ones():
    """Weights are trained on these scenes: a change of any of them is a change of the world."""
    sha = hashlib.sha256()
    for seed, meaning in enumerate(meanings(200, seed=17)):
        shown = scene(meaning, seed)
        sha.update(repr((meaning, shown.background, shown.facing)).encode())
        for name in ("position", "width", "angle", "mouth", "tilt", "stride", "camera", "zoom", "color"):
            sha.update((np.round(getattr(shown, name), 6) + 0.0).tobytes())
    assert sha.hexdigest()[:16] == "855965417eb5eacf"


@pytest.mark.parametrize("camera", ["pan left", "pan right", "push in", "pull out", "hold"])
def test_a_camera_arrives_and_holds(camera):
    long, short = (one("spins", camera=camera, seed=3, size=None, world=world) for world in (LONG, STANDARD))
    assert (long.camera[:17] == short.camera).all() and (long.zoom[:17] == short.zoom).all()
    way = np.abs(np.column_stack([long.camera / scenes.PAN, np.log(long.zoom) / scenes.ZOOM])).sum(axis=1)  # s
    if camera == "hold":
        assert not way.any()
        return
    pace = np.diff(way) * 8
    assert pace[:16] == pytest.approx([1.0] * 16) and way[32:] == pytest.approx([3.0] * 37)
    assert np.diff(pace[16:32]) == pytest.approx([-1 / 16] * 15)  # evenly slower


def test_a_pan_follows_what_glides_its_way_and_no_other():
    right = one("right", camera="pan right", world=LONG)
    assert right.camera[:, 0] == pytest.approx(np.arange(69.0)) and np.ptp(right.screen_position[:, 0]) < 9
    back = one(("right", "left"), camera="pan right", world=LONG)  # 4.25 s there: the camera eases and holds then
    assert back.camera[34, 0] == pytest.approx(34) and back.camera[-1, 0] == pytest.approx(34 + 8)
    for shown in (
        one("right", camera="pan right", speed="slow", world=LONG),
        one("bounces", camera="pan right", world=LONG),
    ):
        assert shown.camera[-1, 0] == pytest.approx(24)
    with pytest.raises(UserError, match="leave the picture"):
        one("right", camera="hold", world=LONG)


def test_long_clips_show_every_camera_and_stay_in_the_picture():
    drawn = meanings(400, LONG, "train", seed=3)
    cameras = Counter(meaning.camera for meaning in drawn)
    assert cameras["hold"] < 0.5 * len(drawn) and min(cameras[name] for name in captions.CAMERAS) > 0.08 * len(drawn)
    assert {motion for meaning in drawn for motion in meaning.motions} == set(MOTIONS)
    for seed, meaning in enumerate(drawn[:100]):
        shown = scene(meaning, seed, LONG)
        half = shown.screen_width[:, None] / 2 * [1, HEIGHT[meaning.subject]]
        assert (shown.screen_position > half).all() and (shown.screen_position < 64 - half).all()
        assert shown.screen_width.min() >= 16 - 1e-9 and shown.screen_width.max() <= 48 + 1e-9


def test_water_that_comes_to_rest_by_itself_is_not_asked_to():
    prompt = parse("a tank of water sloshes then stands still")
    check(prompt)
    with pytest.raises(UserError, match="by itself"):
        check(prompt, LONG)
    check(parse("a tank of water stands still then sloshes"), LONG)


def test_where_only_the_smallest_fits_every_seed_finds_its_place():
    widths = [scene(parse("a large ball circles then bounces"), seed).width[0] for seed in range(40)]
    assert widths == pytest.approx([28.0] * 40)  # 28 px and a path of 34 px, in a picture of 64 with a margin of 1


@pytest.mark.parametrize("subject, visible", [("red box", 0.03), ("blue dog", 0.03), ("red face", 0.03)])
def test_a_pillar_hides_the_subject_and_lets_it_out(subject, visible):
    shown = scene(parse(f"a {subject} moves right behind a pillar on checkered tiles"), 0)
    seen = render.subject_mask(shown).sum(axis=(1, 2))
    alone = render.subject_mask(replace(shown, pillar=None)).sum(axis=(1, 2))
    assert seen[[0, -1]] == pytest.approx(alone[[0, -1]], rel=0.01)
    assert seen.min() < visible * alone.min()


# --- Pictures -------------------------------------------------------------------------------------------------

AREA = {"ball": np.pi / 4, "box": 1.0, "triangle": 0.433, "face": np.pi / 4, "tank": 0.9}


@pytest.mark.parametrize("subject", AREA)
def test_outlines_have_their_place_and_area(subject):
    shown = one(subject=subject, size="large", seed=4)
    cover = render.subject_mask(shown)
    assert cover.sum(axis=(1, 2)) == pytest.approx(AREA[subject] * shown.screen_width**2, rel=0.02)
    rows, columns = np.mgrid[:64, :64] + 0.5
    x, y = ((cover * axis).sum(axis=(1, 2)) / cover.sum(axis=(1, 2)) for axis in (columns, rows))
    below = 0.1443 * shown.screen_width if subject == "triangle" else 0  # its centroid lies below the middle
    assert np.abs(x - shown.screen_position[:, 0]).max() < 0.05
    assert np.abs(y - below - shown.screen_position[:, 1]).max() < 0.15


@pytest.mark.parametrize("subject", ["star", "dog"])
def test_outlines_fill_their_box(subject):
    shown = one(subject=subject, size="large", seed=4)
    rows, columns = np.nonzero(render.subject_mask(shown)[0] > 0.5)
    assert np.ptp(columns) + 1 == pytest.approx(shown.screen_width[0], abs=2.5)
    assert np.ptp(rows) + 1 == pytest.approx(shown.screen_width[0] * HEIGHT[subject], abs=2.5)


def test_a_dog_looks_where_it_goes():
    right = one("right", "dog")
    left = replace(right, facing=-1, position=right.position * [-1, 1])
    assert np.abs(render.subject_mask(right) - render.subject_mask(left)[:, :, ::-1]).max() < 1e-4
    assert one("left", "dog").facing == -1 and one(("left", "up"), "dog").facing == -1 and right.facing == 1


@pytest.mark.parametrize("color", COLORS)
def test_the_middle_has_the_color_that_was_said(color):
    shown = replace(one(subject="ball", color=color), position=np.full((17, 2), 0.5))
    assert render.render(shown)[:, 32, 32] == pytest.approx(np.tile(COLORS[color], (17, 1)) * 255, abs=1)
    dotted = replace(shown, meaning=replace(shown.meaning, texture="dotted"))  # a dot lies in the middle
    assert render.render(dotted)[0, 32, 32] == pytest.approx(np.array(COLORS[color]) * 255 * scenes.DARK, abs=1)


@pytest.mark.parametrize("background", captions.BACKGROUNDS)
def test_the_subject_is_the_most_colorful_thing(background):
    ground = render.render(replace(one(background=background), position=np.full((17, 2), 1e4))).astype(int)
    assert np.ptp(ground, axis=-1).max() < 0.13 * 255
    assert min(np.ptp(np.array(color)) * scenes.DARK for color in COLORS.values()) > 0.19


def test_a_shadow_darkens_what_lies_under_it():
    shown = one("circles", "ball", size="large")
    lit = render.render(replace(shown, shadow=np.array([1e4, 0]))).astype(float)
    ratio = (render.render(shown) / lit).mean(axis=-1)
    core = render.shadow_mask(shown) > 0.999
    assert core.sum() > 500
    assert ratio[core] == pytest.approx(np.full(core.sum(), render.SHADE), abs=0.02)
    away = (render.shadow_mask(shown) == 0) & (render.subject_mask(shown) == 0)
    assert ratio[away] == pytest.approx(np.ones(away.sum()))
    offset = ndimage.center_of_mass(core[0] | (render.subject_mask(shown)[0] > 0.5))
    assert offset[0] > shown.screen_position[0, 1] and offset[1] > shown.screen_position[0, 0]  # down and right


@pytest.mark.parametrize(
    "shown",
    [
        one("right", "star", size="large", camera="pan left"),
        one("spins", "box", texture="striped", background="starry"),
        one("grows", "box", texture="striped", speed="quick", background="brick"),
        one("up", "ball", texture="striped", camera="push in"),
        one("down", "ball", camera="pull out", background="brick"),
    ],
    ids=lambda shown: " ".join((*shown.meaning.motions, shown.meaning.camera)),
)
def test_flow_carries_each_frame_into_the_next(shown):
    """Frame t + 1, read where the flow points, is frame t, but for what is newly hidden or lit."""
    frames, flow = ndimage.gaussian_filter(render.render(shown) / 255.0, (0, 0.8, 0.8, 0)), render.flow(shown)
    blind = (render.subject_mask(shown) > 0) & (render.subject_mask(shown) < 1)
    blind = ndimage.binary_dilation(blind | (render.shadow_mask(shown) > 0.001), np.ones((1, 5, 5)))
    rows, columns = np.mgrid[:64, :64].astype(float)
    warped, still = [], []
    for t in range(16):
        moves = np.abs(flow[t]).sum(axis=-1) > 0.2
        at = [rows + flow[t, ..., 1], columns + flow[t, ..., 0]]
        inside = moves & (at[0] >= 0) & (at[0] <= 63) & (at[1] >= 0) & (at[1] <= 63) & ~blind[t] & ~blind[t + 1]
        there = np.stack([ndimage.map_coordinates(frames[t + 1, ..., c], at, order=1) for c in range(3)], axis=-1)
        warped.append(np.abs(there - frames[t])[inside].mean())
        still.append(np.abs(frames[t + 1] - frames[t])[inside].mean())
    assert np.mean(warped) < 0.006
    assert np.mean(warped) < 0.6 * np.mean(still)


def test_moving_one_thing_moves_only_that():
    shown = one("still", "ball", background="brick")
    before = render.render(shown)
    position = shown.position.copy()
    position[5] += 3
    changed = (render.render(replace(shown, position=position)) != before).any(axis=(1, 2, 3))
    assert changed.nonzero()[0].tolist() == [5]
    tinted = render.render(replace(shown, tint=np.array([0.05, 0, 0]))).astype(int) - before
    core, away = render.subject_mask(shown) == 1, render.subject_mask(shown) == 0
    assert (tinted[core] == 0).all() and (tinted[..., 0][away] > 0).all() and (tinted[..., 1:][away] == 0).all()


def test_a_mouth_opens_and_water_keeps_its_volume():
    talking = render.render(one("talks", "face", size="large", color="yellow")).max(axis=-1) < 70
    ink = talking.sum(axis=(1, 2))
    assert ink[4] > ink[0] + 20 and ink[8] == ink[0]
    tank = render.render(one("sloshes", "tank", size="large", color="red", background="starry")) / 255.0
    water = (tank[..., 0] - tank[..., 1]).clip(0.1).sum(axis=(1, 2))
    assert np.ptp(water) / water.mean() < 0.03
    wet = tank[..., 0] - tank[..., 1] > 0.4
    middle = (wet * np.arange(64)).sum((1, 2)) / wet.sum((1, 2))
    assert middle[2] > middle[0] + 0.5 and middle[6] < middle[0] - 0.5  # up on the right first, then on the left


def test_frames_are_pictures_of_the_world():
    for world in (STANDARD, NANO):
        frames = render.render(scene(meanings(1, world)[0], 0, world))
        assert frames.shape == (world.frames, world.height, world.width, 3) and frames.dtype == np.uint8
        assert frames.flags.c_contiguous
    single = render.render(one(world=replace(STANDARD, frames=1)))
    assert single.shape == (1, 64, 64, 3)


@pytest.mark.parametrize("subject", ["box", "triangle", "star"])
def test_a_turn_is_less_than_half_a_symmetry_per_frame(subject):
    folds = {"box": 4, "triangle": 3, "star": 5}[subject]
    quick = one("spins", subject, speed="quick").angle
    assert max(b - a for a, b in pairwise(quick)) < np.pi / folds
