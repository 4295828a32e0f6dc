"""The capstone's school: a trained system is taught one word more, and asked what it has made of it."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from minit2v.checkpoints import load_weights
from minit2v.datasets import captioned, fill_cache
from minit2v.diffusion import FlowMatching
from minit2v.pipeline import TextToVideo, load_vae
from minit2v.recipes import SORA, Recipe
from minit2v.tasks import DenoiserTask
from minit2v.text import Tokenizer
from minit2v.training import Settings, train
from minit2v.vae import to_pixels
from minit2v.world.render import render
from minit2v.world.scenes import World


class NewWord(DenoiserTask):
    """Goes on from the weights `start` with one word more: it takes a spare slot of the vocabulary, so that no table
    grows. Only whole clips are shown, for a motion is what is to be learned."""

    def __init__(self, word: str, recipe: Recipe, cache, vae, start):
        super().__init__(replace(recipe, stills=0.0, known=0.0), cache, vae, start)
        self.vae = None  # it has told how much each channel counts; what was learned is measured here, not there
        config, _ = load_weights(self.start)
        names = Tokenizer.from_list(config["vocabulary"])
        names.add_word(word)
        self.config = config | {"vocabulary": names.to_list()}


def school(world: World, word: str) -> World:
    """The world in which every other clip shows the new motion. The others keep the old words from being forgotten."""
    old = tuple(motion for motion in world.motions if motion != word)
    return replace(world, motions=old + (word,) * len(old), rich=False)


def teach(
    word: str, world: World, folder, steps: int, clips: int = 56, batch: int = 8, rate: float = 1e-3, start="sora",
    recipe: Recipe = SORA, vae=None,
) -> TextToVideo:  # fmt: skip
    """The system `start`, trained on for some steps on `clips` clips of `school`: it then speaks `world`.

    vae: a checkpoint, if not the recipe's. Latents, and a run that `--resume` would take, lie in `folder`. Raises
    `UserError` for a word that cannot be said, or that is known already.
    """
    coder = load_vae(vae or recipe.vae, recipe.world)
    with redirect_stderr(io.StringIO()):  # a page needs no bar
        cache = fill_cache(Path(folder) / "clips", coder, clips, school(world, word), processes=1)
    settings = Settings(steps=steps, batch=batch, learning_rate=rate, warmup=5, decay=0.5, ema=0.95, save_every=steps)
    done = train(NewWord(word, recipe, cache, coder, str(start)), settings, Path(folder) / "run", quiet=True)
    system = TextToVideo.from_pretrained(done.weights, vae=vae)
    system.world = world
    return system


@torch.no_grad()
def heard(system: TextToVideo, word: str, others, world: World, count: int = 6, noises: int = 2) -> dict[str, float]:
    """What a word means to a denoiser: its mean loss on `count` clips that show the motion `word`, when it is told so,
    and when it is told each of some `others` in its place. The same clips and noises for all; a word that is not in the
    system's vocabulary takes a spare slot, with nothing learned in it."""
    if word not in system.model.tokenizer.ids:
        system.model.tokenizer.add_word(word)
    pairs = [captioned(f"heard {i}", replace(world, motions=(word,), rich=False), "all") for i in range(count)]
    texts, frames = [text for text, _ in pairs], np.stack([render(staged) for _, staged in pairs])
    latents = system.vae.encode(to_pixels(frames).to(system.vae.mean.device))  # (b, f, c, h, w)
    flow, losses = FlowMatching(system.sampling.shift), {}
    for told in (word, *others):
        text = system.model.read([each.replace(word, told) for each in texts])
        same = (torch.Generator().manual_seed(number) for number in range(noises))
        losses[told] = float(np.mean([flow.loss(system.model, latents, text, generator=each).mean() for each in same]))
    return losses
