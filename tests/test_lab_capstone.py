"""A tiny system is taught a word: what is stored, what stays, and what the word means to it."""

import random

import numpy as np
import pytest
import torch
from tiny_system import TINY, save_tiny

from minit2v.checkpoints import load_weights
from minit2v.errors import UserError
from minit2v.lab import capstone
from minit2v.pipeline import TextToVideo
from minit2v.world import captions
from minit2v.world.extension import speaking
from minit2v.world.scenes import STANDARD, sample_meaning


def zigzag(time, pace):
    phase = time * pace % 1.0
    return np.stack([7 * pace * time, -8 * (1 - np.abs(2 * phase - 1))], axis=1)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("tiny"))


def taught(start, folder, word="zigzags", steps=2):
    with speaking("zigzags", zigzag) as world:
        vae = start.parent / "tiny-vae.safetensors"
        return capstone.teach(word, world, folder, steps, clips=4, batch=2, start=start, recipe=TINY, vae=vae)


def test_every_other_clip_of_the_school_shows_the_new_motion():
    with speaking("zigzags", zigzag) as world:
        lessons = capstone.school(world, "zigzags")
        motions = [sample_meaning(random.Random(seed), lessons).motions for seed in range(300)]
    assert 0.3 < sum(each == ("zigzags",) for each in motions) / 300 < 0.6
    assert len(set(motions)) == len(STANDARD.motions) + 1


def test_the_word_takes_a_spare_slot_and_is_stored_with_the_weights(start, tmp_path):
    before = captions.VOCABULARY
    system = taught(start, tmp_path)
    old, new = (load_weights(path)[0]["vocabulary"] for path in (start, tmp_path / "run" / "weights.safetensors"))
    assert len(old) == len(new) and [a for a, b in zip(new, old, strict=True) if a != b] == ["zigzags"]
    assert system.model.read(["a red ball zigzags"]).tokens.shape[1] == 5
    assert "zigzags" in system.world.motions and before == captions.VOCABULARY
    weights = [load_weights(path)[1] for path in (start, tmp_path / "run" / "weights.safetensors")]
    assert any(not torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_what_is_heard_depends_on_the_word_alone(start):
    system = TextToVideo.from_pretrained(start, vae=start.parent / "tiny-vae.safetensors")
    with speaking("zigzags", zigzag) as world:
        losses = capstone.heard(system, "zigzags", ("bounces", "moves right"), world, count=2, noises=1)
        again = capstone.heard(system, "zigzags", ("bounces",), world, count=2, noises=1)
    assert list(losses) == ["zigzags", "bounces", "moves right"] and len(set(losses.values())) == 3
    assert again["bounces"] == losses["bounces"]


def test_a_word_that_is_known_is_refused(start, tmp_path):
    with pytest.raises(UserError, match="already in the vocabulary"):
        taught(start, tmp_path, word="left")
