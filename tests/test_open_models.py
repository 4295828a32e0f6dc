"""The published models: their data files, and what they cost against diffusers' classes, on the meta device."""

import dataclasses
import inspect
import json
import subprocess
import sys
from contextlib import nullcontext
from fractions import Fraction

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from minit2v.arithmetic import ClipShape
from minit2v.arithmetic.device import find_device
from minit2v.errors import UserError
from minit2v.meter import LiveBytes
from minit2v.open_models import ARCHITECTURES, Sampling, figures, find, forward, names
from minit2v.open_models.card import ROOT, read

EVERY_MODEL = pytest.mark.parametrize("name", names())

# ---- the data files ------------------------------------------------------------------------------------------


def test_there_are_at_least_fifteen_of_all_the_families_and_all_architectures_are_used():
    assert len(names()) >= 15
    wanted = ["wan2.1", "wan2.2", "cogvideox-", "cogvideox1.5", "hunyuanvideo", "hunyuanvideo-1.5", "ltx-video"]
    wanted += ["mochi-1", "allegro", "open-sora", "latte-1", "stable-video-diffusion", "animatediff", "text-to-video"]
    assert all(any(name.startswith(family) for name in names()) for family in wanted)
    assert {find(name).architecture for name in names()} == set(ARCHITECTURES)


@EVERY_MODEL
def test_data_file_is_whole_and_cited(name):
    model = find(name)  # its dataclass has checked the rest
    assert model.name == name
    assert {"config", "defaults"} <= set(model.sources)
    assert all(address.startswith("https://") and len(address) > 20 for address in model.sources.values())
    assert 2022 < model.year < 2027
    assert model.sampling.steps >= 1 and model.sampling.passes in (1, 2, 3)
    assert (model.sampling.passes == 1) <= (model.architecture == "hunyuanvideo")  # the only one with it distilled
    assert model.published is None or model.published.source.startswith("https://")
    assert model.config and model.conditions
    assert model.seconds is None or 1 < model.seconds < 11


def test_a_file_that_does_not_fit_is_refused():
    model = read("latte-1")
    for field, wrong in (("task", "video"), ("title", ""), ("sources", {"config": "x"}), ("unverified", "a reason")):
        with pytest.raises(ValueError, match=field):
            dataclasses.replace(model, **{field: wrong})
    with pytest.raises(TypeError):
        dataclasses.replace(model, colour="red")


def test_what_is_not_verified_says_why():
    assert [name for name in names() if not find(name).verified] == ["open-sora-1.2", "open-sora-2"]
    assert all("no class" in find(name).unverified for name in ("open-sora-1.2", "open-sora-2"))


def test_find_takes_any_case_and_names_the_nearest():
    assert find("Wan2.1-T2V-1.3B") == find("wan2.1-t2v-1.3b") == read("wan2.1-t2v-1.3b")
    with pytest.raises(UserError, match=r"unknown model 'wan2.1-1.3b'; did you mean 'wan2.1-t2v-1.3b'"):
        find("wan2.1-1.3b")
    for nonsense in ("sora", "", "../card", "x" * 5000, None):
        with pytest.raises(UserError) as error:
            find(nonsense)
        assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_the_package_carries_its_data_and_needs_no_torch():
    script = "import sys, minit2v.open_models as m; m.figures(m.find('allegro')); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    declared = (ROOT.parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"open_models/configs/*.json"' in declared


# ---- published numbers ---------------------------------------------------------------------------------------

ROUNDED = {"open-sora-2", "wan2.2-t2v-a14b", "wan2.2-i2v-a14b"}  # "11B" of 11.9; "27B" of 2 × 14.3


@EVERY_MODEL
def test_parameters_are_as_many_as_published(name):
    model = find(name)
    if model.published:
        ours, theirs = figures(model).parameters, model.published.parameters
        assert abs(ours / theirs - 1) < (0.09 if name in ROUNDED else 0.03), (ours, theirs)


def test_tokens_are_as_many_as_published():
    assert figures(find("mochi-1-preview")).tokens == 44_520  # its README's table of AsymmDiT
    assert figures(find("allegro")).tokens == 79_200  # "79.2K" on its model card
    assert figures(find("wan2.1-t2v-14b")).tokens == 75_600
    assert figures(find("hunyuanvideo")).tokens == 118_800


def test_wan_has_the_closed_form_of_a_transformer_with_cross_attention():
    model = find("wan2.1-t2v-14b")
    n, d, text, layers, hidden = 75_600, 5120, 512, 40, 13824
    bulk = layers * (2 * n * (6 * d**2 + 2 * d * hidden) + 4 * text * d**2 + 4 * n * d * (n + text))
    assert bulk < forward(model).total.flops < bulk * 1.0001  # the rest: patches, time, text and head
    assert forward(model).parts["blocks"].attention == layers * 4 * n * d * (n + text)


def test_odd_sizes_are_rounded_as_their_pipelines_do():
    grid = find("open-sora-1.2").grid  # 3 × 17 frames in chunks; 426 px make 53 latents, filled up to 54
    assert (grid.frames, grid.height, grid.width) == (15, 15, 27)
    grid = find("cogvideox1.5-5b").grid  # 21 latent frames, filled up to 22
    assert (grid.frames, grid.height, grid.width) == (11, 48, 85)


def test_other_clips_and_samplings():
    model = find("wan2.1-t2v-1.3b")
    short = dataclasses.replace(model, clip=ClipShape(17, 480, 832), sampling=Sampling(4, 1.0, 1))
    assert figures(short).tokens == 5 * 30 * 52
    assert figures(short).parameters == figures(model).parameters
    assert figures(short).clip_flops == 4 * figures(short).forward_flops
    with pytest.raises(UserError, match="4n"):
        forward(dataclasses.replace(model, clip=ClipShape(16, 480, 832)))


def test_figures_hang_together():
    costs = figures(find("wan2.2-t2v-a14b"))
    assert costs.parameters == 2 * costs.active_parameters == 28_576_983_168
    assert costs.weight_bytes == 2 * costs.parameters
    assert costs.clip_flops == 40 * 2 * costs.forward_flops
    assert round(float(costs.attention_share), 4) == 0.7226
    assert json.dumps(costs.clip_flops) == str(costs.clip_flops)  # an exact integer


def test_hours_are_those_of_the_roofline():
    costs, h100 = figures(find("hunyuanvideo")), find_device("h100")
    assert costs.hours(h100) * 3600 * h100.flops * h100.utilization == costs.clip_flops  # compute-bound by far
    assert costs.hours(dataclasses.replace(h100, flops=2 * h100.flops)) == costs.hours(h100) / 2
    slow = dataclasses.replace(h100, bandwidth=1000)
    assert costs.hours(slow) == Fraction(costs.passes * costs.forward.moved * 2, 1000 * 3600)
    assert costs.fits(h100) and not costs.fits(find_device("rtx-4090"))


# ---- against diffusers ---------------------------------------------------------------------------------------


def shaped(*size):
    """A tensor of that shape without memory or values."""
    return torch.empty(size, device="meta")


def built(name, config):
    """diffusers' class `name` of the published configuration, on the meta device; fields that are ours left out."""
    diffusers = pytest.importorskip("diffusers")
    kind = getattr(diffusers, name)
    known = inspect.signature(kind.__init__).parameters
    assert set(config) - set(known) <= {"expand_timesteps"}
    with torch.device("meta"):
        network = kind(**{field: value for field, value in config.items() if field in known})
    return network.to("meta").eval()  # SVD leaves its 38 mixing factors on the CPU


def latents(model, channels):
    made = model.latents
    return shaped(1, channels, made.frames, made.height, made.width)


def wan(model):
    config, text = model.config, shaped(1, model.conditions["text"], model.config["text_dim"])
    image = shaped(1, model.conditions["image"], config["image_dim"]) if "image" in model.conditions else None
    levels = shaped(1, model.grid.tokens) if config.get("expand_timesteps") else shaped(1)
    return built("WanTransformer3DModel", config), (latents(model, config["in_channels"]), levels, text, image)


def ltx(model):
    config, made, text = model.config, model.latents, model.conditions["text"]
    tokens = shaped(1, model.grid.tokens, config["in_channels"])
    words = (shaped(1, text, config["caption_channels"]), shaped(1), shaped(1, text))
    return built("LTXVideoTransformer3DModel", config), (tokens, *words, made.frames, made.height, made.width)


def allegro(model):
    text = model.conditions["text"]
    inputs = (latents(model, 4), shaped(1, text, model.config["caption_channels"]), shaped(1), None, shaped(1, text))
    return built("AllegroTransformer3DModel", model.config), inputs


def cogvideox(model):
    config, made = model.config, model.latents
    frames = model.grid.frames * model.patch[0]
    noise = shaped(1, frames, config["in_channels"], made.height, made.width)
    words = shaped(1, model.conditions["text"], config["text_embed_dim"])
    return built("CogVideoXTransformer3DModel", config), (noise, words, shaped(1))


def hunyuanvideo(model):
    config, text = model.config, model.conditions["text"]
    words = (shaped(1, text, config["text_embed_dim"]), shaped(1, text), shaped(1, config["pooled_projection_dim"]))
    return built("HunyuanVideoTransformer3DModel", config), (latents(model, 16), shaped(1), *words, shaped(1))


def hunyuanvideo15(model):
    config, (text, glyphs, image) = model.config, model.conditions.values()
    words = (shaped(1, text, config["text_embed_dim"]), shaped(1, text), None)
    others = (shaped(1, glyphs, config["text_embed_2_dim"]), shaped(1, glyphs))
    seen = shaped(1, image, config["image_embed_dim"])
    return built("HunyuanVideo15Transformer3DModel", config), (latents(model, 65), shaped(1), *words, *others, seen)


def mochi(model):
    text = model.conditions["text"]
    words = (shaped(1, text, model.config["text_embed_dim"]), shaped(1), shaped(1, text))
    return built("MochiTransformer3DModel", model.config), (latents(model, 12), *words)


def latte(model):
    words = shaped(1, model.conditions["text"], model.config["caption_channels"])
    return built("LatteTransformer3DModel", model.config), (latents(model, 4), shaped(1), words)


def stable_video_diffusion(model):
    made, context = model.latents, shaped(1, model.conditions["image"], model.config["cross_attention_dim"])
    noise = shaped(1, made.frames, model.config["in_channels"], made.height, made.width)
    return built("UNetSpatioTemporalConditionModel", model.config), (noise, shaped(1), context, shaped(1, 3))


def animatediff(model):
    diffusers = pytest.importorskip("diffusers")
    image = built("UNet2DConditionModel", model.config["unet"])
    motion = built("MotionAdapter", model.config["motion_adapter"])
    with torch.device("meta"):
        both = diffusers.UNetMotionModel.from_unet2d(image, motion, load_weights=False)
    frames = model.clip.frames  # which are a batch of images, each with its copy of the text
    words = shaped(frames, model.conditions["text"], model.config["unet"]["cross_attention_dim"])
    return both.to("meta").eval(), (latents(model, 4), shaped(1), words)


def modelscope(model):
    words = shaped(1, model.conditions["text"], model.config["cross_attention_dim"])
    return built("UNet3DConditionModel", model.config), (latents(model, 4), shaped(1), words)


TRANSFORMERS = (wan, ltx, allegro, cogvideox, hunyuanvideo, hunyuanvideo15, mochi, latte)
UNETS = (stable_video_diffusion, animatediff, modelscope)
BUILDERS = {build.__name__: build for build in (*TRANSFORMERS, *UNETS)}


class EverythingCounts(TorchFunctionMode):
    """Answers what tensors without values cannot: each mask is true everywhere, each question is answered yes.

    HunyuanVideo 1.5 and Mochi sort tokens by a mask. Sorted or not, masked or not, they cost the same.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.__bool__:
            return True
        if function is torch.nonzero:
            return torch.arange(args[0].numel(), device="meta")[:, None]
        if function is torch.Tensor.__getitem__ and getattr(args[1], "dtype", None) == torch.bool:
            return args[0][:0] if hasattr(args[1], "inverted") else args[0]
        made = function(*args, **(kwargs or {}))
        if function is torch.Tensor.__invert__:
            made.inverted = True
        return made


@pytest.fixture
def meta(monkeypatch):
    """Room for tensors without values."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # Mochi asks for it; there is none on meta
    with torch.no_grad(), torch.device("meta"), EverythingCounts():
        yield


def counted(network, inputs):
    """FLOPs by operation, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return {str(kind): flops for kind, flops in counter.get_flop_counts()["Global"].items()}


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


VERIFIED = [name for name in names() if find(name).verified]
DEEP = {"wan2.1-t2v-1.3b", "hunyuanvideo", "latte-1"}  # counted with all their layers, one of each kind


def shallow(model):
    """The same model with two layers of each kind, which have the shapes of all others."""
    counts = {field: 2 for field in ("num_layers", "num_single_layers") if field in model.config}
    return dataclasses.replace(model, config={**model.config, **counts})


@pytest.mark.parametrize("name", VERIFIED)
def test_parameters_and_flops_are_those_of_the_class(name, meta):
    model = find(name)
    network, inputs = BUILDERS[model.architecture](model)
    assert forward(model).total.parameters == parameters(network)
    if name not in DEEP and BUILDERS[model.architecture] in TRANSFORMERS:  # to save seconds
        model = shallow(model)
        network, inputs = BUILDERS[model.architecture](model)
        assert forward(model).total.parameters == parameters(network)
    ours, theirs = forward(model).total, counted(network, inputs)
    assert theirs["aten.bmm"] >= ours.attention > 0  # attention is counted, which it would not be on the CPU
    assert ours.flops == sum(theirs.values())  # asked for are 0.1 % for transformers and 1 % for U-Nets


def flux(config):
    """diffusers' Flux of Open-Sora 2's sizes."""
    sizes = {"patch_size": 1, "in_channels": config["in_channels"], "num_layers": config["depth"]}
    sizes |= {"num_single_layers": config["depth_single_blocks"], "num_attention_heads": config["num_heads"]}
    sizes |= {"attention_head_dim": config["hidden_size"] // config["num_heads"], "guidance_embeds": False}
    sizes |= {"joint_attention_dim": config["context_in_dim"], "pooled_projection_dim": config["vec_in_dim"]}
    return built("FluxTransformer2DModel", sizes)


def test_open_sora_2_is_flux_with_a_layer_for_given_frames(meta):
    model = find("open-sora-2")
    n, text, config = model.grid.tokens, model.conditions["text"], model.config
    plain = dataclasses.replace(model, config={**config, "cond_embed": False})
    assert forward(plain).total.parameters == parameters(flux(config))
    given = forward(model).total.parameters - forward(plain).total.parameters
    assert given == (64 + 4) * 3072 + 3072
    cut = dataclasses.replace(plain, config={**plain.config, "depth": 2, "depth_single_blocks": 3})
    words = (shaped(1, text, 4096), shaped(1, 768), shaped(1), shaped(n, 3), shaped(text, 3))
    assert forward(cut).total.flops == sum(counted(flux(cut.config), (shaped(1, n, 64), *words)).values())


def without_scores(query, key, value, *_, **__):
    """What a fused kernel allocates for attention: its output."""
    return torch.empty(*query.shape[:-1], value.shape[-1], device="meta")


@pytest.mark.parametrize("name", ["wan2.2-ti2v-5b", "hunyuanvideo", "text-to-video-ms-1.7b"])
def test_activations_are_about_what_is_alive(name, meta, monkeypatch):
    model = shallow(find(name))  # two layers of a transformer are as wide as thirty
    network, inputs = BUILDERS[model.architecture](model)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", without_scores)
    with LiveBytes(network, inputs) as live:
        before = live.now
        network(*inputs)
    assert 0.8 < (live.peak - before) / 4 / forward(model).alive < 1.3  # fp32, 4 bytes each
