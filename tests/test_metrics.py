"""Every metric on clips whose fault is known: the number must be the fault's size, and the controls must rank."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from minit2v import identity, lasting, metrics, physics
from minit2v.world.captions import COLORS, Meaning, parse
from minit2v.world.oracle import judge, lab
from minit2v.world.render import render, subject_mask
from minit2v.world.scenes import NANO, STANDARD, scene

PROMPTS = {
    "bounce": "a small red plain ball bounces in front of a brick wall",
    "pan": "a small green striped box moves right on checkered tiles, the camera pans left",
    "dog": "a large blue dog moves left under a starry sky, the camera pushes in",
    "face": "a large yellow face talks in front of a brick wall",
    "tank": "a large blue tank of water sloshes on a checkered floor",
    "pillar": "a small orange ball moves right behind a pillar in front of a brick wall",
    "spin": "a small pink dotted star spins quickly on a checkered floor",
}
MEANINGS = {name: parse(prompt) for name, prompt in PROMPTS.items()}
SCENES = {name: scene(meaning, seed) for seed, (name, meaning) in enumerate(MEANINGS.items())}
CLIPS = {name: render(each) for name, each in SCENES.items()}
OTHER = dict(zip(PROMPTS, [*list(PROMPTS)[1:], "bounce"], strict=True))


def truth(scene):
    """A perfect track, for metrics that need no frames."""
    frames = len(scene.width)
    mask = subject_mask(scene) > 0.5
    return SimpleNamespace(
        center=scene.screen_position, width=scene.screen_width, world_width=scene.width, angle=scene.angle, mask=mask,
        area=mask.sum(axis=(1, 2)).astype(float), visible=np.ones(frames, bool), rgb=np.tile(scene.color, (frames, 1)),
        camera=scene.camera, zoom=scene.zoom, position=scene.position, mouth=scene.mouth, tilt=scene.tilt,
        shadow=np.tile(scene.shadow, (frames, 1)),
    )  # fmt: skip


def see(frames):
    return judge(frames).track


def edited(name, since=1, **changes):
    """The clip of a scene that changes at frame `since`, and its meaning: first the right scene, then the changed."""
    wrong = render(replace(SCENES[name], **changes))
    return np.concatenate([CLIPS[name][:since], wrong[since:]]), MEANINGS[name]


@pytest.fixture(scope="module")
def tables():
    """control -> prompt -> every figure."""
    found = {"real": {}, "frozen": {}, "shuffled": {}, "other": {}}
    for name, meaning in MEANINGS.items():
        for control, clip in metrics.controls(CLIPS[name], CLIPS[OTHER[name]], seed=3).items():
            found[control][name] = metrics.measure(clip, meaning)
    return found


@pytest.fixture(scope="module")
def mean(tables):
    return {control: metrics.summarize(list(rows.values())) for control, rows in tables.items()}


# --- The controls rank as they must --------------------------------------------------------------------------


def test_adherence_needs_the_right_prompt_and_the_right_order(mean):
    assert mean["real"]["adherence"] == 1
    assert mean["frozen"]["adherence"] == mean["shuffled"]["adherence"] == mean["other"]["adherence"] == 0
    assert mean["frozen"]["adherence.subject"] == mean["shuffled"]["adherence.subject"] == 1  # looks alone survive
    assert mean["shuffled"]["adherence.motions"] < 0.2
    assert mean["other"]["adherence.subject"] < 0.5


def test_flicker_is_low_on_real_clips_high_on_shuffled_and_blind_to_frozen(mean, tables):
    assert mean["real"]["flicker"] < 0.25
    assert mean["shuffled"]["flicker"] > 5 * mean["real"]["flicker"]
    assert tables["shuffled"]["pan"]["flicker"] > 20 * tables["real"]["pan"]["flicker"]
    assert mean["frozen"]["flicker"] < 1e-3 < mean["real"]["flicker"]  # which is why motion stands beside it


def test_identity_is_kept_by_real_clips_and_by_frozen_ones(tables, mean):
    assert max(row["identity_drift"] for row in tables["real"].values()) < 0.6
    assert mean["frozen"]["identity_drift"] < 0.02
    assert mean["shuffled"]["identity_drift"] == pytest.approx(mean["real"]["identity_drift"], abs=0.2)


def test_motion_tells_real_from_frozen_shuffled_and_other(tables):
    motion = {control: {name: row["motion"] for name, row in rows.items()} for control, rows in tables.items()}
    for name, ratio in motion["real"].items():
        assert ratio == pytest.approx(1, abs=0.2 if name == "face" else 0.06), name
    assert max(abs(ratio) for ratio in motion["frozen"].values()) < 0.05
    for name in MEANINGS:
        assert abs(motion["shuffled"][name] - 1) > 0.3 and not 0.8 < motion["other"][name] < 1.25, name


def test_roughness_and_physics_tell_shuffled_from_real(mean):
    assert mean["real"]["motion.roughness"] < 1 < 5 < mean["shuffled"]["motion.roughness"]
    assert mean["frozen"]["motion.roughness"] < 0.05
    assert mean["real"]["physics"] == 1 > 0.5 > mean["shuffled"]["physics"]
    assert mean["frozen"]["physics"] < 0.5 and mean["other"]["physics"] < 0.5


@pytest.mark.parametrize("name", ["bounce_residual", "slosh_residual", "camera_error", "camera_jumps"])
def test_each_law_ranks(mean, name):
    assert mean["real"][f"physics.{name}"] < 0.3
    assert mean["shuffled"][f"physics.{name}"] > 5 * mean["real"][f"physics.{name}"] + 0.5


def test_gravity_and_permanence_fail_a_frozen_clip(tables):
    assert tables["real"]["bounce"]["physics.gravity_ratio"] == pytest.approx(1, abs=0.05)
    assert tables["frozen"]["bounce"]["physics.gravity_ratio"] == pytest.approx(0, abs=0.01)
    assert tables["frozen"]["bounce"]["physics.bounce_residual"] < 0.01  # alone it would be fooled
    assert tables["real"]["pillar"]["physics.permanence"] == 1
    assert tables["frozen"]["pillar"]["physics.permanence"] == tables["other"]["pillar"]["physics.permanence"] == 0
    assert math.isnan(tables["real"]["dog"]["physics.permanence"])


# --- Flicker -------------------------------------------------------------------------------------------------


def test_brightness_jitter_reads_its_own_size():
    clip, rng = CLIPS["pan"].astype(float), np.random.default_rng(0)
    track, jitter = see(CLIPS["pan"]), rng.normal(0, 4, (17, 1, 1, 1))
    jittered = np.clip(clip + jitter, 0, 255).astype(np.uint8)
    kinked = np.abs(jitter[1:-1] - (jitter[:-2] + jitter[2:]) / 2).mean()
    assert metrics.flicker(jittered, see(jittered)) == pytest.approx(kinked, rel=0.15)
    noisy = np.clip(clip + rng.normal(0, 10, clip.shape), 0, 255).astype(np.uint8)
    assert metrics.flicker(noisy, track) == pytest.approx(0.28 * 9.8, rel=0.2)  # damped by the blur


def test_flicker_is_blind_to_blur_and_to_slow_drift_but_not_to_a_camera_that_jitters():
    real = metrics.flicker(CLIPS["pan"], see(CLIPS["pan"]))
    blurred = ndimage.gaussian_filter(CLIPS["pan"].astype(float), (0, 1.5, 1.5, 0)).astype(np.uint8)
    assert metrics.flicker(blurred, see(blurred)) < real + 0.25
    fading = (CLIPS["pan"] * np.linspace(1, 0.8, 17)[:, None, None, None]).astype(np.uint8)
    assert metrics.flicker(fading, see(fading)) < real + 0.35  # rounding
    shaken = SCENES["pan"].camera + np.random.default_rng(1).normal(0, 1, (17, 2))
    clip, _ = edited("pan", camera=shaken)
    assert metrics.flicker(clip, see(clip)) > real + 2


def test_flicker_counts_the_subject_by_its_share():
    clip, _ = edited("face", since=17)
    track = see(clip)
    track.rgb = track.rgb + 0.02 * (-1.0) ** np.arange(17)[:, None]
    assert metrics.flicker(clip, track) == pytest.approx(track.mask.mean() * 2 * 0.02 * 255, rel=0.15)


# --- Identity ------------------------------------------------------------------------------------------------


def test_color_drift_reads_the_known_difference():
    other = np.array([0.95, 0.45, 0.10])
    clip, meaning = edited("bounce", color=other)
    expected = np.linalg.norm(lab(other) - lab(np.array(COLORS["red"])))
    assert identity.identity_drift(clip, see(clip), meaning)["color"] == pytest.approx(expected, abs=1)
    assert np.allclose(lab(np.array([1.0, 0, 0])), [53.24, 80.09, 67.20], atol=0.1)  # the textbook's red


def test_size_drift_reads_the_known_growth_and_forgives_the_asked_one():
    clip, meaning = edited("bounce", width=SCENES["bounce"].width * np.linspace(1, 1.3, 17))
    curve = identity.drift_curves(clip, see(clip), meaning)["size"]
    assert curve == pytest.approx(np.log(np.linspace(1, 1.3, 17)), abs=0.02)
    assert identity.identity_drift(clip, see(clip), replace(meaning, motions=("grows",)))["size"] < 0.02


def test_shape_drift_of_a_ball_that_becomes_a_box():
    clip, meaning = edited("bounce", since=9, meaning=replace(MEANINGS["bounce"], subject="box"))
    curve = identity.drift_curves(clip, see(clip), meaning)["shape"]
    assert curve[:9].max() < 0.06
    assert curve[9:] == pytest.approx(np.full(8, 1 - 0.9093 / 1.0907), abs=0.035)  # disc and square of one area


def test_texture_correlation_sees_turned_stripes_but_not_a_spin():
    clip, meaning = edited("pan", since=9, pattern_angle=0.6 + np.pi / 2)
    correlation = identity.texture_correlation(clip, see(clip), meaning)
    assert correlation[:9].min() > 0.9 and correlation[9:].max() < 0.4
    spin = CLIPS["spin"]
    assert identity.texture_correlation(spin, see(spin), MEANINGS["spin"]).min() > 0.85
    assert identity.texture_correlation(spin, see(spin), replace(MEANINGS["spin"], motions=("still",))).min() < 0.5


def test_a_talking_face_keeps_its_identity_outside_the_mouth():
    drift = identity.identity_drift(CLIPS["face"], see(CLIPS["face"]), MEANINGS["face"])
    assert drift["texture"] < 0.03
    clip, meaning = edited("face", since=9, meaning=replace(MEANINGS["face"], subject="ball"))  # its eyes vanish
    assert identity.drift_curves(clip, see(clip), meaning)["texture"][9:].min() > 0.5


def test_a_subject_that_vanishes_has_lost_its_shape():
    clip = np.concatenate([CLIPS["bounce"][:9], np.broadcast_to(np.uint8(180), (8, 64, 64, 3))])
    assert identity.drift_curves(clip, see(clip), MEANINGS["bounce"])["shape"][9:].tolist() == [1.0] * 8


@pytest.mark.parametrize(
    "changes",
    [
        {"color": np.array(COLORS["yellow"])},
        {"width": SCENES["pillar"].width * 1.25},
        {"meaning": replace(MEANINGS["pillar"], texture="striped")},
    ],
    ids=["color", "size", "texture"],
)
def test_permanence_needs_the_same_object_to_come_out(changes):
    clip, meaning = edited("pillar", since=9, **changes)
    assert identity.permanence(clip, see(clip), meaning) == 0


def comes_out(frames):
    return lasting.comes_out(frames, see(frames), MEANINGS["pillar"])


def test_what_comes_out_must_come_out_where_its_motion_leads():
    real = comes_out(CLIPS["pillar"])
    assert real["verdict"] == real["same"] == 1 and real["place_error"] < 0.5
    late = SCENES["pillar"].position + np.where(np.arange(17)[:, None] >= 9, [0, 7.0], 0)
    clip, _ = edited("pillar", position=late)
    found = comes_out(clip)
    assert found["same"] == 1 and found["place_error"] == pytest.approx(7, abs=0.5) and found["verdict"] == 0
    changed, _ = edited("pillar", since=9, color=np.array(COLORS["purple"]))
    assert comes_out(changed)["same"] == 0 and comes_out(changed)["place_error"] < 0.5
    bare = render(replace(SCENES["pillar"], pillar=None))
    for never in (np.repeat(CLIPS["pillar"][:1], 17, axis=0), CLIPS["pan"], bare):
        assert comes_out(never)["verdict"] == 0  # it stays on its side, it is another clip, nothing hides it


@pytest.mark.parametrize("prompt", ["a small dotted orange dog moves left", "a small plain cyan face moves right",
                                    "a small striped pink star moves left"])  # fmt: skip
def test_everything_that_passes_a_pillar_is_the_same_when_it_comes_out(prompt):
    meaning = parse(f"{prompt} behind a pillar on a checkered floor")
    for seed in range(3):
        clip = render(scene(meaning, seed))
        assert lasting.comes_out(clip, see(clip), meaning)["verdict"] == 1


def test_edge_sharpness_falls_with_blur_as_told():
    clip, track = CLIPS["bounce"], see(CLIPS["bounce"])
    sharp = [identity.edge_sharpness(clip, track)]
    for sigma in (1, 2):
        sharp.append(identity.edge_sharpness(ndimage.gaussian_filter(clip.astype(float), (0, sigma, sigma, 0)), track))
    assert sharp == pytest.approx([1.0, 0.63, 0.41], abs=0.12)


# --- Motion --------------------------------------------------------------------------------------------------


def test_speed_ratio_of_half_speed_wrong_way_and_nothing():
    right = Meaning("box", ("right",), color="green")
    assert metrics.speed_ratio(truth(scene(right)), right) == pytest.approx(1)
    assert metrics.speed_ratio(truth(scene(replace(right, speed="slow"))), right) == pytest.approx(0.5)
    assert metrics.speed_ratio(truth(scene(replace(right, motions=("left",)))), right) == pytest.approx(-1)
    assert math.isnan(metrics.speed_ratio(truth(scene(right)), replace(right, motions=("still",))))
    hidden = truth(scene(right))
    hidden.position = np.where(np.arange(17)[:, None] % 8 == 0, hidden.position, np.nan)
    assert metrics.speed_ratio(hidden, right) == pytest.approx(1)


@pytest.mark.parametrize("motions", [("bounces",), ("circles",), ("grows",), ("spins",), ("right", "shrinks")])
def test_speed_ratio_of_other_motions_is_half_at_half_speed(motions):
    asked = Meaning("box", motions, color="red", speed="normal")
    assert metrics.speed_ratio(truth(scene(asked)), asked) == pytest.approx(1)
    slow = truth(scene(replace(asked, speed="slow")))
    assert metrics.speed_ratio(slow, asked) == pytest.approx(0.5, abs=0.03)


def test_roughness_reads_jitter_and_forgives_the_asked_jerk():
    track = truth(SCENES["bounce"])
    assert metrics.roughness(track, MEANINGS["bounce"]) == pytest.approx(0, abs=1e-6)
    glide, jitter = truth(SCENES["pan"]), np.random.default_rng(0).normal(0, 1, (17, 2))
    glide.position = glide.position + jitter
    expected = np.sqrt((np.diff(jitter, n=3, axis=0) ** 2).sum(axis=1).mean())  # about √(2 · 20)
    assert metrics.roughness(glide, MEANINGS["pan"]) == pytest.approx(expected)


def test_stiffness_is_what_is_missing():
    ratios = [1.0, 0.5, 0.0, -1.0, 2.0]
    assert [metrics.stiffness(ratio) for ratio in ratios] == [0, 0.5, 1, 1, 0]
    assert math.isnan(metrics.stiffness(math.nan))


def test_muddy_motion_is_smeared_motion(tables):
    def mud(clip, meaning):
        return metrics.muddiness(clip, see(clip), meaning)

    meaning = parse("a small red box moves right quickly on a checkered floor")
    clip = render(scene(meaning, 0))
    smeared = ndimage.uniform_filter1d(clip.astype(float), 5, axis=0).astype(np.uint8)  # over five frames
    assert mud(clip, meaning) < 0.12 and mud(smeared, meaning) == pytest.approx(0.35, abs=0.1)
    still = replace(meaning, motions=("still",), speed="normal")
    assert math.isnan(mud(clip, still))
    assert mud(np.zeros_like(clip), meaning) == 1  # nothing that can be seen
    table = {control: metrics.summarize(list(rows.values()))["motion.muddiness"] for control, rows in tables.items()}
    assert table["real"] == pytest.approx(table["frozen"], abs=0.05)  # so read it beside a motion figure


# --- Lasting -------------------------------------------------------------------------------------------------

LONG = replace(STANDARD, frames=69)
LASTING = {
    "dog": parse("a small striped blue dog stands still then grows slowly by a wall of bricks, the camera pans right"),
    "box": parse("a large pink box spins under a starry sky, the camera pushes in"),
    "tank": parse("a large red tank of water sloshes under a starry sky"),
    "puppy": parse("a small dotted purple dog stands still under a starry sky, the camera pulls out"),
}


@pytest.fixture(scope="module")
def staged():
    return {name: scene(meaning, 4, LONG) for name, meaning in LASTING.items()}


def held(clip, meaning):
    return lasting.held(clip, judge(clip), meaning)


@pytest.mark.parametrize("name", LASTING)
def test_a_real_long_clip_holds_its_identity_and_all_its_figures_are_right(staged, name):
    row = metrics.measure(render(staged[name]), LASTING[name])
    assert row["held"] == row["held.same"] == row["held.asked"] == row["adherence"] == row["physics"] == 1
    assert row["camera"] == 1 and row["flicker"] < 0.5


def test_a_seeded_drift_loses_the_identity(staged):
    box, meaning = staged["box"], LASTING["box"]
    fades = render(box).astype(float)
    fades = (fades + np.linspace(0, 1, 69)[:, None, None, None] * (fades[..., [2, 0, 1]] - fades)).astype(np.uint8)
    assert held(fades, meaning) == {"verdict": 0, "same": 0, "asked": 0}
    stars = render(replace(box, meaning=replace(meaning, subject="star")))
    swapped = np.concatenate([render(box)[:40], stars[40:]])
    assert held(swapped, meaning)["asked"] == 0
    shrinks = render(replace(box, width=box.width * np.linspace(1, 0.7, 69)))
    assert held(shrinks, meaning)["same"] == 0
    late = np.concatenate([stars[:60], render(box)[60:]])  # right in the end, and another one than before
    assert held(late, meaning) == {"verdict": 0, "same": 0, "asked": 1}


def test_what_was_wrong_from_the_start_is_the_same_and_not_as_asked(staged):
    clip = render(staged["tank"])
    assert held(clip, replace(LASTING["tank"], color="green")) == {"verdict": 0, "same": 1, "asked": 0}
    assert held(np.repeat(clip[:1], 69, axis=0), LASTING["tank"])["verdict"] == 1  # frozen: so motion stands beside it
    assert all(map(math.isnan, held(clip[:17], LASTING["tank"]).values()))


def test_an_outline_that_touches_the_border_ends_there():
    whole = scene(parse("a large red box stands still on a checkered floor"), 0)
    width = whole.width[0]
    place = np.stack([np.linspace(width / 2 - 32.5, 0, 17), np.zeros(17)], axis=1)  # half a px beyond the left border
    clip, meaning = render(replace(whole, position=place)), whole.meaning
    track = see(clip)
    assert track.mask[0, :, 0].sum() > 20 and not track.visible[0] and track.visible[-1]
    change = identity.at_end(clip, track, meaning)
    assert change["shape"] < 0.1 and identity.stayed(change, "large") == 1


def test_a_subject_that_leaves_is_not_held(staged):
    clip = render(staged["dog"])
    gone = np.concatenate([clip[:60], render(replace(staged["dog"], position=staged["dog"].position + 200))[60:]])
    assert held(gone, LASTING["dog"])["same"] == 0


def test_a_camera_that_arrives_is_no_flicker(staged):
    clip = render(staged["dog"])
    track = see(clip)
    steady = metrics.flicker(clip, track)
    assert steady < 0.5
    shaken = replace(staged["dog"], camera=staged["dog"].camera + np.random.default_rng(1).normal(0, 1, (69, 2)))
    shaken = render(shaken)
    assert metrics.flicker(shaken, see(shaken)) > steady + 2


def test_steady_steps_are_the_median_of_a_short_clip_and_of_what_is_near_in_a_long_one():
    rng = np.random.default_rng(0)
    short, long = rng.normal(size=(16, 2)), rng.normal(size=(60, 1))
    assert (metrics._steady(short) == np.median(short, axis=0)).all()
    found = metrics._steady(long)[[0, 30, -1], 0]
    assert found.tolist() == [np.median(long[:16]), np.median(long[22:38]), np.median(long[-16:])]


def test_single_frames_can_be_right_while_the_clip_is_wrong():
    clip, meaning = CLIPS["pan"], MEANINGS["pan"]
    assert lasting.frame_adherence(clip, meaning) == 1
    assert lasting.frame_adherence(clip[np.random.default_rng(0).permutation(17)], meaning) == 1
    assert lasting.frame_adherence(CLIPS["dog"], meaning) == 0
    mixed = np.concatenate([clip[:5], CLIPS["dog"][5:]])
    assert lasting.frame_adherence(mixed, meaning) == pytest.approx(5 / 17)
    assert math.isnan(lasting.frame_adherence(CLIPS["pillar"], MEANINGS["pillar"]))


# --- Laws ----------------------------------------------------------------------------------------------------


def test_shadow_error_reads_three_px():
    clip, meaning = edited("bounce", since=0, shadow=np.array([1.0, 4.0]))
    assert physics.shadow_error(see(CLIPS["bounce"]), MEANINGS["bounce"]) < 0.5
    assert physics.shadow_error(see(clip), meaning) == pytest.approx(3, abs=0.5)


def test_a_camera_jump_is_counted_once_and_measured():
    camera = SCENES["pan"].camera.copy()
    camera[9:, 0] += 4
    clip, meaning = edited("pan", camera=camera)
    track = see(clip)
    assert physics.camera_jumps(see(CLIPS["pan"])) == 0
    assert physics.camera_jumps(track) == 1
    assert physics.camera_error(track, meaning) == pytest.approx(4 * np.sqrt(8 / 17), abs=0.3)
    assert physics.camera_jumps(track, threshold=5) == 0


def test_camera_error_of_the_wrong_zoom():
    track = truth(SCENES["pan"])
    asked = replace(MEANINGS["pan"], camera="push in")
    zoom = scene(replace(asked, size="small", motions=("still",))).zoom
    wrong = np.sum(track.camera**2, axis=1) + (16 * np.log(zoom)) ** 2
    assert physics.camera_error(track, asked) == pytest.approx(np.sqrt(wrong.mean()))


def test_a_bounce_under_two_gravities_does_not_fit_one():
    track, meaning = truth(SCENES["bounce"]), MEANINGS["bounce"]
    assert physics.bounce(track, meaning) == pytest.approx((0, 1), abs=1e-6)
    y, late = track.position[:, 1], np.arange(9)
    top = y[0]
    track.position = track.position.copy()
    track.position[8:, 1] = top + 16 * np.minimum(late / 8, 1) ** 2  # a quarter of the gravity
    assert physics.bounce(track, meaning)[0] > 1.5
    moon = truth(scene(replace(meaning, speed="slow"), 0))
    assert physics.bounce(moon, meaning) == pytest.approx((0, 0.25), abs=0.01)


def test_slosh_residual_sees_water_that_gains_height_or_goes_the_wrong_way():
    track, meaning = truth(SCENES["tank"]), MEANINGS["tank"]
    assert physics.slosh_residual(track, meaning) < 0.02
    swell = truth(replace(SCENES["tank"], tilt=SCENES["tank"].tilt[::-1].copy()))
    turned = truth(replace(SCENES["tank"], tilt=SCENES["tank"].tilt * np.where(np.arange(17) < 6, 1, -1)))
    assert physics.slosh_residual(swell, meaning) > 0.5
    assert physics.slosh_residual(turned, meaning) > 0.5


def test_volume_error_reads_the_lost_water():
    track = see(CLIPS["tank"])
    assert physics.volume_error(track, MEANINGS["tank"]) < 0.03
    track.area = np.where(np.arange(17) > 0, 0.8 * track.area[0], track.area[0])
    assert physics.volume_error(track, MEANINGS["tank"]) == pytest.approx(-np.log(0.8))
    assert math.isnan(physics.volume_error(track, MEANINGS["dog"]))


# --- Tables --------------------------------------------------------------------------------------------------


def test_wilson_against_published_values():
    assert metrics.wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert metrics.wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert metrics.wilson(10, 10)[1] == pytest.approx(1) and metrics.wilson(0, 0) == (0, 1)


def test_adherence_counts_jointly_and_per_attribute():
    readings = [judge(CLIPS[name]) for name in ("bounce", "pan")]
    wrong = replace(MEANINGS["pan"], color="red")
    result = metrics.adherence(readings, [MEANINGS["bounce"], wrong])
    assert result["overall"] == 0.5 and result["n"] == 2
    assert result["attributes"]["color"] == 0.5 and result["attributes"]["subject"] == 1
    assert result["interval"] == list(metrics.wilson(1, 2))


def test_controls_are_what_they_say():
    made = metrics.controls(CLIPS["pan"], CLIPS["dog"])
    assert made["real"] is CLIPS["pan"] and made["other"] is CLIPS["dog"]
    assert (made["frozen"] == CLIPS["pan"][0]).all()
    order = [int(np.abs(CLIPS["pan"].astype(int) - frame).sum(axis=(1, 2, 3)).argmin()) for frame in made["shuffled"]]
    assert sorted(order) == list(range(17)) != order
    assert (made["shuffled"] == metrics.controls(CLIPS["pan"], CLIPS["dog"])["shuffled"]).all()


def test_no_table_without_motion():
    table = metrics.with_controls("flicker", CLIPS["pan"], CLIPS["dog"], MEANINGS["pan"])
    assert table["frozen"]["flicker"] == pytest.approx(0, abs=1e-3) and table["frozen"]["motion"] == pytest.approx(0)

    def brightness(frames):
        return frames.mean()

    own = metrics.with_controls(brightness, CLIPS["pan"], CLIPS["dog"], MEANINGS["pan"])
    assert own["real"] == {"brightness": CLIPS["pan"].mean(), "motion": table["real"]["motion"]}


def test_report_is_json_with_controls_and_motion_everywhere():
    names = ["bounce", "pan"]
    frozen = [np.repeat(CLIPS[name][:1], 17, axis=0) for name in names]
    found = metrics.report(frozen, [MEANINGS[name] for name in names], real=[CLIPS[name] for name in names])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found) == ["adherence", "flicker", "identity_drift", "motion", "physics", "camera"]
    for section in found.values():
        assert list(section["controls"]) == ["real", "frozen", "shuffled", "other"]
    for name in ("flicker", "identity_drift", "physics"):
        assert found[name]["motion"]["value"] == pytest.approx(0, abs=0.02)
        assert found[name]["motion"]["controls"]["real"] == pytest.approx(1, abs=0.05)
    assert found["adherence"]["overall"] == 0 and found["adherence"]["controls"]["real"] == 1
    assert found["flicker"]["ratio"] < 0.01
    assert found["physics"]["parts"]["slosh_residual"]["value"] is None
    assert found["camera"]["value"] == 0.5 and found["camera"]["interval"] == list(metrics.wilson(1, 2))
    assert found["camera"]["controls"]["real"] == 1 and found["camera"]["parts"]["moving"]["value"] == 0


def test_nano_clips_and_noise_can_be_measured():
    meaning = Meaning("ball", ("left",), "red", size="small")
    row = metrics.measure(render(scene(meaning, 0, NANO)), meaning, NANO)
    assert row["adherence"] == row["physics"] == 1 and row["motion"] == pytest.approx(1, abs=0.1)
    noise = np.random.default_rng(0).integers(0, 256, (STANDARD.frames, 64, 64, 3), dtype=np.uint8)
    row = metrics.measure(noise, MEANINGS["bounce"])
    assert row["adherence"] == 0 and row["flicker"] > 1
    empty = metrics.measure(np.zeros_like(noise), MEANINGS["bounce"])
    assert empty["motion"] == 0 and empty["identity_drift.shape"] == 1


@pytest.mark.parametrize("module", [metrics, identity, lasting, physics])
def test_every_figure_says_what_it_is_blind_to(module):
    tools = {"finite_mean", "rms", "nominal", "span", "laws", "sample", "whole", "drift_curves", "measure", "controls"}
    tools |= {"with_controls", "report", "summarize", "sides"}
    figures = [f for name, f in vars(module).items() if callable(f) and getattr(f, "__module__", "") == module.__name__]
    for figure in figures:
        if not figure.__name__.startswith("_") and figure.__name__ not in tools:
            assert "lind to" in figure.__doc__, figure.__name__
            assert "Source" in figure.__doc__ or figure is physics.lawful, figure.__name__
