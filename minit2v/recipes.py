"""Recipes: what each system is made of, how it is trained, and how it is sampled by default. Data, no code paths.

A system is a VAE, a text encoder and a denoiser. The VAE is trained first and never changes again; text encoder
and denoiser are trained together, as one `PromptedDenoiser`, on the VAE's latents.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

from torch import Tensor, nn

from minit2v.diffusion import velocity_from_v
from minit2v.dit import DiT, DiTConfig
from minit2v.errors import UserError, nearest
from minit2v.text import TextConfig, TextEncoder, TextFeatures, Tokenizer
from minit2v.unet import UNet, UNetConfig
from minit2v.vae import VAEConfig
from minit2v.world.captions import VOCABULARY
from minit2v.world.scenes import WORLDS


@dataclass(frozen=True)
class Sampling:
    """How clips are drawn by default."""

    steps: int = 20
    guidance: float = 2.0  # classifier-free guidance scale; 1 is none
    rescale: float = 0.0  # how far the contrast that guidance adds is taken back, 0 to 1
    sampler: str = "euler"  # a key of diffusion.SAMPLERS
    shift: float = 4.0  # timestep shift: > 1 spends more steps near pure noise
    context: int = 0  # of a longer clip: frames of the window before that each window is given; 0: no windows
    context_noise: float = 0.0  # and the noise level at which it is given them


@dataclass(frozen=True)
class VAERecipe:
    """An autoencoder. `training` holds the fields of `training.Settings`."""

    name: str
    world: str
    vae: VAEConfig
    training: dict
    kl: float = 1e-2  # weight of the KL divergence per latent value: more makes simpler latents, and loses detail


@dataclass(frozen=True)
class Recipe:
    """A text-to-video system."""

    name: str
    world: str
    vae: str  # the checkpoint of its autoencoder
    denoiser: DiTConfig | UNetConfig  # its type is the family
    text_layers: int = 2
    shift: float = 4.0  # timestep shift in training
    times: str = "logit-normal"  # how noise levels are drawn before the shift, see FlowMatching
    drop_text: float = 0.1  # share of samples trained without their prompt, for guidance
    stills: float = 0.1  # share of steps that see single frames only: a picture is a one-frame clip
    known: float = 0.15  # share of samples with given frames: the first (image-to-video), the first few, or both ends
    rough: float = 0.5  # share of those whose given frames are noisy, at a level up to `roughest`, so that it can be
    roughest: float = 0.5  # chosen: more noise, more freedom
    long: int = 0  # every other sample is a window of a clip of so many frames; 0: none is
    any_frame: bool = False  # a still is any frame of its clip, for VAEs that take each frame alone; False: the first
    often: dict = field(default_factory=dict)  # {kind of clip: how many times as often it is drawn}, see Meaning.kinds
    pictures: int = 1  # stills in place of each clip, in a step of stills: one costs much less than a clip
    freeze: str = ""  # "spatial": of an inflated U-Net only what mixes frames learns, and the words that tell of motion
    sampling: Sampling = field(default_factory=Sampling)
    training: dict = field(default_factory=dict)


_MUON = dict(optimizer="muon", learning_rate=2e-3, muon_learning_rate=6e-3, betas=(0.9, 0.98), schedule="cosine")

VAES = {
    # 17 x 64 x 64 x 3 pixels -> 5 x 8 x 8 x 24 latents: 27 times fewer numbers.
    "video-vae": VAERecipe(
        "video-vae", "standard", VAEConfig(), dict(batch=8, steps=1800, warmup=50, decay=0.6, ema=0.995, **_MUON)
    ),
    # The worked example's shape: every frame alone, 8 x 8 x 4.
    "image-vae": VAERecipe(
        "image-vae",
        "standard",
        VAEConfig(channels=4, temporal=1, fine=0, widths=(64, 128)),
        dict(batch=16, steps=4000, warmup=50, decay=0.6, ema=0.995, **_MUON),
        kl=1e-3,  # four channels must each carry more
    ),
    # For clips of 9 x 32 x 32 -> 3 x 8 x 8 x 8.
    "nano-vae": VAERecipe(
        "nano-vae",
        "nano",
        VAEConfig(channels=8, spatial=4, fine=0, widths=(64, 96)),
        dict(batch=16, steps=1500, warmup=50, decay=0.6, ema=0.995, **_MUON),
    ),
}

# Sora-style: spacetime cubes of latents, full attention over all of them. That Sora is a diffusion transformer on
# spacetime patches of a compressed latent is published (Brooks et al. 2024); its sizes are not: these are ours.
# What is learned last is small and changes few latents: the points of a star, a tilt of the water, a turn. Such clips
# are drawn more often, or the loss, which hardly sees them, leaves them for the very end.
SORA = Recipe(
    name="sora",
    world="standard",
    vae="video-vae",
    denoiser=DiTConfig(channels=24, patch=(1, 2, 2), dim=192, layers=6, heads=6, attention="full"),
    shift=3.0,
    often=dict(star=2.5, dog=1.5, face=1.25, sloshes=3.0, spins=3.0, small=1.5, pillar=2.5),
    training=dict(batch=48, steps=6000, warmup=80, decay=0.45, ema=0.998, **_MUON)
    | dict(learning_rate=1.5e-3, muon_learning_rate=4e-3),
)

# Veo-style: long clips, window by window, and a camera that has something to do. Of Veo 3 it is published that it is
# latent diffusion with a transformer; sizes, windows and all the rest are a guess. It goes on from sora's weights
# (`--start sora --rate 0.4`).
VEO = replace(
    SORA, name="veo", long=69, known=0.25, sampling=Sampling(context=9, context_noise=0.1),
    training=SORA.training | dict(steps=3000),
)  # fmt: skip

# Pika-style: from a picture and a prompt. Nothing is published of Pika's insides: a guess. It goes on from sora's
# weights (`--start sora --rate 0.4`), and two samples in three have given frames: half of them the first one alone.
PIKA = replace(SORA, name="pika", known=0.67, stills=0.0, training=SORA.training | dict(steps=3000))

# Runway-style: an image U-Net that has learned stills, with temporal layers put in. Of Gen-1 a paper tells the insides
# (Esser et al. 2023): a latent U-Net and a VAE that takes each frame alone, temporal convolutions and attention behind
# the spatial ones, trained on pictures and clips together. Of Gen-2 nothing of the kind is published; of Gen-3 Alpha
# the announcement says "trained jointly on videos and images", and no more. Both recipes are guesses, and all sizes
# are ours. What they have in common is a first stage on stills: any frame, with the words of its whole clip, for what
# moves starts in one way always, and a mouth that is never seen open could not be opened by layers that only move
# things. So words for motion come to mean where and how large, and the temporal layers must teach them the rest.
GEN2_STILLS = Recipe(
    name="gen2-stills",
    world="standard",
    vae="image-vae",
    denoiser=UNetConfig(widths=(112, 160)),
    text_layers=1,
    shift=2.0,  # single latents of 8 x 8 x 4 are hardly redundant; 17 of them, alike, are
    stills=1.0,
    any_frame=True,
    known=0.0,
    sampling=Sampling(shift=2.0),
    training=SORA.training | dict(batch=128, steps=6000),
)

# Gen-2-style, as AnimateDiff (Guo et al. 2023) does it to any image model: the spatial weights stay as they are. The
# temporal layers look a quarter of a second away. Begins with `--start runs/gen2-stills`.
GEN2 = replace(
    GEN2_STILLS, name="gen2", denoiser=replace(GEN2_STILLS.denoiser, temporal=(1, 1), window=2),
    shift=4.0, often=SORA.often, stills=0.0, freeze="spatial", sampling=Sampling(),
    training=SORA.training | dict(batch=12, steps=6000),
)  # fmt: skip

# Gen-3-style: the same layers and the same start, but they look at the whole clip, and all weights learn, from clips
# and stills in turn. It sees as many clips as gen2.
GEN3 = replace(
    GEN2, name="gen3", denoiser=replace(GEN2.denoiser, window=None), stills=0.25, pictures=17, freeze="",
    training=GEN2.training | dict(steps=8000, learning_rate=1e-3, muon_learning_rate=2.5e-3),
)  # fmt: skip

# The other way with a picture, that of Stable Video Diffusion (Blattmann et al. 2023): beside the noise of every frame.
# It goes on from gen3's weights (`--start runs/gen3 --rate 0.4`).
PIKA_UNET = replace(
    GEN3, name="pika-unet", denoiser=replace(GEN3.denoiser, conditioned=True), known=0.67, stills=0.0,
    training=GEN3.training | dict(steps=3000),
)  # fmt: skip

# Small enough to be trained in a lesson, from random weights, in minutes.
NANO = Recipe(
    name="nano",
    world="nano",
    vae="nano-vae",
    denoiser=DiTConfig(channels=8, patch=(1, 2, 2), dim=128, layers=4, heads=4, text_dim=128),
    text_layers=1,
    stills=0.0,  # all of the little time there is goes to whole clips from a prompt
    known=0.0,
    training=dict(batch=48, steps=1000, warmup=40, decay=0.4, ema=0.99, **_MUON),
)

SYSTEMS = {recipe.name: recipe for recipe in (SORA, VEO, PIKA, GEN2_STILLS, GEN2, GEN3, PIKA_UNET, NANO)}


def find(name: str) -> Recipe | VAERecipe:
    """The recipe of that name. Raises `UserError` naming the nearest ones."""
    recipes = {**SYSTEMS, **VAES}
    if name not in recipes:
        raise UserError(f"unknown system {name!r}; legal: {', '.join(recipes)}; {nearest(name, recipes)}".rstrip("; "))
    return recipes[name]


def config_of(recipe: Recipe) -> dict:
    """All that rebuilds the recipe's model and samples from it, JSON-able: it is stored with the weights."""
    vocabulary = Tokenizer(VOCABULARY).to_list()
    text = TextConfig(len(vocabulary), recipe.denoiser.text_dim, recipe.text_layers, recipe.denoiser.heads)
    return {
        "kind": "denoiser",
        "recipe": recipe.name,
        "world": recipe.world,
        "vae": recipe.vae,
        "denoiser": asdict(recipe.denoiser),
        "text": asdict(text),
        "vocabulary": vocabulary,
        "sampling": asdict(recipe.sampling),
    }


def denoiser_of(sizes: dict) -> DiT | UNet:
    """The denoiser with the fields of a `DiTConfig` or, if it has widths (one for each scale), of a `UNetConfig`."""
    return UNet(UNetConfig(**sizes)) if "widths" in sizes else DiT(DiTConfig(**sizes))


class PromptedDenoiser(nn.Module):
    """Text encoder and denoiser, the two that are trained together. Built from `config_of`.

    The network inside speaks DDPM's v, and is read as a velocity: near pure noise, where video is made, v is the data
    alone, while a velocity is mostly the noise of the input, which the tokens would have to carry to the output.
    """

    def __init__(self, config: dict):
        super().__init__()
        self.config, self.world = config, WORLDS[config["world"]]
        self.tokenizer = Tokenizer.from_list(config["vocabulary"])
        self.text = TextEncoder(TextConfig(**config["text"]))
        self.denoiser = denoiser_of(config["denoiser"])

    def read(self, prompts: list[str]) -> TextFeatures:
        """The features of some prompts, on the model's device."""
        ids, mask = self.tokenizer.encode(prompts, next(self.parameters()).device)
        return self.text(ids, mask)

    def forward(self, latents: Tensor, noise_level: Tensor, text: TextFeatures, condition=None) -> Tensor:
        v = self.denoiser(latents, noise_level, text, condition)  # (b, f, c, h, w)
        return velocity_from_v(v, latents, noise_level)
