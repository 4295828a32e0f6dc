"""The whole system: prompt → text features → noise → denoised latents → frames.

    "a red ball bounces" ─ text encoder ─┐
                       noise (seed) ─ sampler: denoiser × steps ─ latents ─ VAE decoder ─ frames
     given frames ─ VAE encoder ─ known latents ─┘

Given frames are latents whose noise level never changes: a first picture makes it image-to-video, the last frames of
another clip an extension, a first and a last picture an interpolation. There is no second code path for them. A clip
longer than those of training is made in windows, each of them an extension of the one before: see `Sliding`. A U-Net
has one noise level for all frames: a first picture comes to it beside the noise, if it was trained so, and no more.

Everything is checked before anything is computed, and nothing is mended silently.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from minit2v.checkpoints import load_into, load_weights, path_of
from minit2v.clip import Clip
from minit2v.diffusion import SAMPLERS, Known, check_guidance, check_steps, draw_noise, guided, sigmas
from minit2v.errors import UserError
from minit2v.recipes import PromptedDenoiser, Sampling
from minit2v.request import (
    Given,
    Request,
    Sliding,
    check_given,
    check_seed,
    cut_into_windows,
    has_first,
)
from minit2v.unet import UNet, repeat_source
from minit2v.vae import VAE, VAEConfig, check_frames, to_frames, to_pixels
from minit2v.world import captions
from minit2v.world.scenes import check
from minit2v.world.windows import due_prompt, seed_of

LONGEST = 8  # times the seconds of a training clip
FAITHFUL = 24.0  # dB, PSNR: what the VAE keeps of a picture of the world, at least


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

    @property
    def temporal_strength(self) -> float:
        """How far frames hear of each other in the denoiser, 0 to 1; may be set. At 0 each is drawn alone, from its own
        noise. Raises `UserError` for other numbers, and for an image U-Net, which has nothing to weaken."""
        return self.model.denoiser.temporal_strength

    @temporal_strength.setter
    def temporal_strength(self, strength: float) -> None:
        if not 0 <= strength <= 1:
            raise UserError(f"temporal strength {strength}: give a number from 0 (off) to 1 (as trained)")
        if isinstance(self.model.denoiser, UNet) and not any(self.model.denoiser.config.temporal):
            raise UserError(f"{self.name!r} has no temporal layers that could be weakened: 'gen2' and 'gen3' have")
        self.model.denoiser.temporal_strength = float(strength)

    # ---- from prompts to clips ---------------------------------------------------------------------------

    def generate(
        self, prompt: str, frames=None, steps=None, guidance=None, seed: int = 0, on_step=None,
        given: Given | None = None, sliding: Sliding | None = None,
    ) -> Clip:  # fmt: skip
        """One clip. `frames` (4n+1), `steps`, `guidance` (1 is none) and `sliding` are the recipe's unless given.

        on_step(i, sigma, x, data_estimate) sees every denoising step, of all windows: see `diffusion.euler`. Raises
        `UserError`, before anything is computed, for a prompt that the world cannot show and numbers not legal.
        """
        given = [given] if given else ()
        return self.generate_batch([prompt], [seed], frames, steps, guidance, on_step, given, sliding)[0]

    def generate_batch(
        self, prompts: Sequence[str], seeds: Sequence[int], frames=None, steps=None, guidance=None, on_step=None,
        given: Sequence[Given] = (), sliding: Sliding | None = None,
    ) -> list[Clip]:  # fmt: skip
        """Several clips at once, each as it would be alone (but for rounding): it depends on its own seed only.

        given: one for each prompt, all of the same kind (as many first frames, a last one or none, the same noise).
        """
        request = self.request(prompts, seeds, frames, steps, guidance, given, sliding)
        timings = {"denoise": 0.0, "decode": 0.0}
        videos = np.concatenate(list(self.stream(request, on_step, timings)), axis=1)  # (b, t, h, w, 3)
        timings = {stage: seconds / len(videos) for stage, seconds in timings.items()}
        about = dict(fps=self.world.fps, system=self.name, steps=request.steps, guidance=request.guidance)
        return [
            Clip(video, prompt, seed=seed, world=self.world, timings=dict(timings), **about)
            for video, prompt, seed in zip(videos, request.prompts, request.seeds, strict=True)
        ]

    # ---- its stages --------------------------------------------------------------------------------------

    def request(
        self, prompts: Sequence[str], seeds: Sequence[int], frames=None, steps=None, guidance=None, given=(),
        sliding: Sliding | None = None,
    ) -> Request:  # fmt: skip
        """The checked request, defaults filled in. Raises `UserError`: see `generate`."""
        frames = self.world.frames if frames is None else frames
        steps = self.sampling.steps if steps is None else steps
        guidance = self.sampling.guidance if guidance is None else guidance
        shape, place = self.latent_shape(frames), replace(self.world, frames=frames)
        check_steps(steps)
        check_guidance(guidance)
        if len(seeds) != len(prompts) or not prompts:
            raise UserError(f"{len(prompts)} prompts and {len(seeds)} seeds; give one seed for each prompt")
        for seed in seeds:
            check_seed(seed)
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise UserError(f"the prompt {prompt!r} is no text: give a str, such as 'a small red ball bounces'")
            check(captions.parse(prompt), place)
        if given:
            check_given(given, len(prompts), frames, self.world, self.vae.config)
        sliding = sliding or self.sliding
        windows = cut_into_windows(int(frames), self.world, sliding, given, self.vae.config.temporal)
        if isinstance(self.model.denoiser, UNet):
            self.check_unet(given, windows)
        for prompt, window in product(prompts, windows):
            self.model.tokenizer.word_ids(due_prompt(prompt, place, window))  # it may know fewer than the grammar
        shape = self.latent_frames(windows[0].frames), *shape[1:]
        about = dict(given=tuple(given), frames=int(frames), windows=windows, sliding=sliding)
        return Request(tuple(prompts), tuple(seeds), shape, int(steps), float(guidance), **about)

    def check_unet(self, given: Sequence[Given], windows: Sequence) -> None:
        """Raises `UserError` for given frames that a U-Net cannot take: all but one first picture, if it is trained so.
        Windows of longer clips are given such frames, too."""
        if not given and len(windows) == 1:
            return
        if not self.model.denoiser.config.conditioned:
            raise UserError(f"{self.name!r} makes clips from a prompt alone: for given frames take 'sora'")
        if len(windows) > 1 or any(one.last is not None or len(one.first) > 1 for one in given):
            raise UserError(f"{self.name!r} takes one first picture and no other frames: for those take 'sora'")

    @property
    def sliding(self) -> Sliding:
        """The recipe's way with clips longer than those of training."""
        return Sliding(self.sampling.context, self.sampling.context_noise)

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

    def stream(
        self, request: Request, on_step: Callable | None = None, timings: dict | None = None
    ) -> Iterator[np.ndarray]:
        """The clips of a request as they are made: pieces that follow each other, uint8 (b, t, h, w, 3).

        Only the last frames are kept, as many as a window has. timings: "denoise" and "decode" get their seconds added.
        """
        timings = {"denoise": 0.0, "decode": 0.0} if timings is None else timings
        memory, latents, told = {} if request.sliding.carry else None, None, request.windows[0].start
        past = np.stack([one.first for one in request.given]) if has_first(request.given) else None  # (b, t, h, w, 3)
        if told:  # given frames that no window sees
            yield past[:, :told]
        for number, window in enumerate(request.windows):
            began, skip = time.perf_counter(), self.latent_frames(window.known)
            carried = latents[:, -skip:] if request.sliding.carry and number else None
            latents = self.denoise(self.piece(request, number, past), _counted(on_step, request.steps, number), carried)
            denoised = time.perf_counter()
            video = self.decode(latents if carried is None else latents[:, skip:], memory)  # (b, t, h, w, 3)
            timings["denoise"] += denoised - began
            timings["decode"] += time.perf_counter() - denoised
            fresh, told = video[:, told - window.end :].copy(), window.end
            yield fresh
            past = fresh if past is None else np.concatenate([past, fresh], axis=1)[:, -window.frames :]

    def piece(self, request: Request, number: int, past: np.ndarray | None) -> Request:
        """Window `number` as a request of its own: what is due there, the window's own seed, and as given frames the
        last ones of `past` (b, t, h, w, 3)."""
        window, place = request.windows[number], replace(self.world, frames=request.frames)
        given = request.given or (Given(),) * len(request.prompts)
        noise = request.sliding.noise if number else given[0].noise
        first = past[:, past.shape[1] - window.known :] if window.known else [None] * len(given)
        last = [one.last if window is request.windows[-1] else None for one in given]
        given = tuple(Given(*parts, noise) for parts in zip(first, last, strict=True))
        prompts = tuple(due_prompt(prompt, place, window) for prompt in request.prompts)
        seeds = tuple(seed_of(seed, number) for seed in request.seeds)
        return replace(request, prompts=prompts, seeds=seeds, given=given)

    def latent_frames(self, frames: int) -> int:
        """How many latent frames the first `frames` of a clip are."""
        return -(-(frames - 1) // self.vae.config.temporal) + 1 if frames else 0

    @torch.no_grad()
    def denoise(self, request: Request, on_step: Callable | None = None, carried: Tensor | None = None) -> Tensor:
        """Noise → latents (b, f, c, h, w) of one window, guided by the prompts. carried: its first ones, if they are
        known (b, k, c, h, w), in place of given first frames."""
        model, sampling, device = self.model, self.sampling, next(self.model.parameters()).device
        text = model.read(list(request.prompts))
        null = model.text.null(len(text)).padded(text.tokens.shape[1])
        generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
        noise = draw_noise((len(text), *request.shape), generators).to(device)  # (b, f, c, h, w)
        known = condition = None
        if isinstance(model.denoiser, UNet):
            condition = self.condition(request.given, noise, generators) if model.denoiser.config.conditioned else None
        elif request.given:
            known = self.known(request.given, noise, carried)
        velocity = guided(model, text, null, request.guidance, sampling.rescale, condition)
        schedule = sigmas(request.steps, sampling.shift)
        return SAMPLERS[sampling.sampler](velocity, noise, schedule, known, on_step)

    def known(self, given: Sequence[Given], noise: Tensor, first: Tensor | None = None) -> Known:
        """The given frames as latents, in the places that they take among those of `noise` (b, f, c, h, w); `first`
        (b, k, c, h, w) in place of the first ones."""
        latents, mask = torch.zeros_like(noise), torch.zeros(noise.shape[:2], dtype=torch.bool, device=noise.device)
        if first is None and has_first(given):
            first = self.encode([one.first for one in given])  # (b, k, c, h, w)
        if first is not None:
            latents[:, : first.shape[1]], mask[:, : first.shape[1]] = first, True
        if given[0].last is not None:  # a latent frame covers several frames: a picture that stands still for so long
            still = 2 * self.vae.config.temporal + 1
            latents[:, -1:] = self.encode([one.last.repeat(still, axis=0) for one in given])[:, -1:]
            mask[:, -1] = True
        return Known(mask, latents, given[0].noise)

    def condition(self, given: Sequence[Given], noise: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """What a U-Net is told of the first pictures, beside `noise` (b, f, c, h, w); zeros, if there are none. The
        noise on them is drawn after that of the clip, and is another."""
        if not has_first(given):
            return torch.zeros_like(torch.cat([noise, noise[:, :, :1]], dim=2))  # (b, f, c + 1, h, w)
        source = self.encode([one.first for one in given])[:, 0]  # (b, c, h, w)
        level = torch.full((len(source),), float(given[0].noise)).to(source)
        return repeat_source(source, noise.shape[1], level, draw_noise(source.shape, generators).to(source))

    def doubts(self, frames: np.ndarray) -> list[str]:
        """A warning, if a picture (1, h, w, 3) lies outside what the VAE can hold; otherwise none.

        Measured by the signal-to-noise ratio of the picture against itself, encoded and decoded, PSNR in dB.
        """
        error = (self.decode(self.encode([frames]))[0] / 255.0 - frames / 255.0) ** 2
        psnr = -10 * np.log10(max(error.mean(), 1e-10))
        if psnr >= FAITHFUL:
            return []
        return [f"the VAE cannot hold this picture well ({psnr:.1f} dB; pictures of this world: {FAITHFUL:g} and more)"]

    @torch.no_grad()
    def encode(self, videos: Sequence) -> Tensor:
        """Clips of as many frames each, uint8 (t, h, w, 3) → latents (b, f, c, h, w)."""
        pixels = to_pixels(np.stack(videos))  # (b, t, 3, h, w)
        return self.vae.encode(pixels.to(next(self.model.parameters()).device))

    def decode(self, latents: Tensor, memory: dict | None = None) -> np.ndarray:
        """Latents (b, f, c, h, w) → frames, uint8 (b, t, h, w, 3). With `memory`, the next chunk of a stream."""
        return to_frames(self.vae.decode(latents, memory))


def _counted(on_step: Callable | None, steps: int, number: int) -> Callable | None:
    """`on_step` for the steps of window `number`: they are counted on from those of the windows before."""
    return on_step and (lambda i, *seen: on_step(number * steps + i, *seen))


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
