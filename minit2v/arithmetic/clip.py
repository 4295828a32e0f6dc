"""How large a clip is: seconds → frames → pixel values → latents → tokens (the chapter, section 4).

    clip    frames × height × width × 3           64 × 512 × 512 × 3 = 50,331,648
    latents latent frames × h × w × channels      64 ×  64 ×  64 × 4 =  1,048,576     48 times fewer
    tokens  one per cube of latents, the patch    64 ×  64 ×  64     =    262,144     at patch 1 × 1 × 1
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

from minit2v.arithmetic.checks import divided, positive, shown, whole
from minit2v.errors import UserError

COLORS = 3  # red, green, blue: one byte each


def check_fields(shape) -> None:
    """Raises `UserError` unless all fields of a dataclass are whole and positive; stores them as ints."""
    for field in fields(shape):
        if field.type != "bool":
            object.__setattr__(shape, field.name, whole(field.name, getattr(shape, field.name)))


@dataclass(frozen=True)
class ClipShape:
    """A clip of pixels, 3 bytes each."""

    frames: int
    height: int  # px
    width: int  # px

    def __post_init__(self):
        check_fields(self)

    @classmethod
    def lasting(cls, seconds, fps, height: int, width: int) -> ClipShape:
        """frames = seconds · fps. Raises `UserError` where that is no whole number."""
        frames = positive("seconds", seconds) * positive("fps", fps)
        if frames.denominator != 1:
            said = f"{shown(seconds)} seconds at {shown(fps)} fps are {shown(frames)} frames"
            raise UserError(f"{said}, no whole number; the nearest is {max(1, round(frames))} frames")
        return cls(int(frames), height, width)

    @property
    def values(self) -> int:
        """Numbers, and bytes: frames · height · width · 3."""
        return self.frames * self.height * self.width * COLORS


@dataclass(frozen=True)
class VAEShape:
    """What an autoencoder divides a clip by, and how many channels its latents have."""

    time: int = 1  # frames per latent frame; 1 is an image VAE, every frame alone
    height: int = 8
    width: int = 8
    channels: int = 4
    causal: bool = True  # the first frame stands alone: n · time + 1 frames give n + 1 latent frames

    def __post_init__(self):
        check_fields(self)

    def latents(self, clip: ClipShape) -> LatentShape:
        """The latents of a clip. Raises `UserError`, with the nearest legal sizes, where a factor does not divide."""
        return LatentShape(
            self.latent_frames(clip.frames),
            self.channels,
            divided("height", clip.height, self.height, "the VAE's factor"),
            divided("width", clip.width, self.width, "the VAE's factor"),
        )

    def latent_frames(self, frames: int) -> int:
        """Causal: (frames − 1) / time + 1. Otherwise: frames / time."""
        if not self.causal:
            return divided("frames", frames, self.time, "the VAE's factor")
        groups, rest = divmod(frames - 1, self.time)
        if rest:
            below = groups * self.time + 1
            near = f"{shown(below)} or {shown(below + self.time)}"
            raise UserError(f"{shown(frames)} frames are not {self.time}n+1, as the VAE needs; the nearest are {near}")
        return groups + 1


@dataclass(frozen=True)
class LatentShape:
    """A clip of latents, what the denoiser's loop works on."""

    frames: int
    channels: int
    height: int
    width: int

    def __post_init__(self):
        check_fields(self)

    @property
    def values(self) -> int:
        """Numbers: frames · channels · height · width."""
        return self.frames * self.channels * self.height * self.width

    def tokens(self, patch: tuple[int, int, int] = (1, 1, 1)) -> TokenGrid:
        """One token per cube of latents. Raises `UserError` where the patch (t, h, w) does not divide."""
        if len(patch) != 3:
            raise UserError(f"the patch {patch} has {len(patch)} sizes; give three, for time, height and width")
        sizes = {"latent frames": self.frames, "latent height": self.height, "latent width": self.width}
        cuts = (whole("patch", cut) for cut in patch)
        return TokenGrid(*(divided(*size, cut, "the patch's") for size, cut in zip(sizes.items(), cuts, strict=True)))


@dataclass(frozen=True)
class TokenGrid:
    """The transformer's sequence, as the grid that it is."""

    frames: int
    height: int
    width: int

    def __post_init__(self):
        check_fields(self)

    @property
    def places(self) -> int:
        """Tokens in one frame: height · width, the HW of the chapter's scores."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """frames · height · width"""
        return self.frames * self.places


def compression(clip: ClipShape, latents: LatentShape, bytes_per_latent: int = 2) -> tuple[Fraction, Fraction]:
    """How many times fewer numbers the latents are than the pixels, and how many times fewer bytes.

    values: clip.values / latents.values; bytes: the same, a pixel value taking 1 byte and a latent 2 (bf16) or 4.
    """
    values = Fraction(clip.values, latents.values)
    return values, values / whole("bytes per latent", bytes_per_latent)
