"""Prompt in, clip out: what depends on what, what is refused, and what is written."""

import builtins
import errno
import json
import os
import pickle
import re
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_system import TINY, TINY_VAE, save_tiny

from minit2v import Clip, TextToVideo, media
from minit2v.checkpoints import available, load_weights, save_weights
from minit2v.clip import contact_sheet
from minit2v.datasets import captioned
from minit2v.errors import UserError
from minit2v.evaluation import draw_prompts, evaluate, read_prompts
from minit2v.pipeline import Given, load_vae
from minit2v.recipes import SYSTEMS, VAES, PromptedDenoiser, config_of
from minit2v.request import Sliding
from minit2v.vae import VAE, VAEConfig
from minit2v.world import captions
from minit2v.world.render import render
from minit2v.world.scenes import NANO, STANDARD, scene

PROMPT = "a small red ball bounces"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    save_tiny(path)
    return path


@pytest.fixture(scope="module")
def system(folder):
    return TextToVideo.from_pretrained(folder / "tiny.safetensors")


def real(text, seed=0, world=STANDARD):
    return Clip(render(scene(captions.parse(text), seed, world)), text, world.fps, "world", seed, world=world)


@pytest.fixture(scope="module")
def ball():
    return real("a small red ball bounces on a checkered floor")


# --- around given frames ------------------------------------------------------------------------------------


def test_given_frames_keep_their_latents_and_leave_the_others_to_the_prompt(system, ball):
    request = system.request([PROMPT], [1], given=[Given(first=ball.frames[:5])])
    latents, free = system.denoise(request), system.denoise(system.request([PROMPT], [1]))
    assert torch.equal(latents[:, :2], system.encode([ball.frames[:5]]))  # frames 0 to 4: two latents
    assert all((latents[:, frame] - free[:, frame]).abs().max() > 1e-4 for frame in range(2, 5))
    other = system.denoise(system.request(["a large blue star spins"], [1], given=[Given(first=ball.frames[:5])]))
    assert torch.equal(other[:, :2], latents[:, :2]) and not torch.equal(other[:, 2:], latents[:, 2:])


def test_a_last_picture_is_held_as_a_group_that_stands_still(system, ball):
    first, last = ball.frames[:1], ball.frames[12:13]
    latents = system.denoise(system.request([PROMPT], [1], given=[Given(first=first, last=last)]))
    assert torch.equal(latents[:, 0], system.encode([first])[:, 0])
    assert torch.equal(latents[:, -1], system.encode([last.repeat(9, axis=0)])[:, -1])
    only = system.denoise(system.request([PROMPT], [1], given=[Given(last=last)]))
    assert torch.equal(only[:, -1], latents[:, -1]) and not torch.equal(only[:, 0], latents[:, 0])


def test_noise_on_given_frames_reaches_the_others_and_not_the_given_ones(system, ball):
    exact, rough = (system.denoise(system.request([PROMPT], [1], given=[Given(ball.frames[:1], noise=noise)]))
                    for noise in (0.0, 0.4))  # fmt: skip
    assert torch.equal(exact[:, 0], rough[:, 0]) and not torch.equal(exact[:, 1:], rough[:, 1:])


def test_each_clip_of_a_batch_has_its_own_given_frames(system, ball):
    star = real("a large blue star spins")
    given = [Given(ball.frames[:1]), Given(star.frames[:1])]
    together = system.denoise(system.request([PROMPT, PROMPT], [1, 2], given=given))
    alone = [system.denoise(system.request([PROMPT], [1 + i], given=given[i : i + 1])) for i in range(2)]
    assert (together - torch.cat(alone)).abs().max() < 1e-4
    clips = system.generate_batch([PROMPT, PROMPT], [1, 2], given=given)
    second = system.generate(PROMPT, seed=2, given=given[1])
    assert np.abs(clips[1].frames.astype(int) - second.frames).max() <= 1  # rounding


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([Given()], "nothing is given"),
        ([Given(np.zeros((4, 64, 64, 3), np.uint8))], "4 frames are not 4n+1"),
        ([Given(np.zeros((17, 64, 64, 3), np.uint8))], "leave none to be made"),
        ([Given(np.zeros((13, 64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8))], "leave none to be made"),
        ([Given(np.zeros((1, 32, 64, 3), np.uint8))], "they must be (64, 64, 3)"),
        ([Given(np.zeros((1, 64, 64, 3), np.uint8), noise=1.0)], "noise 1.0"),
        ([Given(np.zeros((1, 64, 64, 3), np.uint8), noise=float("nan"))], "noise nan"),
        ([Given(np.zeros((1, 64, 64, 3), np.uint8))] * 2, "1 prompts need 1 given"),
    ],
)
def test_given_frames_that_cannot_be_used_are_refused(system, given, said):
    with pytest.raises(UserError, match=re.escape(said)):
        system.request([PROMPT], [0], given=given)


def test_a_picture_that_the_vae_cannot_hold_is_doubted(system, ball, monkeypatch):
    monkeypatch.setattr(system, "decode", lambda latents: ball.frames[None, :1])
    assert system.doubts(ball.frames[:1]) == []
    (doubt,) = system.doubts(255 - ball.frames[:1])
    assert "cannot hold this picture" in doubt and "dB" in doubt


# --- generating ---------------------------------------------------------------------------------------------


def test_a_clip_has_the_recipes_shape_and_knows_where_it_comes_from(system):
    clip = system.generate(PROMPT, seed=5)
    assert clip.frames.shape == (17, 64, 64, 3) and clip.frames.dtype == np.uint8
    assert (clip.fps, clip.prompt, clip.seed, clip.system, clip.steps, clip.guidance) == (8, PROMPT, 5, "tiny", 3, 2.0)
    assert set(clip.timings) == {"denoise", "decode"} and clip.seconds == sum(clip.timings.values()) > 0
    assert "17 frames of 64 x 64 px at 8 fps, tiny, seed 5" in repr(clip)


def test_the_same_seed_gives_the_same_clip_and_everything_asked_for_changes_it(system):
    first = system.generate(PROMPT)
    assert np.array_equal(first.frames, system.generate(PROMPT).frames)
    changes = [dict(seed=1), dict(steps=4), dict(guidance=1.0), dict(prompt="a large blue star spins")]
    for change in changes:
        assert not np.array_equal(first.frames, system.generate(**{"prompt": PROMPT, **change}).frames)


def test_a_clip_of_a_batch_is_the_clip_it_would_be_alone(system):
    prompts, seeds = [PROMPT, "a large dotted purple star spins quickly, the camera holds"], [3, 4]
    together = system.denoise(system.request(prompts, seeds))
    alone = [system.denoise(system.request([prompt], [seed])) for prompt, seed in zip(prompts, seeds, strict=True)]
    assert (together - torch.cat(alone)).abs().max() < 1e-4
    others = system.denoise(system.request([PROMPT, PROMPT], [3, 9]))
    assert (together[0] - others[0]).abs().max() < 1e-4 and (together[1] - others[1]).abs().max() > 0.1


def test_a_batch_gives_its_clips_in_order(system):
    prompts = [PROMPT, "a blue box grows"]
    clips = system.generate_batch(prompts, [0, 1])
    assert [clip.prompt for clip in clips] == prompts and [clip.seed for clip in clips] == [0, 1]
    alone = system.generate(prompts[1], seed=1).frames.astype(int)
    assert np.abs(alone - clips[1].frames).max() <= 1


def test_every_step_can_be_watched_and_the_last_estimate_is_the_result(system):
    seen = []
    request = system.request([PROMPT], [0], steps=4)
    latents = system.denoise(request, lambda i, sigma, x, estimate: seen.append((i, sigma, x.clone(), estimate)))
    assert [i for i, *_ in seen] == [0, 1, 2, 3]
    levels = [float(sigma.max()) for _, sigma, *_ in seen]
    assert levels[0] == 1 and levels == sorted(levels, reverse=True)
    noise = torch.randn(request.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen[0][2][0], noise)
    assert torch.allclose(seen[-1][3], latents, atol=1e-5)


@pytest.mark.parametrize("frames, latent_frames", [(13, 4), (33, 9)])
def test_other_lengths_than_the_trained_one(system, frames, latent_frames):
    assert system.latent_shape(frames) == (latent_frames, 4, 8, 8)
    assert system.generate("a red box grows", frames=frames, steps=1).frames.shape[0] == frames


WRONG = {
    "16 frames": (dict(frames=16), "13 and 17"),
    "frames are whole": (dict(frames=17.0), "whole number"),
    "0 frames": (dict(frames=0), "4n\\+1"),
    "too many frames": (dict(frames=40_001), "129 are the most"),
    "too short to see": (dict(frames=5), "too short"),
    "0 steps": (dict(steps=0), "at least 1"),
    "half a step": (dict(steps=2.5), "whole number"),
    "guidance -1": (dict(guidance=-1.0), "at least 0"),
    "guidance nan": (dict(guidance=float("nan")), "at least 0"),
    "guidance inf": (dict(guidance=float("inf")), "at least 0"),
    "seed -1": (dict(seed=-1), "seed -1"),
    "seed too large": (dict(seed=2**64), "2\\*\\*63"),
    "empty": (dict(prompt=""), "empty"),
    "no words": (dict(prompt="… ?!"), "empty"),
    "no text": (dict(prompt=None), "give a str"),
    "unknown word": (dict(prompt="a small red bal bounces"), "'bal'.*'ball'"),
    "10,000 words": (dict(prompt="red ball " * 5000), "10,000 words"),
    "not Latin": (dict(prompt="красный мяч прыгает"), "unknown word 'красный'"),
    "contradiction": (dict(prompt="a red blue ball"), "more than one color: red, blue"),
    "unobservable": (dict(prompt="a plain red ball spins"), "striped or dotted"),
    "leaves the picture": (dict(prompt="a large box moves right quickly, the camera pans left"), "leave the picture"),
    "no subject": (dict(prompt="red bounces"), "no subject"),
}


@pytest.mark.parametrize("change, says", WRONG.values(), ids=WRONG)
def test_wrong_input_is_refused_in_one_line_before_any_work(system, monkeypatch, change, says):
    monkeypatch.setattr(system.model, "forward", None)
    monkeypatch.setattr(system.vae, "decode", None)
    with pytest.raises(UserError, match=says) as caught:
        system.generate(**{"prompt": PROMPT, **change})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_batch_needs_a_seed_for_each_prompt(system):
    for prompts, seeds in ([], []), ([PROMPT], [1, 2]), ([PROMPT, PROMPT], [1]):
        with pytest.raises(UserError, match="one seed for each"):
            system.generate_batch(prompts, seeds)


# --- long clips ---------------------------------------------------------------------------------------------


@pytest.fixture
def windows(system, monkeypatch):
    """What is generated from now on, window by window: (request, latents)."""
    seen, denoise = [], system.denoise

    def watched(request, *args):
        seen.append((request, denoise(request, *args)))
        return seen[-1][1]

    monkeypatch.setattr(system, "denoise", watched)
    return seen


@pytest.mark.parametrize("context, starts", [(1, [0, 16]), (5, [0, 4, 16]), (9, [0, 8, 16]), (13, [0, 4, 8, 12, 16])])
def test_a_long_clip_is_made_of_windows_that_go_on_from_each_others_pixels(system, windows, context, starts):
    frames = system.generate(PROMPT, frames=33, steps=1, sliding=Sliding(context)).frames
    assert frames.shape == (33, 64, 64, 3) and len(windows) == len(starts)
    made = 0
    for (request, latents), start in zip(windows, starts, strict=True):
        known = made - start if made else 0
        assert known >= context or start == 0
        if known:
            given = frames[start:made]
            assert np.array_equal(request.given[0].first, given)
            assert torch.equal(latents[:, : (known - 1) // 4 + 1], system.encode([given]))
        video = system.decode(latents)[0]
        assert video.shape[0] == 17 and np.array_equal(video[known:], frames[made : start + 17])  # no frame twice
        made = start + 17


def test_the_first_window_is_the_short_clip_and_later_ones_have_their_own_seeds(system, monkeypatch):
    short = system.generate(PROMPT, seed=3).frames
    before = system.generate(PROMPT, 33, seed=3, sliding=Sliding(9)).frames
    assert np.array_equal(before[:17], short)
    monkeypatch.setattr("minit2v.pipeline.seed_of", lambda seed, number: seed + number)
    after = system.generate(PROMPT, 33, seed=3, sliding=Sliding(9)).frames
    assert np.array_equal(after[:17], short)
    assert (after[17:25] != before[17:25]).any() and (after[25:] != before[25:]).any()
    monkeypatch.setattr("minit2v.pipeline.seed_of", lambda seed, number: seed + (number == 2))
    late = system.generate(PROMPT, 33, seed=3, sliding=Sliding(9)).frames
    monkeypatch.setattr("minit2v.pipeline.seed_of", lambda seed, number: seed)
    same = system.generate(PROMPT, 33, seed=3, sliding=Sliding(9)).frames
    assert np.array_equal(late[:25], same[:25]) and (late[25:] != same[25:]).any()


def test_each_window_is_asked_for_what_is_due_in_it(system, windows):
    prompt = "the camera pushes in as a small red box spins then bounces"
    system.generate(prompt, 69, steps=1, sliding=Sliding(9))
    said = [request.prompts[0] for request, _ in windows]
    assert said == [
        "a small red box spins, the camera pushes in",  # 0 to 16: it bounces from 34 on
        "a red box spins, the camera pushes in",  # 4 to 20
        "a red box spins, the camera pushes in",  # 12
        "a red box spins, the camera pushes in",  # 20
        "a red box spins then bounces",  # 28 to 44: the camera has all but arrived
        "a red box bounces", "a red box bounces", "a red box bounces",
    ]  # fmt: skip
    windows.clear()
    system.generate(prompt := "the camera holds while a small sphere hops", 33, steps=1, sliding=Sliding(9))
    assert {request.prompts[0] for request, _ in windows} == {prompt}  # one's own words, where nothing else is due


def test_latents_that_are_carried_over_make_one_stream(system, windows):
    frames = system.generate(PROMPT, 33, steps=1, sliding=Sliding(9, carry=True)).frames
    latents = [latents for _, latents in windows]
    assert torch.equal(latents[1][:, :3], latents[0][:, -3:]) and torch.equal(latents[2][:, :3], latents[1][:, -3:])
    whole = torch.cat([latents[0], *(part[:, 3:] for part in latents[1:])], dim=1)  # (1, 9, c, h, w)
    assert np.abs(system.decode(whole)[0].astype(int) - frames).max() <= 1
    again = system.generate(PROMPT, 33, steps=1, sliding=Sliding(9)).frames
    assert np.array_equal(frames[:17], again[:17]) and (frames[17:] != again[17:]).any()


def test_noise_on_the_context_reaches_what_is_made_and_not_the_first_window(system, windows):
    exact, rough = (
        system.generate(PROMPT, 33, steps=2, sliding=Sliding(9, noise)).frames for noise in (0.0, 0.5)
    )  # fmt: skip
    assert np.array_equal(exact[:17], rough[:17]) and (exact[17:] != rough[17:]).any()
    assert [request.given[0].noise for request, _ in windows] == [0, 0, 0, 0, 0.5, 0.5]
    assert torch.equal(windows[1][1][:, :3], windows[4][1][:, :3])  # given as they are, seen through noise


def test_a_long_clip_around_given_pictures_is_the_same_path(system, windows, ball):
    given = Given(ball.frames[:1], ball.frames[12:13], noise=0.3)
    system.generate(PROMPT, 33, steps=1, given=given, sliding=Sliding(9, 0.1))
    assert np.array_equal(windows[0][0].given[0].first, ball.frames[:1])
    assert torch.equal(windows[0][1][:, :1], system.encode([ball.frames[:1]]))
    assert [request.given[0].last is not None for request, _ in windows] == [False, False, True]
    assert [request.given[0].noise for request, _ in windows] == [0.3, 0.1, 0.1]
    assert torch.equal(windows[2][1][:, -1:], system.encode([ball.frames[12:13].repeat(9, axis=0)])[:, -1:])


@pytest.mark.parametrize("have, starts", [(5, [0, 4, 12]), (13, [4, 12]), (17, [4, 12])])
def test_frames_of_another_clip_are_extended(system, windows, ball, have, starts):
    frames = system.generate(PROMPT, 29, steps=1, given=Given(ball.frames[:have]), sliding=Sliding(9)).frames
    assert [request.windows[i].start for i, (request, _) in enumerate(windows)] == starts
    assert len(frames) == 29 and np.array_equal(frames[: starts[0]], ball.frames[: starts[0]])  # no window sees them
    known = (have - starts[0] - 1) // 4 + 1
    assert torch.equal(windows[0][1][:, :known], system.encode([ball.frames[starts[0] : have]]))


def test_a_stream_holds_no_more_than_a_window(system, monkeypatch):
    """However long the clip: the frames of one window, and those that are being made."""
    alive, most = weakref.WeakSet(), 0
    decode = system.decode

    class Frames(np.ndarray):  # a weak reference needs a class of one's own
        __hash__ = object.__hash__

    def counted(latents, memory=None):
        nonlocal most
        video = decode(latents, memory).view(Frames)
        alive.add(video)
        most = max(most, sum(part.base is None or part.base.shape[1] == 17 for part in alive))
        return video

    monkeypatch.setattr(system, "decode", counted)
    request = system.request([PROMPT], [0], 129, steps=1, sliding=Sliding(9))
    assert len(request.windows) == 15 and request.shape == (5, 4, 8, 8)
    assert sum(piece.shape[1] for piece in system.stream(request)) == 129
    assert most <= 2


def test_clips_of_a_batch_are_extended_each_by_itself(system):
    prompts = [PROMPT, "a large blue star spins then shrinks"]
    together = system.generate_batch(prompts, [3, 4], 33, 1, sliding=Sliding(9))
    alone = system.generate(prompts[1], 33, 1, seed=4, sliding=Sliding(9))
    assert np.abs(together[1].frames.astype(int) - alone.frames).max() <= 2  # rounding, encoded again


def test_steps_are_counted_over_all_windows(system):
    seen = []
    clip = system.generate(PROMPT, 33, 2, on_step=lambda i, *_: seen.append(i), sliding=Sliding(9))
    assert seen == list(range(6)) and all(seconds > 0 for seconds in clip.timings.values())


def test_the_recipe_says_whether_there_are_windows(system, monkeypatch):
    assert len(system.request([PROMPT], [0], 69).windows) == 1
    monkeypatch.setattr(type(system), "sliding", Sliding(9))
    assert len(system.request([PROMPT], [0], 69).windows) == 8
    assert len(system.request([PROMPT], [0], 17).windows) == len(system.request([PROMPT], [0], 13).windows) == 1


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(sliding=Sliding(8)), "a context of 8 frames in windows of 17: legal are 0 (no windows), 1, 5, 9, 13"),
        (dict(sliding=Sliding(17)), "a context of 17 frames"),
        (dict(sliding=Sliding(9, noise=1.0)), "noise 1.0"),
        (dict(sliding=Sliding(9), frames=70), "70 frames are not 4n+1"),
        (dict(sliding=Sliding(9), frames=133), "133 frames are too long: 129 are the most"),
        (dict(sliding=Sliding(9), prompt="a large ball moves left"), "would leave the picture"),
        (dict(sliding=Sliding(13), given=Given(last=np.zeros((1, 64, 64, 3), np.uint8))), "none to be made before"),
    ],
)
def test_long_clips_that_cannot_be_made_are_refused(system, monkeypatch, change, says):
    monkeypatch.setattr(system.model, "forward", None)
    with pytest.raises(UserError, match=re.escape(says)) as caught:
        system.generate(**{"prompt": PROMPT, "frames": 69} | change)
    assert "\n" not in str(caught.value)


# --- loading ------------------------------------------------------------------------------------------------


def test_a_runs_folder_and_a_vae_of_ones_own(folder, system, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "weights.safetensors").write_bytes((folder / "tiny.safetensors").read_bytes())
    with pytest.raises(UserError, match="no checkpoint is named 'tiny-vae'"):
        TextToVideo.from_pretrained(run)
    again = TextToVideo.from_pretrained(run, vae=folder / "tiny-vae.safetensors")
    assert np.array_equal(again.generate(PROMPT).frames, system.generate(PROMPT).frames)
    assert again.load_seconds > 0


def spoil(folder, tmp_path, how):
    """A copy of the tiny system with one thing wrong."""
    for name in ("tiny", "tiny-vae"):
        (tmp_path / f"{name}.safetensors").write_bytes((folder / f"{name}.safetensors").read_bytes())
    path = tmp_path / "tiny.safetensors"
    config, tensors = load_weights(path)
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"weights": 1}))
    elif how == "another architecture":
        save_weights(path, tensors, {**config, "denoiser": {**config["denoiser"], "layers": 2}})
    elif how == "unknown config":
        save_weights(path, tensors, {**config, "denoiser": {**config["denoiser"], "flux": 2}})
    elif how == "no world":
        save_weights(path, tensors, {**config, "world": "mars"})
    elif how == "no kind":
        save_weights(path, tensors, {"a": 1})
    elif how == "a vae":
        (tmp_path / "tiny-vae.safetensors").replace(path)
    elif how == "vae missing":
        (tmp_path / "tiny-vae.safetensors").unlink()
    elif how == "vae is a system":
        (tmp_path / "tiny-vae.safetensors").write_bytes(path.read_bytes())
    elif how in ("vae of another world", "vae of other channels"):
        changed = replace(TINY_VAE.vae, channels=6) if "channels" in how else TINY_VAE.vae
        about = {"kind": "vae", "world": "nano" if "world" in how else "standard", "vae": vars(changed)}
        save_weights(tmp_path / "tiny-vae.safetensors", VAE(changed), about)
    return path


@pytest.mark.parametrize(
    "how, says",
    [
        ("missing", "does not exist"),
        ("cut", "cut short or damaged"),
        ("pickle", "is a pickle.* was not read"),
        ("another architecture", "of another architecture.* is missing"),
        ("unknown config", "does not describe a model of this version"),
        ("no world", "does not describe a model of this version"),
        ("no kind", "no model of this course"),
        ("a vae", "holds a vae, not a denoiser.*such as 'sora'"),
        ("vae missing", "no checkpoint is named 'tiny-vae'"),
        ("vae is a system", "holds a denoiser, not a vae"),
        ("vae of another world", "for the nano world"),
        ("vae of other channels", "6 latent channels and the denoiser 4"),
    ],
)
def test_a_wrong_checkpoint_is_told(folder, tmp_path, how, says):
    with pytest.raises(UserError, match=says):
        TextToVideo.from_pretrained(spoil(folder, tmp_path, how))


def test_a_pickle_is_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "trap.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="pickle"):
        TextToVideo.from_pretrained(tmp_path / "trap.safetensors")
    assert not (tmp_path / "sprung").exists()


def test_an_unknown_system_is_told():
    with pytest.raises(UserError, match="no checkpoint is named 'sorra'"):
        TextToVideo.from_pretrained("sorra")


def test_weights_come_back_as_they_were_stored(folder, system):
    config, tensors = load_weights(folder / "tiny.safetensors")
    assert config == json.loads(json.dumps(config_of(TINY)))
    assert all(torch.equal(value, tensors[name]) for name, value in system.model.state_dict().items())
    assert isinstance(system.model, PromptedDenoiser) and isinstance(system.vae.config, VAEConfig)


@pytest.mark.parametrize("name", available())
def test_a_committed_checkpoint_is_whole_and_of_its_recipes_kind(name):
    config, _ = load_weights(name)
    if config["kind"] == "vae":
        vae, recipe = load_vae(name, config["world"]), VAES[name]
        assert (config["world"], vae.config.channels) == (recipe.world, recipe.vae.channels)
        assert vae.std.min() > 0 and not torch.equal(vae.std, torch.ones_like(vae.std))
    else:
        system = TextToVideo.from_pretrained(name)
        assert system.name == name and system.world.name == SYSTEMS[name].world
        assert system.generate("a red ball grows", steps=1).frames.std() > 1


# --- clips --------------------------------------------------------------------------------------------------


def test_the_judge_sees_the_frames_and_the_words_say_what_it_saw(ball):
    assert ball.reading.color == "red" and all(ball.matches.values()) and len(ball.matches) == 8
    words = ball.describe()
    assert "a small red ball, plain, bounces at normal speed" in words and "8 of the 8 things" in words
    assert re.search(r"starts at the (top|middle|bottom|center).* ends at the ", words)
    wrong = Clip(ball.frames, "a small blue ball bounces")
    assert wrong.matches["color"] is False and wrong.describe().endswith("wrong: color.")


def test_where_the_words_say_that_it_goes():
    clip = real("a small red ball moves right quickly", 3)
    track = clip.reading.track
    assert track.center[0, 0] < 64 / 3 and "starts at the" in clip.describe()
    assert re.search(r"starts at the \w+ left and ends at the (\w+ )?(center|right)", clip.describe())


def test_a_clip_without_a_legal_prompt_is_still_shown(ball):
    clip = Clip(ball.frames)
    assert clip.matches == {} and "the prompt" not in clip.describe()
    assert "The judge sees a small red ball" in Clip(ball.frames, "what <is> this")._repr_html_()


def test_the_oracle_as_json(ball):
    told = json.loads(json.dumps(ball.oracle(), allow_nan=False))
    assert told["motions"] == ["bounces"] and told["matches"]["subject"] is True and 0.9 < told["speed_ratio"] < 1.1
    still = real("a large red box stands still").oracle()
    assert still["speed_ratio"] is None


@pytest.mark.parametrize("kind", [".npz", ".gif", ".mp4"])
@pytest.mark.parametrize("text", ["a small red ball bounces", "a large green box stands still on a checkered floor"])
def test_a_file_comes_back_as_the_clip_that_was_saved(tmp_path, kind, text):
    clip = real(text)
    path = clip.save(tmp_path / f"clip{kind}")
    back = media.read(path)
    assert back.shape == clip.frames.shape
    error = np.abs(back.astype(int) - clip.frames)
    assert error.max() == 0 if kind == ".npz" else error.mean() < 3
    assert all(Clip(back, text).matches.values())


def test_npz_holds_frames_and_where_they_come_from(ball, tmp_path):
    with np.load(ball.save(tmp_path / "a.NPZ")) as file:
        assert np.array_equal(file["frames"], ball.frames) and file["frames"].dtype == np.uint8
        assert (int(file["fps"]), str(file["prompt"]), int(file["seed"])) == (8, ball.prompt, 0)


def test_a_gif_loops_at_the_clips_pace(ball, tmp_path):
    with Image.open(ball.save(tmp_path / "a.gif")) as picture:
        assert picture.info["loop"] == 0 and picture.size == (256, 256)
        total = 0
        for i in range(picture.n_frames):
            picture.seek(i)
            total += picture.info["duration"]
    assert total == 2120  # ms, of 17 frames at 8 fps, on a clock that ticks 100 times a second


def test_an_mp4_plays_everywhere(ball, tmp_path):
    import imageio_ffmpeg

    stream = imageio_ffmpeg.read_frames(str(ball.save(tmp_path / "a.mp4")))
    about = next(stream)
    assert about["size"] == (256, 256) and about["fps"] == 8 and about["pix_fmt"].startswith("yuv420p")
    first = np.frombuffer(next(stream), np.uint8).reshape(256, 256, 3)
    stream.close()
    assert np.abs(first.astype(int) - media.enlarge(ball.frames[:1])[0]).mean() < 3


@pytest.mark.parametrize("shape", [(5, 7, 9, 3), (1, 64, 64, 3), (3, 300, 20, 3)])
@pytest.mark.parametrize("kind", media.MAKERS)
def test_clips_of_any_size_and_length_are_saved(tmp_path, kind, shape):
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert Clip(frames).save(tmp_path / f"a{kind}").stat().st_size > 100


def test_a_contact_sheet_shows_every_frame_and_describes_itself(tmp_path):
    clip = Clip(np.random.default_rng(0).integers(0, 200, (17, 8, 8, 3), dtype=np.uint8), "noise")
    with Image.open(clip.save(tmp_path / "a.png")) as picture:
        pixels = np.asarray(picture)
        assert picture.text["Description"] == "noise"
    places = []
    for frame in media.enlarge(clip.frames, 128):
        y, x = np.argwhere((pixels == frame[0, 0]).all(-1))[0]
        assert np.array_equal(pixels[y : y + 128, x : x + 128], frame)
        places.append((y, x))
    assert places == sorted(places) and len(set(places)) == 17


def test_a_sheet_of_many_clips_says_which_are_right(ball):
    page = contact_sheet([ball, Clip(ball.frames, "a small blue ball bounces"), ball], columns=2)
    assert page.width > 2 * 5 * 128 and page.height > 2 * 128
    with pytest.raises(UserError, match="at least one"):
        contact_sheet([])


# --- files that cannot be written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, says",
    [
        ("nowhere/clip.mp4", "there is no folder"),
        ("clip.mpg", r"ends in '.mpg'; legal are .mp4, .gif, .png, .npz; did you mean '.png'"),
        ("clip", "has no extension"),
        ("folder.gif", "it is a folder"),
    ],
)
def test_a_wrong_place_is_told_and_nothing_is_written(ball, tmp_path, name, says):
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(UserError, match=says):
        ball.save(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.gif"]


def test_a_folder_where_writing_is_not_allowed_is_told(ball, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="is not allowed"):
        ball.save(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", media.MAKERS)
def test_a_full_disk_leaves_the_old_file_whole(ball, tmp_path, monkeypatch, kind):
    path = tmp_path / f"clip{kind}"
    path.write_bytes(b"precious")
    data = ball.to_bytes(kind)

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, some):
            self.file.write(some[: len(some) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr(Clip, "to_bytes", lambda self, kind: data)
    open_ = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *a, **k: Full(open_(*a, **k)) if "wb" in a else open_(*a, **k))
    with pytest.raises(UserError, match="is full"):
        ball.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"precious" and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_mp4_that_ffmpeg_cannot_make_is_told(ball, tmp_path, monkeypatch):
    monkeypatch.setattr(media.subprocess, "run", lambda *_, **__: FailedRun())
    with pytest.raises(UserError, match=r"No space left.*\.gif or \.npz"):
        ball.save(tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


class FailedRun:
    returncode, stderr = 1, b"frame 3\nav_interleaved_write_frame(): No space left on device\n"


# --- files that cannot be read ------------------------------------------------------------------------------


def unreadable(folder):
    (folder / "text.gif").write_text("hello")
    (folder / "text.mp4").write_text("hello")
    (folder / "text.npz").write_text("hello")
    (folder / "empty.npz").write_bytes(b"")
    np.savez(folder / "other.npz", pixels=np.zeros(3))
    np.savez(folder / "floats.npz", frames=np.zeros((2, 8, 8, 3)))
    np.savez(folder / "objects.npz", frames=np.array([{}], dtype=object))
    np.savez(folder / "long.npz", frames=np.zeros((1001, 1, 1, 3), np.uint8))
    (folder / "picture.png").write_bytes(b"x")


@pytest.mark.parametrize(
    "name, says",
    [
        ("none.npz", "there is no file"), ("picture.png", r"give an .npz, .mp4 or .gif"), ("text.gif", "damaged"),
        ("text.mp4", "damaged"), ("text.npz", "damaged"), ("empty.npz", "damaged"), ("objects.npz", "damaged"),
        ("other.npz", "named 'frames', but pixels"), ("floats.npz", "legal is uint8"), ("long.npz", "more than 1000"),
    ],
)  # fmt: skip
def test_what_is_no_clip_is_told(tmp_path, name, says):
    unreadable(tmp_path)
    with pytest.raises(UserError, match=says):
        media.read(tmp_path / name)


def test_another_rate_becomes_the_worlds(tmp_path):
    frames = np.arange(9, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    np.savez(tmp_path / "fast.npz", frames=frames, fps=16)
    assert media.read(tmp_path / "fast.npz")[:, 0, 0, 0].tolist() == [0, 2, 4, 6]
    np.savez(tmp_path / "slow.npz", frames=frames, fps=4)
    assert media.read(tmp_path / "slow.npz")[:, 0, 0, 0].tolist() == [i // 2 for i in range(18)]


# --- notebooks ----------------------------------------------------------------------------------------------


def test_the_player_can_be_stopped_read_aloud_and_needs_no_network(ball):
    page = ball._repr_html_()
    assert "<video controls loop muted" in page and "autoplay" not in page
    assert "prefers-reduced-motion: reduce" in page  # who asked for less motion starts it themselves
    assert 'aria-label="A clip of 17 frames' in page and '<img alt="A clip of 17 frames' in page
    assert "<details>" in page and page.count("✓ right") == 8 and "✗" not in page
    assert set(re.findall(r'src="(\w+):', page)) == {"data"} and "http" not in page and "<script" not in page
    assert len(page) < 200_000
    assert "✗ wrong" in Clip(ball.frames, "a small blue ball bounces")._repr_html_()


def test_a_prompt_cannot_smuggle_markup_in(ball):
    page = Clip(ball.frames, '"><script>alert(1)</script>')._repr_html_()
    assert "<script" not in page and "&lt;script&gt;" in page


# --- evaluation ---------------------------------------------------------------------------------------------


def test_prompts_are_drawn_by_seed_from_their_split():
    for split in ("held-out", "train"):
        prompts = draw_prompts(20, split, STANDARD, 3)
        assert prompts == draw_prompts(20, split, STANDARD, 3) != draw_prompts(20, split, STANDARD, 4)
        assert {captions.is_held_out(captions.parse(text)) for text in prompts} == {split == "held-out"}
    assert prompts[:5] == draw_prompts(5, "train", STANDARD, 3)
    assert captioned("0 0")[0] not in prompts
    with pytest.raises(UserError, match="held-out and train"):
        draw_prompts(5, "test", STANDARD)
    with pytest.raises(UserError, match="at least 1"):
        draw_prompts(0, "train", STANDARD)


def test_prompts_of_ones_own(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("# mine\n\na red ball bounces\n  a blue box grows  \n")
    assert read_prompts(file, STANDARD) == ["a red ball bounces", "a blue box grows"]
    file.write_text("a red ball bounces\na red bal bounces\n")
    with pytest.raises(UserError, match="line 2: unknown word 'bal'"):
        read_prompts(file, STANDARD)
    with pytest.raises(UserError, match=r"line 1: .*nano"):
        read_prompts(file, NANO)
    file.write_text("#\n")
    with pytest.raises(UserError, match="holds no prompts"):
        read_prompts(file, STANDARD)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        read_prompts(file, STANDARD)
    with pytest.raises(UserError, match="No such file"):
        read_prompts(tmp_path / "none.txt", STANDARD)


def test_real_clips_in_place_of_generated_ones_score_as_real_clips_do(system, monkeypatch):
    """The whole way from prompts to the report, with a perfect system."""

    def generate_batch(prompts, seeds, steps=None, guidance=None):
        return [real(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    monkeypatch.setattr(system, "generate_batch", generate_batch)
    monkeypatch.setattr(system, "decode", lambda latents: latents)
    monkeypatch.setattr(system.vae, "encode", lambda pixels: media_frames(pixels))
    prompts = draw_prompts(4, "held-out", STANDARD)
    figures, clips = evaluate(system, prompts, most_controls=2)
    assert figures["adherence"]["overall"] == 1.0 and figures["adherence"]["n"] == 4 and figures["wrong"] == []
    assert figures["controls_n"] == 2 and 0.9 < figures["motion"]["value"] < 1.1
    assert figures["flicker"]["ratio"] == pytest.approx(1.0)
    assert [clip.seed for clip in clips] == [0, 1, 2, 3]
    swapped = [clips[1], *clips[1:]]
    monkeypatch.setattr(
        system, "generate_batch", lambda prompts, seeds, **_: [
            Clip(clip.frames, prompt, seed=seed) for clip, prompt, seed in zip(swapped, prompts, seeds, strict=True)
        ]
    )  # fmt: skip
    figures, _ = evaluate(system, prompts, most_controls=1)
    assert figures["adherence"]["overall"] == 0.75 and figures["wrong"][0]["prompt"] == prompts[0]
    asked, seen = captions.parse(prompts[0]), clips[1].reading
    for name, row in figures["wrong"][0]["wrong"].items():
        assert getattr(asked, name) != getattr(seen, name) and row["asked"] != row["seen"]


def media_frames(pixels):
    """Pixels in [-1, 1] → frames, as a perfect VAE's `decode` would give."""
    return ((pixels + 1) * 127.5).round().to(torch.uint8).movedim(2, -1).numpy()
