"""The question: a clip, the transformer that makes it, and the machine that it runs on."""

from __future__ import annotations

from dataclasses import dataclass, fields

from minit2v.arithmetic import ClipShape, LatentShape, TokenGrid, VAEShape, device, memory, models, turns
from minit2v.arithmetic.checks import positive, shown, whole
from minit2v.arithmetic.device import Device, Serving
from minit2v.errors import UserError, nearest


@dataclass(frozen=True)
class Setup:
    """A clip and the transformer that makes it. What is not said is the chapter's worked example, one layer of it.

    seconds and fps may be ints, fractions or decimal strings; `frames`, if given, takes the place of seconds.
    Raises `UserError` for what is not whole, not positive, or does not divide.
    """

    seconds: object = None  # 4, unless frames are given
    fps: object = 16
    frames: int | None = None
    height: int = 512
    width: int = 512
    vae: tuple[int, int, int] = (1, 8, 8)  # frames, rows and columns of pixels per latent
    channels: int = 4
    patch: tuple[int, int, int] = (1, 1, 1)  # latent frames, rows and columns per token
    layers: int = 1
    dim: int = 512
    heads: int = 8
    mlp_ratio: int = 4
    text_tokens: int = 16
    text_dim: int | None = None  # channels of the text's features; None: as many as the tokens'
    attention: str = "full"  # a key of `arithmetic.KINDS`
    window: int | None = None  # latent frames
    steps: int = 30
    guidance: object = 1  # 1 is none; any other doubles the passes
    batch: int = 1  # clips at once
    dtype: str = "bf16"
    device: Device = device.DEVICES["h100"]
    devices: int = 1

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" or (field.type == "int | None" and value is not None):
                least = 0 if field.name == "window" else 1
                object.__setattr__(self, field.name, whole(field.name.replace("_", "-"), value, least))
        for name in ("vae", "patch"):
            object.__setattr__(self, name, triple(name, getattr(self, name)))
        if self.seconds is not None and self.frames is not None:
            raise UserError("seconds and frames are both given; give one of them")
        if self.seconds is None and self.frames is None:
            object.__setattr__(self, "seconds", 4)
        object.__setattr__(self, "fps", positive("fps", self.fps))
        object.__setattr__(self, "guidance", positive("guidance", self.guidance))
        known("dtype", self.dtype, memory.BYTES)
        turns(self.attention, 1)
        if self.dim % (2 * self.heads):
            said = f"dim {shown(self.dim)} does not split into {shown(self.heads)} heads of even size"
            raise UserError(f"{said}; use a multiple of {shown(2 * self.heads)}")
        if (self.attention == "windowed") != (self.window is not None):
            raise UserError("windowed attention and a window go together; give both, or neither")

    @property
    def clip(self) -> ClipShape:
        """Its frames, from seconds or as given."""
        if self.frames is not None:
            return ClipShape(self.frames, self.height, self.width)
        return ClipShape.lasting(self.seconds, self.fps, self.height, self.width)

    @property
    def latents(self) -> LatentShape:
        """What the VAE makes of the clip."""
        return VAEShape(*self.vae, self.channels).latents(self.clip)

    @property
    def grid(self) -> TokenGrid:
        """What the transformer cuts the latents into."""
        return self.latents.tokens(self.patch)

    @property
    def passes(self) -> int:
        """Forward passes per step: 2 with classifier-free guidance."""
        return 1 if self.guidance == 1 else 2

    @property
    def number(self) -> int:
        """Bytes of a number."""
        return memory.BYTES[self.dtype]

    @property
    def serving(self) -> Serving:
        """How its clips are made."""
        return Serving(self.steps, self.passes, self.batch, devices=self.devices)

    @property
    def transformer(self) -> models.TransformerShape:
        """The sizes of its `minit2v.dit.DiT`."""
        text_dim = self.dim if self.text_dim is None else self.text_dim
        sizes = (self.channels, self.patch, self.dim, self.layers, self.heads, text_dim, self.mlp_ratio)
        return models.TransformerShape(*sizes, self.attention, self.window)

    @property
    def autoencoder(self) -> models.AutoencoderShape | None:
        """Sizes of an autoencoder like the project's with these factors; None for unequal height and width."""
        time, height, width = self.vae
        if height != width:
            return None
        sizes = {"patch": next(patch for patch in (4, 2, 1) if height % patch == 0)}
        if time == 1:
            sizes["fine"] = 0  # an image VAE has no frames to group
        return models.AutoencoderShape(self.channels, time, height, **sizes)


def triple(name: str, sizes) -> tuple[int, int, int]:
    """Three sizes, for time, height and width: a sequence, or a string such as "4,8,8". Raises `UserError`."""
    parts = sizes.replace("x", ",").split(",") if isinstance(sizes, str) else tuple(sizes)
    if len(parts) != 3:
        raise UserError(f"{name} {shown(sizes)}: give three sizes, for time, height and width, such as 1,8,8")
    return tuple(whole(name, part) for part in parts)


def known(name: str, word, legal) -> None:
    """Raises `UserError`, with the nearest legal words, unless `word` is one."""
    if word not in legal:
        hint = nearest(str(word)[:40], legal)
        raise UserError(f"unknown {name} {str(word)[:40]!r}; one of {', '.join(legal)}{hint and '; ' + hint}")
