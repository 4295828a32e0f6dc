"""What a clip of a system costs, by formula: from the text to the last frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from minit2v.arithmetic import LatentShape, models
from minit2v.dit import DiTConfig
from minit2v.pipeline import TextToVideo
from minit2v.request import Given
from minit2v.world.windows import due_prompt


def flops_of(system: TextToVideo, prompt: str, frames: int | None = None, given: Sequence[Given] = ()) -> int:
    """FLOPs of one clip: of each window the text, all passes of the denoiser, what is given encoded, and the decoder.

    As `minit2v.arithmetic` counts them. frames, given: as in `TextToVideo.generate_batch`. Below full temporal strength
    a transformer computes more than this.
    """
    request, world = system.request([prompt], [0], frames, given=given), system.world
    model, vae = system.model, system.vae.config
    passes = 1 if request.guidance == 1 else 2
    calls = 2 * request.steps - 1 if system.sampling.sampler == "heun" else request.steps
    formula = models.transformer if isinstance(model.denoiser.config, DiTConfig) else models.unet
    total = 0
    for number, window in enumerate(request.windows):
        said = due_prompt(prompt, replace(world, frames=request.frames), window)
        words, (count, *place) = len(model.tokenizer.word_ids(said)) + 1, system.latent_shape(window.frames)
        shape = LatentShape(count, *place)
        total += models.text_encoder(model.text.config, words).flops
        total += calls * formula(model.denoiser.config, shape, words, passes).flops
        total += models.decoder(vae, shape).flops
        if window.known and not (number and request.sliding.carry):
            total += models.encoder(vae, LatentShape(system.latent_frames(window.known), *place)).flops
        if given and given[0].last is not None and number == len(request.windows) - 1:
            total += models.encoder(vae, LatentShape(3, *place)).flops  # a picture that stands still
    return total
