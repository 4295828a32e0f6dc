"""Inside the temporal U-Net: who hears of whom, how inflation begins, what it costs, and a miniature of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from minit2v.arithmetic import LatentShape, models, pairs
from minit2v.clip import Clip
from minit2v.diffusion import FlowMatching, draw_noise, euler, sigmas
from minit2v.dit import DiTConfig
from minit2v.errors import UserError
from minit2v.optimizers import make_optimizers
from minit2v.recipes import NANO, PromptedDenoiser, Recipe, config_of
from minit2v.stages import grown
from minit2v.text import TextFeatures
from minit2v.unet import Block, UNet, UNetConfig, temporal_parameters
from minit2v.vae import to_frames, to_pixels
from minit2v.world import scenes
from minit2v.world.captions import parse
from minit2v.world.oracle import Reading, judge
from minit2v.world.render import render

# ---- who hears of whom ---------------------------------------------------------------------------------------------


def slim(config: UNetConfig) -> UNet:
    """A U-Net with the same layers and windows, narrow, in float64, with all weights random: no zero of its start is
    left. Which frames hear of each other depends neither on widths nor on training."""
    sizes = dict(channels=2, widths=(16,) * len(config.widths), heads=2, text_dim=8, embedding=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = UNet(replace(config, **sizes)).double().eval()
        for weight in net.parameters():
            nn.init.normal_(weight, std=0.3)
    return net.requires_grad_(False)


def heard(net: UNet, frames: int = 17) -> np.ndarray:
    """How far every frame's output moves when one frame's input is replaced by other noise, in units of the outputs:
    (frames, frames), row = which frame is replaced, column = which one moves."""
    dice, side = torch.Generator().manual_seed(0), 2 * net.config.factor
    shape = (1, frames, net.config.channels, side, side)
    x, other = (torch.randn(shape, generator=dice, dtype=torch.float64) for _ in range(2))
    x = x.repeat(frames + 1, 1, 1, 1, 1)  # the last one stays as it is
    for frame in range(frames):
        x[frame, frame] = other[0, frame]
    words, pooled = (torch.randn(*size, 8, generator=dice, dtype=torch.float64) for size in ((1, 3), (1,)))
    text = TextFeatures(words, torch.ones(1, 3, dtype=torch.bool), pooled)
    with torch.no_grad():
        y = torch.cat([net(one[None], torch.full((1, frames), 0.6).double(), text) for one in x])
    return ((y[:-1] - y[-1]).square().mean(dim=(2, 3, 4)).sqrt() / y[-1].square().mean().sqrt()).numpy()


def reach(config: UNetConfig) -> int | None:
    """Over how many frames one pass carries news, by the formula: temporal blocks, one behind the other,
    hand it on by their two convolutions and by their attention's window. None: over all of them."""
    coarsest, total = len(config.widths) - 1, 0
    for scale, (layers, each) in enumerate(zip(config.blocks, config.temporal, strict=True)):
        blocks = each * layers * (1 if scale == coarsest else 2)  # on the way down, and on the way up
        attends = blocks > 0 and scale >= config.attention_from
        if attends and config.window is None:
            return None
        total += blocks * (config.kernel - 1 + (config.window if attends else 0))
    return total


# ---- how inflation begins ------------------------------------------------------------------------------------------


def temporal_blocks(net: UNet) -> list[Block]:
    """Those that inflation has put in."""
    return [block for name, block in net.named_modules() if isinstance(block, Block) and ".temporal" in name]


def shouting(net: UNet) -> UNet:
    """The same, with a wrong start: the temporal branches' last layers are random rather than 0."""
    net = deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in temporal_blocks(net):
            nn.init.xavier_uniform_(block.conv_out.weight)
            if block.has_attention:
                nn.init.xavier_uniform_(block.attention.attention.out.weight)
                nn.init.xavier_uniform_(block.text_attention.out.weight)
    return net


def mute(net: UNet) -> UNet:
    """The same, with the opposite mistake: queries, keys and values of the temporal attention are 0 as well."""
    net = deepcopy(net)
    for block in temporal_blocks(net):
        if block.has_attention:
            nn.init.zeros_(block.attention.attention.qkv.weight)
    return net


def idle(model: PromptedDenoiser, net: UNet, reel: Reel, steps: int = 2, rate: float = 0.1) -> list[set[str]]:
    """Steps of plain gradient descent with `net` as the model's denoiser, temporal layers alone: after each, the names
    of the temporal parameters whose gradient was exactly 0."""
    net, found = deepcopy(net), []
    weights = temporal_parameters(net)
    for _ in range(steps):
        net.zero_grad()
        text = model.read(list(reel.prompts[:4]))
        dice = torch.Generator().manual_seed(0)
        FlowMatching(SHIFT).loss(net, reel.latents[:4], text, generator=dice).mean().backward()
        found.append({name for name, weight in weights.items() if not weight.grad.any()})
        with torch.no_grad():
            for weight in weights.values():
                weight -= rate * weight.grad
    return found


# ---- a miniature ---------------------------------------------------------------------------------------------------

WAYS = ("left", "right")
SENTENCE = "a ball moves {} on a checkered floor"  # its color is left open
IMAGE = UNetConfig(channels=8, widths=(32, 64), blocks=(1, 1), heads=2, text_dim=32, embedding=64)
VIDEO = replace(IMAGE, temporal=(1, 1))
SHIFT = 3.0  # timestep shift for clips
CLIPS, STILLS = 8, 64  # in a batch


@dataclass(frozen=True)
class Reel:
    """Clips of the nano world: frames uint8 (n, t, h, w, 3), prompts, and latents (n, t, c, h, w), one per frame."""

    frames: np.ndarray
    prompts: tuple[str, ...]
    latents: Tensor


def reel(vae, count: int = 120) -> Reel:
    """So many clips of balls that move left or right, in turn; each frame is packed alone, as by an image VAE."""
    prompts = tuple(SENTENCE.format(WAYS[i % 2]) for i in range(count))
    clips = [render(scenes.scene(parse(prompt), i // 2, scenes.NANO)) for i, prompt in enumerate(prompts)]
    return Reel(np.stack(clips), prompts, pack(vae, np.stack(clips)))


@torch.no_grad()
def pack(vae, clips: np.ndarray) -> Tensor:
    """Every frame as a clip of its own: uint8 (n, t, h, w, 3) -> (n, t, c, h', w')."""
    singles = to_pixels(clips).flatten(0, 1)[:, None]  # (n · t, 1, 3, h, w)
    return vae.encode(singles)[:, 0].unflatten(0, clips.shape[:2])


@torch.no_grad()
def unpack(vae, latents: Tensor) -> np.ndarray:
    """The inverse of `pack`, but for what the VAE loses."""
    frames = to_frames(vae.decode(latents.float().flatten(0, 1)[:, None]))  # (n · t, 1, h, w, 3)
    return frames[:, 0].reshape(*latents.shape[:2], *frames.shape[2:])


def fresh(denoiser: UNetConfig = IMAGE, seed: int = 0) -> PromptedDenoiser:
    """A small U-Net and text encoder that have learned nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PromptedDenoiser(config_of(replace(NANO, name="miniature", denoiser=denoiser, text_layers=1)))


def inflated(image: PromptedDenoiser) -> PromptedDenoiser:
    """A video model around an image model, as a stage of training begins with it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return grown(image, fresh(VIDEO))


def train(model: PromptedDenoiser, reel: Reel, steps: int, stills: bool) -> list[float]:
    """Train what may learn, on single frames or on whole clips; returns the loss of every step."""
    flow, dice, losses = FlowMatching(1.5 if stills else SHIFT), torch.Generator().manual_seed(0), []
    optimizers = make_optimizers(model, "muon", 3e-3, 0.0, (0.9, 0.98), 2e-2)
    for step in range(steps):
        rate = min(1, (step + 1) / 10, 2 * (steps - step) / steps)  # up, level, and down in the second half
        chosen = torch.randint(len(reel.latents), (STILLS if stills else CLIPS,), generator=dice)
        data = reel.latents[chosen]  # (b, t, c, h, w)
        if stills:  # any frame, with the words of its clip
            frame = torch.randint(data.shape[1], (len(data),), generator=dice)
            data = data[torch.arange(len(data)), frame][:, None]
        text = model.read([reel.prompts[i] for i in chosen])
        loss = flow.loss(model, data, text, generator=dice).mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["peak_lr"]
            optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def draw(model: PromptedDenoiser, noise: Tensor, strength: float = 1.0, prompts: Sequence[str] = ()) -> Tensor:
    """Latents drawn from noise (b, f, c, h, w), left and right in turn unless prompts are given. strength: of the
    temporal layers."""
    text = model.read(list(prompts) or [SENTENCE.format(WAYS[i % 2]) for i in range(len(noise))])
    model.denoiser.temporal_strength = strength
    latents = euler(lambda x, level: model(x, level, text), noise, sigmas(12, SHIFT))
    model.denoiser.temporal_strength = 1.0
    return latents


def without(model: PromptedDenoiser, shut: Sequence[str]) -> PromptedDenoiser:
    """The same image or video model with some roads shut where skips are merged: the "skip", or what comes from the
    "middle"."""
    model = deepcopy(model)
    for layers in model.denoiser.up:
        for layer in layers:
            width = layer.merge.out_features
            ways = {"middle": slice(0, width), "skip": slice(width, 2 * width)}  # columns of the merge
            for way in shut:
                nn.init.zeros_(layer.merge.weight[:, ways[way]].detach())
    return model


@torch.no_grad()
def cleaned(model: PromptedDenoiser, reel: Reel, level: float, shut: Sequence[str] = ()) -> float:
    """Mean squared error of the data estimate of 64 single frames that are noisy to `level`, some roads shut."""
    data, prompts = reel.latents[:64, :1], reel.prompts[:64]
    sigma = torch.full((len(data), 1), level)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    x = FlowMatching.add_noise(data, noise, sigma)
    velocity = without(model, shut)(x, sigma, model.read(list(prompts)))
    return float((FlowMatching.data_from_velocity(x, velocity, sigma) - data).square().mean())


def noises(count: int, frames: int = 9, same: bool = False) -> Tensor:
    """Noise for so many clips, (count, frames, 8, 8, 8). same: all frames of a clip begin with the same."""
    noise = draw_noise((count, frames, 8, 8, 8), [torch.Generator().manual_seed(seed) for seed in range(count)])
    return noise[:, :1].repeat(1, frames, 1, 1, 1) if same else noise


# ---- single frames, and the clip -----------------------------------------------------------------------------------


def singles(clip: np.ndarray, world: scenes.World = scenes.NANO) -> list[Reading]:
    """What the judge reads in every frame alone, held for as long as the clip."""
    return [judge(frame[None].repeat(len(clip), axis=0), world) for frame in clip]


def good(reading: Reading, world: scenes.World = scenes.NANO) -> bool:
    """Whether a single frame shows one thing in a color of this world, on the right ground."""
    return reading.subject is not None and reading.color in world.colors and reading.background == "checkered"


def figures(clips: np.ndarray) -> dict[str, float]:
    """Of clips uint8 (n, t, h, w, 3), frame by frame and from frame to frame:

    good: share of single frames that show one thing in one of the world's colors. agree: share of neighboring frames
    whose colors are the same. step: px from a frame's subject to that of the next, the median.
    """
    read = [singles(clip) for clip in clips]
    centers = np.array([[each.track.center[0] for each in frames] for frames in read])  # (n, t, 2)
    colors = np.array([[str(each.color) for each in frames] for frames in read])
    return {
        "good": float(np.mean([good(each) for frames in read for each in frames])),
        "agree": float((colors[:, 1:] == colors[:, :-1]).mean()),
        "step": float(np.nanmedian(np.linalg.norm(np.diff(centers, axis=1), axis=-1))),
    }


# ---- the committed system, when it is there ------------------------------------------------------------------------


def committed(name: str):
    """The committed system of that name, or None as long as there is none."""
    from minit2v import TextToVideo
    from minit2v.checkpoints import available

    return TextToVideo.from_pretrained(name) if name in available() else None


def on_and_off(system, prompts: Sequence[str], steps: int | None = None) -> dict[str, list[Clip]]:
    """Clips of the same prompts and seeds, the temporal layers on and off: "on" and "off"."""
    found = {}
    for name, strength in (("on", 1.0), ("off", 0.0)):
        system.temporal_strength = strength
        found[name] = system.generate_batch(list(prompts), range(len(prompts)), steps=steps)
    system.temporal_strength = 1.0
    return found


# ---- the bill ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """What the layers at one scale cost in one pass. Scores are those of one head of one layer."""

    name: str
    places: int  # of a frame
    width: int
    parameters: int
    convolution: int  # FLOPs
    linear: int
    attention: int  # of attention's two products
    spatial: int = 0  # scores
    temporal: int = 0
    full: int = 0

    @property
    def flops(self) -> int:
        return self.convolution + self.linear + self.attention


def by_scale(config, latents: LatentShape, words: int = 16) -> list[Row]:
    """A denoiser's layers in one pass, scale by scale, from fine to coarse; a transformer has one scale."""
    if isinstance(config, DiTConfig | models.TransformerShape):
        grid, cost = latents.tokens(config.patch), models.transformer(config, latents, words)
        parts = cost.parameters, cost.convolution, cost.linear, cost.attention
        return [Row("one scale", grid.places, config.dim, *parts, full=pairs("full", grid))]
    grids, rows = models.scales(config, latents), []
    for scale, grid in enumerate(grids):
        times = config.blocks[scale] * (1 if scale == len(grids) - 1 else 2)
        cost = times * models.unet_layer(config, scale, grid, words, 1)
        attends, mixes = scale >= config.attention_from, bool(config.temporal and config.temporal[scale])
        scores = dict(spatial=attends * pairs("spatial", grid), temporal=attends * mixes * pairs("temporal", grid))
        parts = cost.parameters, cost.convolution, cost.linear, cost.attention
        rows.append(Row(f"1/{2**scale}" if scale else "finest", grid.places, config.widths[scale], *parts, **scores))
    return rows


def whole(recipe: Recipe, latents: LatentShape, words: int = 16):
    """The cost of one pass of a recipe's denoiser: an `arithmetic.Cost`. Raises `UserError` for another kind."""
    if isinstance(recipe.denoiser, UNetConfig):
        return models.unet(recipe.denoiser, latents, words)
    if isinstance(recipe.denoiser, DiTConfig):
        return models.transformer(recipe.denoiser, latents, words)
    raise UserError(f"{recipe.name!r} has a denoiser of no known family: give a recipe of minit2v.recipes.SYSTEMS")
