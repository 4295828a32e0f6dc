"""Training in stages: with which weights a model begins, and which of them stay as they are.

    stills ─ image U-Net ─ inflate ─ video U-Net ─┬─ gen2: what mixes frames learns, from clips
                                                  └─ gen3: all of it learns, from clips and stills
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from minit2v.checkpoints import load_into, load_weights, path_of
from minit2v.errors import UserError
from minit2v.pipeline import built, in_folder
from minit2v.recipes import PromptedDenoiser
from minit2v.unet import UNet, inflate, spatial_parameters
from minit2v.world.captions import (
    BACKGROUNDS,
    CAMERAS,
    FILLERS,
    MOTIONS,
    SIZES,
    SPEEDS,
    SUBJECTS,
    TEXTURES,
    words,
)


def located(start: str | Path | None) -> Path | None:
    """Where the checkpoint to begin with lies: a committed one's name, a file, or a run's folder. Raises `UserError`
    at once if there is none."""
    return None if start is None else path_of(in_folder(start))


def begin(model: nn.Module, start: Path | None) -> nn.Module:
    """The model as it is, or with the weights of the checkpoint `start`, to train on from there.

    If it is a U-Net and the checkpoint another one, from which it differs in its temporal layers or its way in for a
    source picture, those are added, silent at first: see `unet.inflate`.
    """
    if start is None:
        return model
    config, tensors = load_weights(start)
    if isinstance(getattr(model, "denoiser", None), UNet) and config.get("kind") == "denoiser":
        source = load_into(built(PromptedDenoiser, config, start), tensors, start)
        if isinstance(source.denoiser, UNet) and source.denoiser.config != model.denoiser.config:
            return grown(source, model)
    return load_into(model, tensors, start)


def grown(source: PromptedDenoiser, model: PromptedDenoiser) -> PromptedDenoiser:
    """`model` with all the weights of `source`: at first it makes the same of each frame. Raises `UserError` if the
    two differ in more than temporal layers and a way in for a source picture."""
    if source.config["vocabulary"] != model.config["vocabulary"]:
        raise UserError("the checkpoint to begin with knows other words: train it again, with this version")
    load_into(model.text, source.text.state_dict(), "the checkpoint to begin with")
    model.denoiser = inflate(source.denoiser, model.denoiser.config)
    return model


def motion_words() -> set[str]:
    """The words that tell of motion and nothing else: of subject, pace, camera and order, which no still can teach."""

    def said(*tables):
        return {word for table in tables for phrases in table.values() for phrase in phrases for word in words(phrase)}

    elsewhere = said(SUBJECTS, TEXTURES, SIZES, BACKGROUNDS) | FILLERS
    return (said(MOTIONS, SPEEDS, CAMERAS) | {"then"}) - elsewhere


def freeze(model: PromptedDenoiser, what: str) -> PromptedDenoiser:
    """The model, some of whose weights learn no more. "spatial": of an inflated U-Net learn the temporal layers alone,
    and in the text encoder the embeddings of `motion_words`; "": all of them learn.

    The optimizer's weight decay must be 0: it would move the other words, whose gradient is 0. Raises `UserError` for
    another word, and where there is nothing temporal.
    """
    if not what:
        return model
    if what != "spatial" or not isinstance(model.denoiser, UNet) or not any(model.denoiser.config.temporal):
        raise UserError(f"cannot freeze {what!r}: legal is 'spatial', of a U-Net with temporal layers")
    for weight in [*model.text.parameters(), *spatial_parameters(model.denoiser).values()]:
        weight.requires_grad_(False)
    table = model.text.embedding.weight.requires_grad_()  # (words, d)
    learning = torch.zeros(len(table), 1)
    learning[[model.tokenizer.word_id(word) for word in sorted(motion_words())]] = 1
    table.register_hook(lambda gradient: gradient * learning.to(gradient))
    return model
