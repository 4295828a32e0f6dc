"""The whole system: prompt → text features → noise → denoised latents → frames.

    "a red ball bounces" ─ text encoder ─┐
                       noise (seed) ─ sampler: denoiser × steps ─ latents ─ VAE decoder ─ frames

Everything is checked before anything is computed, and nothing is mended silently.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor

from minit2v.checkpoints import load_into, load_weights, path_of
from minit2v.clip import Clip
from minit2v.diffusion import SAMPLERS, check_guidance, check_steps, draw_noise, guided, sigmas
from minit2v.errors import UserError
from minit2v.recipes import PromptedDenoiser, Sampling
from minit2v.vae import VAE, VAEConfig, check_frames, to_frames
from minit2v.world import captions
from minit2v.world.scenes import check

LONGEST = 8  # times the seconds of a training clip


@dataclass(frozen=True)
class Request:
    """What to generate, checked. shape: of one clip's latents, (f, c, h, w)."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    shape: tuple[int, int, int, int]
    steps: int
    guidance: float


class TextToVideo:
    """A text encoder, a denoiser and a VAE that belong together. `from_pretrained` loads them.

    `load_seconds` is how long that took.
    """

    def __init__(self, model: PromptedDenoiser, vae: VAE, name: str = "", load_seconds: float = 0.0):
        self.model, self.vae = model.eval(), vae.eval()
        self.world, self.sampling = model.world, Sampling(**model.config["sampling"])
        self.name, self.load_seconds = name or model.config["recipe"], load_seconds
        ours, theirs = vae.config.channels, model.denoiser.config.channels
        if ours != theirs:
            raise UserError(
                f"the VAE has {ours} latent channels and the denoiser {theirs}: they do not belong together; "
                f"{self.name!r} was trained on {model.config['vae']!r}"
            )

    @classmethod
    def from_pretrained(cls, name: str | Path = "sora", vae: str | Path | None = None, device=None) -> TextToVideo:
        """A committed system by name ("sora"), or a .safetensors file that training wrote, or the folder of its run.

        `vae`: its VAE's checkpoint, if not the one that it was trained with: a file of that name beside the
        system's, or the committed one. `device` None is a GPU if there is one. Raises `UserError` for a missing,
        cut or wrong file.
        """
        started = time.perf_counter()
        name = in_folder(name)
        config, tensors = load_weights(name)
        expect("denoiser", config, name)
        model = load_into(built(PromptedDenoiser, config, name), tensors, name)
        decoder = load_vae(vae or vae_beside(name, config["vae"]), config["world"])
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        seconds = time.perf_counter() - started
        return cls(model.to(device), decoder.to(device), load_seconds=seconds)

    # ---- from prompts to clips ---------------------------------------------------------------------------

    def generate(self, prompt: str, frames=None, steps=None, guidance=None, seed: int = 0, on_step=None) -> Clip:
        """One clip. `frames` (4n+1), `steps` and `guidance` (1 is none) are the recipe's unless given.

        on_step(i, sigma, x, data_estimate) sees every denoising step: see `diffusion.euler`. Raises `UserError`,
        before anything is computed, for a prompt that the world cannot show and for numbers that are not legal.
        """
        return self.generate_batch([prompt], [seed], frames, steps, guidance, on_step)[0]

    def generate_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], frames=None, steps=None, guidance=None, on_step=None
    ) -> list[Clip]:
        """Several clips at once, each as it would be alone (but for rounding): it depends on its own seed only."""
        request = self.request(prompts, seeds, frames, steps, guidance)
        began = time.perf_counter()
        latents = self.denoise(request, on_step)  # (b, f, c, h, w)
        denoised = time.perf_counter()
        videos = self.decode(latents)
        decoded = time.perf_counter()
        each = len(videos)
        timings = {"denoise": (denoised - began) / each, "decode": (decoded - denoised) / each}
        about = dict(fps=self.world.fps, system=self.name, steps=request.steps, guidance=request.guidance)
        return [
            Clip(video, prompt, seed=seed, world=self.world, timings=dict(timings), **about)
            for video, prompt, seed in zip(videos, request.prompts, request.seeds, strict=True)
        ]

    # ---- its stages --------------------------------------------------------------------------------------

    def request(self, prompts: Sequence[str], seeds: Sequence[int], frames=None, steps=None, guidance=None) -> Request:
        """The checked request, defaults filled in. Raises `UserError`: see `generate`."""
        frames = self.world.frames if frames is None else frames
        steps = self.sampling.steps if steps is None else steps
        guidance = self.sampling.guidance if guidance is None else guidance
        shape = self.latent_shape(frames)
        check_steps(steps)
        check_guidance(guidance)
        if len(seeds) != len(prompts) or not prompts:
            raise UserError(f"{len(prompts)} prompts and {len(seeds)} seeds; give one seed for each prompt")
        for seed in seeds:
            check_seed(seed)
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise UserError(f"the prompt {prompt!r} is no text: give a str, such as 'a small red ball bounces'")
            check(captions.parse(prompt), replace(self.world, frames=frames))
            self.model.tokenizer.word_ids(prompt)  # a checkpoint may know fewer words than the grammar
        return Request(tuple(prompts), tuple(seeds), shape, int(steps), float(guidance))

    def latent_shape(self, frames: int) -> tuple[int, int, int, int]:
        """(f, c, h, w) of a clip with so many frames. Raises `UserError` if that is no legal count."""
        config, world = self.vae.config, self.world
        if not isinstance(frames, Integral):
            raise UserError(f"{frames!r} frames: give a whole number, such as {world.frames}")
        check_frames(frames, config.temporal)
        most = LONGEST * (world.frames - 1) + 1
        if frames > most:
            raise UserError(f"{frames} frames are too long: {most} are the most; training clips had {world.frames}")
        count = (int(frames) - 1) // config.temporal + 1
        shape = count, config.channels, world.height // config.spatial, world.width // config.spatial
        self.model.denoiser.config.grid(count, *shape[2:])
        return shape

    @torch.no_grad()
    def denoise(self, request: Request, on_step: Callable | None = None) -> Tensor:
        """Noise → latents (b, f, c, h, w), guided by the prompts."""
        model, sampling, device = self.model, self.sampling, next(self.model.parameters()).device
        text = model.read(list(request.prompts))
        null = model.text.null(len(text)).padded(text.tokens.shape[1])
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        noise = draw_noise((len(text), *request.shape), generators).to(device)  # (b, f, c, h, w)
        velocity = guided(model, text, null, request.guidance, sampling.rescale)
        schedule = sigmas(request.steps, sampling.shift)
        return SAMPLERS[sampling.sampler](velocity, noise, schedule, on_step=on_step)

    def decode(self, latents: Tensor):
        """Latents (b, f, c, h, w) → frames, uint8 (b, t, h, w, 3)."""
        return to_frames(self.vae.decode(latents))


def check_seed(seed: int) -> None:
    if not isinstance(seed, Integral) or not 0 <= seed < 2**63:
        raise UserError(f"seed {seed}: give a whole number from 0 to 2**63 - 1")


# ---- loading -----------------------------------------------------------------------------------------------


def load_vae(name: str | Path, world: str | None = None) -> VAE:
    """A VAE from its checkpoint. Raises `UserError` if it is something else, or made for another world."""
    name = in_folder(name)
    config, tensors = load_weights(name)
    expect("vae", config, name)
    if world is not None and config.get("world") != world:
        raise UserError(f"the VAE '{name}' is for the {config.get('world')} world, and the system for the {world} one")
    return load_into(built(lambda config: VAE(VAEConfig(**config["vae"])), config, name), tensors, name).eval()


def in_folder(name: str | Path) -> str | Path:
    """For the folder of a training run, its weights; anything else as it is."""
    weights = Path(name) / "weights.safetensors"
    return weights if weights.is_file() else name


def vae_beside(system: str | Path, name: str) -> str | Path:
    """NAME.safetensors in the folder of the system's file, or else the committed checkpoint NAME."""
    path = path_of(system).with_name(f"{name}.safetensors")
    return path if path.is_file() else name


def expect(kind: str, config: dict, name: str | Path) -> None:
    """Raises `UserError` if a checkpoint holds another kind of model."""
    found = config.get("kind") if isinstance(config, dict) else None
    if found == kind:
        return
    fix = {
        "denoiser": "give the checkpoint of a whole system, such as 'sora'",
        "vae": "give the checkpoint of a VAE, such as 'video-vae'",
    }[kind]
    raise UserError(f"'{name}' holds {f'a {found}' if found else 'no model of this course'}, not a {kind}: {fix}")


def built(build: Callable, config: dict, name: str | Path):
    """The model that a config describes, with random weights."""
    try:
        return build(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"the config in '{name}' does not describe a model of this version ({type(error).__name__}: {error}): "
            "train it again, or use the version that wrote it"
        ) from error
