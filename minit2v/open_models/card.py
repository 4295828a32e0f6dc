"""A published model as a data file: its configuration, its defaults, and where each of them is published.

The files lie in `configs`, one per model, named as the models name themselves. `config` holds the fields of the
published configuration under their published names; everything else has the same names for all models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from minit2v.arithmetic import ClipShape, LatentShape, TokenGrid, VAEShape

TASKS = ("text-to-video", "image-to-video")
ROOT = files("minit2v.open_models") / "configs"


@dataclass(frozen=True)
class Sampling:
    """How a clip is sampled by default."""

    steps: int
    guidance: float  # classifier-free guidance scale; embedded: an input of the denoiser
    passes: int  # forward passes per step: 2 with classifier-free guidance, 1 where it is distilled away


@dataclass(frozen=True)
class Published:
    """A parameter count that others published, to hold ours against."""

    parameters: int
    as_said: str  # "14B", or the sizes of the weight files
    source: str


@dataclass(frozen=True)
class OpenModel:
    """One published model. Raises `ValueError` for a file that does not fit this."""

    name: str  # lower case, as its data file is called
    title: str  # as its makers write it
    makers: str
    year: int
    task: str  # one of `TASKS`
    architecture: str  # one of `minit2v.open_models.ARCHITECTURES`
    config: dict
    clip: ClipShape
    fps: float | None  # None: no public source was found that says it
    vae: VAEShape
    patch: tuple[int, int, int]  # latents per token: time, height, width
    conditions: dict[str, int]  # tokens that the denoiser is conditioned on, by their kind
    sampling: Sampling
    sources: dict[str, str]  # "paper", "config", "defaults": addresses
    verified: bool  # its cost is held against a public implementation, and all of the above against its sources
    unverified: str = ""  # if not, what is missing
    note: str = ""
    experts: int = 1  # denoisers of that configuration, of which one works at a time
    published: Published | None = None
    vae_chunk: int | None = None  # frames that the VAE encodes at a time, each chunk on its own; None: all
    rounds: bool = False  # pixels that do not fill a latent are dropped, latents that do not fill a patch are filled up

    def __post_init__(self):
        holds = {
            "name": self.name == self.name.lower() != "",
            "title": bool(self.title),
            "makers": bool(self.makers),
            "task": self.task in TASKS,
            "fps": self.fps is None or self.fps > 0,
            "patch": len(self.patch) == 3 and min(self.patch) > 0,
            "conditions": all(tokens > 0 for tokens in self.conditions.values()),
            "sampling": min(self.sampling.steps, self.sampling.passes) > 0,
            "sources": {"config", "defaults"} <= set(self.sources)
            and all(address.startswith("https://") for address in self.sources.values()),
            "unverified": self.verified != bool(self.unverified),
        }
        if wrong := [field for field, good in holds.items() if not good]:
            raise ValueError(f"{self.name}: wrong or missing {', '.join(wrong)}")

    @property
    def seconds(self) -> float | None:
        """Length of the clip."""
        return self.fps and self.clip.frames / self.fps

    @property
    def latents(self) -> LatentShape:
        """What the VAE makes of the clip. Raises `UserError` where a factor does not divide, unless `rounds`."""
        clip = self.clip
        if self.rounds:
            height, width = clip.height // self.vae.height, clip.width // self.vae.width
            clip = ClipShape(clip.frames, height * self.vae.height, width * self.vae.width)
        if self.vae_chunk is None:
            return self.vae.latents(clip)
        chunks, rest = divmod(clip.frames, self.vae_chunk)
        one = self.vae.latents(ClipShape(self.vae_chunk, clip.height, clip.width))
        frames = chunks * one.frames + (self.vae.latent_frames(rest) if rest else 0)
        return LatentShape(frames, one.channels, one.height, one.width)

    @property
    def grid(self) -> TokenGrid:
        """The transformer's tokens; for a U-Net, the latents themselves."""
        latents = self.latents
        if self.rounds:
            sizes = zip((latents.frames, latents.height, latents.width), self.patch, strict=True)
            frames, height, width = (-(-size // cut) * cut for size, cut in sizes)
            latents = LatentShape(frames, latents.channels, height, width)
        return latents.tokens(self.patch)


def read(name: str) -> OpenModel:
    """The data file of that name. Raises `FileNotFoundError` if there is none."""
    said = json.loads((ROOT / f"{name}.json").read_text(encoding="utf-8"))
    return OpenModel(
        **{
            **said,
            "clip": ClipShape(**said["clip"]),
            "vae": VAEShape(**said["vae"]),
            "patch": tuple(said["patch"]),
            "sampling": Sampling(**said["sampling"]),
            "published": Published(**said["published"]) if "published" in said else None,
        }
    )
