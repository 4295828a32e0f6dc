"""The U-Net by its values: which outputs move, what stays the same, and what a fresh one predicts."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from minit2v.attention import naive_attention, rotary_3d
from minit2v.errors import UserError
from minit2v.optimizers import hidden_matrices
from minit2v.text import TextFeatures
from minit2v.unet import (
    FrameNorm,
    UNet,
    UNetConfig,
    fold,
    inflate,
    repeat_source,
    spatial_parameters,
    temporal_parameters,
    unfold,
)

SMALL = dict(channels=3, widths=(8, 16), blocks=(1, 1), heads=2, text_dim=10, embedding=6)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def opened(net, seed=0):
    """The same network with every weight random: no zero of its start is left."""
    torch.manual_seed(seed)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net.eval()


def model(**changes):
    return opened(UNet(UNetConfig(**{**SMALL, **changes})))


def words(b=2, n=4):
    """Text features, the last word of sample 0 being padding."""
    mask = torch.ones(b, n, dtype=torch.bool)
    mask[0, -1] = False
    return TextFeatures(random(b, n, 10, seed=1), mask, random(b, 10, seed=2))


def levels(b=2, f=3):
    return torch.linspace(0.2, 0.9, b * f).reshape(b, f)


def moved(before, after):
    """Which (frame, row, column) latents of batch element 0 changed: bool (f, h, w)."""
    return (before - after).abs().amax(2)[0] > 1e-6


def frames_moved(before, after):
    """The frames of batch element 0 that changed, each of them everywhere; no other sample changed at all."""
    torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=1e-6)
    changed = moved(before, after).flatten(1)
    assert torch.equal(changed.any(1), changed.all(1))
    return changed.any(1).nonzero().flatten().tolist()


# ---- the start ----


def test_a_fresh_unet_predicts_exactly_zero():
    torch.manual_seed(0)
    net = UNet(UNetConfig(**SMALL))
    assert torch.equal(net(random(2, 3, 3, 4, 4), levels(), words()), torch.zeros(2, 3, 3, 4, 4))


def test_a_fresh_block_is_the_identity():
    torch.manual_seed(0)
    net, x = UNet(UNetConfig(**SMALL)), random(2, 3, 2, 2, 16)
    rotation = net.context(random(2, 3, 3, 4, 4), levels(), words()).rotations[1]
    assert torch.equal(net.middle[0].spatial(x, random(2, 3, 6), words(), rotation), x)


def test_gradients_reach_every_parameter():
    net = model()
    net(random(2, 3, 3, 4, 4), levels(), words()).square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def train(net, steps, *extra):
    """A few steps of plain gradient descent towards noise; returns the gradients of the last."""
    for _ in range(steps):
        error = net(random(2, 3, 3, 4, 4), levels(), words(), *extra) - random(2, 3, 3, 4, 4, seed=5)
        gradients = torch.autograd.grad(error.square().mean(), list(net.parameters()), materialize_grads=True)
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= 0.5 * gradient
    return dict(zip([name for name, _ in net.named_parameters()], gradients, strict=True))


def test_training_opens_the_zeros():
    """From the true start: the head learns first, then the branches' last layers, then all."""
    torch.manual_seed(0)
    gradients = train(UNet(UNetConfig(**SMALL)), 3)
    assert not [name for name, gradient in gradients.items() if not gradient.abs().sum() > 0]


def test_the_parameters_are_those_of_the_formula():
    """Counted by hand: taps · in · out per convolution, two vectors per norm, and so on."""

    def linear(a, b):
        return a * b + b

    def block(c, taps, attention):
        text, d, head = 128, 128, c // 4
        self_attention = linear(c, 3 * c) + linear(c, c) + 2 * head
        cross_attention = linear(c, c) + linear(text, 2 * c) + linear(c, c) + 2 * head
        convolutions = 2 * c + 2 * linear(taps * c, c) + linear(d, 2 * c)
        return convolutions + attention * (4 * c + self_attention + cross_attention)

    embedding = linear(256, 128) + linear(128, 128) + linear(128, 128) + linear(128, 128)
    ends = linear(9 * 4, 64) + 2 * 64 + linear(9 * 64, 4)
    between = linear(4 * 64, 128) + linear(128, 4 * 64) + linear(4 * 128, 192) + linear(192, 4 * 128)
    merges = linear(2 * 64, 64) + linear(2 * 128, 128)
    blocks = 2 * block(64, 9, False) + 2 * block(128, 9, True) + 2 * block(192, 9, True)
    temporal = 2 * block(64, 5, False) + 4 * block(128, 5, True) + 2 * block(192, 5, True)
    net = UNet(UNetConfig(widths=(64, 128, 192), blocks=(1, 1, 2), temporal=(1, 2, 1), kernel=5))
    counts = [sum(p.numel() for p in part(net).values()) for part in (spatial_parameters, temporal_parameters)]
    assert counts == [embedding + ends + between + merges + blocks, embedding + linear(128, 128) + temporal]


# ---- who sees whom ----


def test_a_frame_moves_itself_only():
    net, x = model(), random(2, 3, 3, 4, 4)
    changed = x.clone()
    changed[0, 1, 0, 2, 1] += 1
    assert frames_moved(net(x, levels(), words()), net(changed, levels(), words())) == [1]


def test_a_frames_noise_level_moves_that_frame_only():
    net, x, level = model(), random(2, 3, 3, 4, 4), levels()
    changed = level.clone()
    changed[0, 2] = 0.1
    assert frames_moved(net(x, level, words()), net(x, changed, words())) == [2]


def test_permuted_frames_come_out_permuted():
    net, x, level, order = model(), random(2, 3, 3, 4, 4), levels(), torch.tensor([2, 0, 1])
    before, after = net(x, level, words()), net(x[:, order], level[:, order], words())
    torch.testing.assert_close(after, before[:, order], rtol=0, atol=1e-5)


def test_each_sample_stands_alone():
    net, x, text = model(), random(2, 3, 3, 4, 4), words()
    both = net(x, levels(), text)
    for i in range(2):
        one = TextFeatures(text.tokens[i : i + 1], text.mask[i : i + 1], text.pooled[i : i + 1])
        torch.testing.assert_close(net(x[i : i + 1], levels()[i : i + 1], one)[0], both[i], rtol=1e-5, atol=1e-5)


def test_padded_words_have_no_influence_and_real_ones_have():
    net, x, text = model(), random(2, 3, 3, 4, 4), words()
    before = net(x, levels(), text)
    text.tokens[0, -1] += 100  # padding
    assert torch.equal(net(x, levels(), text), before)
    torch.testing.assert_close(net(x, levels(), text.padded(9)), before, rtol=0, atol=1e-5)
    text.tokens[0, 1] += 1  # a real word
    assert frames_moved(before, net(x, levels(), text)) == [0, 1, 2]


def test_the_pooled_text_moves_everything():
    net, x, text = model(), random(2, 3, 3, 4, 4), words()
    before = net(x, levels(), text)
    text.pooled[0] += 1
    assert frames_moved(before, net(x, levels(), text)) == [0, 1, 2]


def test_a_norm_learns_where_its_input_does_not():
    """As the first temporal norm behind frozen blocks does; PyTorch's own gradient crashes there."""
    norm, x, upstream = FrameNorm(16), random(2, 3, 4, 4, 16), random(2, 3, 4, 4, 16, seed=1)
    (norm(x) * upstream).sum().backward()
    torch.testing.assert_close(norm.weight.grad, (frame_norm(x) * upstream).sum((0, 1, 2, 3)), rtol=0, atol=1e-4)
    torch.testing.assert_close(norm.bias.grad, upstream.sum((0, 1, 2, 3)), rtol=0, atol=1e-4)
    assert not x.requires_grad


# ---- the U ----


@pytest.mark.parametrize("open_ways", [("skip", "coarse"), ("skip",), ("coarse",), ()])
def test_two_ways_lead_through_the_u(open_ways):
    """Over the skip and over the coarse scale: with both shut, nothing of the latents comes out; with one, they do."""
    net, x = model(), random(2, 3, 3, 4, 4)
    ways = {"coarse": slice(0, 8), "skip": slice(8, 16)}  # the columns of the merge: [grown, skip]
    for way in ways.keys() - set(open_ways):
        net.up[0][0].merge.weight.data[:, ways[way]] = 0
    changed = x.clone()
    changed[0, 1] += 1
    frames = frames_moved(net(x, levels(), words()), net(changed, levels(), words()))
    assert frames == ([1] if open_ways else [])


def test_each_skip_goes_to_its_twin():
    """Two layers per scale: the last on the way down is the first on the way up."""
    net, seen = model(blocks=(2, 1)), {}
    for side in ("down", "up"):
        for i, layer in enumerate(getattr(net, side)[0]):
            layer.register_forward_hook(lambda _, given, out, key=(side, i): seen.update({key: (given, out)}))
    net(random(1, 2, 3, 4, 4), levels(1, 2), words(1))
    for i in range(2):
        assert seen["up", i][0][-1] is seen["down", 1 - i][1]  # given last: the skip


def test_folding_keeps_places():
    x = random(1, 1, 4, 6, 8)
    folded = fold(x)
    assert torch.equal(folded[0, 0, 1, 2], torch.cat([x[0, 0, 2, 4], x[0, 0, 2, 5], x[0, 0, 3, 4], x[0, 0, 3, 5]]))
    assert torch.equal(unfold(folded), x)


# ---- a naive reference of one block, from the equations ----


def layer_norm(x, norm):
    y = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()
    return y * norm.weight + norm.bias


def frame_norm(x):
    """Each frame of each sample (b, f, h, w, c) in eight groups of channels."""
    groups = x.unflatten(-1, (8, -1))
    mean = groups.mean((2, 3, 5), keepdim=True)
    variance = (groups - mean).square().mean((2, 3, 5), keepdim=True)
    return ((groups - mean) / (variance + 1e-6).sqrt()).flatten(-2)


def silu(x):
    return x / (1 + torch.exp(-x))


def naive_temporal_conv(x, conv):
    """Kernel 3 along time with zeros before and after the clip, frame by frame: x (b, f, h, w, c)."""
    y = torch.zeros_like(x) + conv.bias
    for frame in range(x.shape[1]):
        for tap, other in enumerate((frame - 1, frame, frame + 1)):
            if 0 <= other < x.shape[1]:
                y[:, frame] += x[:, other] @ conv.weight[:, :, tap, 0].T
    return y


def naive_conv(x, conv):
    """A 3 × 3 convolution with zeros around the picture, tap by tap: x (b, f, h, w, c)."""
    y = torch.zeros_like(x) + conv.bias
    h, w = x.shape[2:4]
    for row in range(h):
        for column in range(w):
            for i in range(3):
                for j in range(3):
                    r, c = row + i - 1, column + j - 1
                    if 0 <= r < h and 0 <= c < w:
                        y[:, :, row, column] += x[:, :, r, c] @ conv.weight[:, :, i, j].T
    return y


def heads(x):  # (b, n, 2 · d) -> (b, 2, n, d)
    return torch.stack(x.chunk(2, dim=-1), 1)


def rms(x, norm):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight


def turned(x, angles):
    """Queries or keys (b, heads, n, d) turned by angles (n, d/2), channel pair by channel pair."""
    z = torch.complex(x[..., 0::2], x[..., 1::2]) * torch.polar(torch.ones_like(angles), angles)
    return torch.stack([z.real, z.imag], -1).flatten(-2)


def naive_self_attention(x, attention, angles):
    q, k, v = (heads(part) for part in attention.qkv(x).chunk(3, dim=-1))
    q, k = turned(rms(q, attention.norm_q), angles), turned(rms(k, attention.norm_k), angles)
    return attention.out(torch.cat(naive_attention(q, k, v).unbind(1), -1))


def naive_cross_attention(x, attention, text):
    q = rms(heads(attention.q(x)), attention.norm_q)
    k, v = (heads(part) for part in attention.kv(text.tokens).chunk(2, dim=-1))
    mixed = naive_attention(q, rms(k, attention.norm_k), v, text.mask[:, None, None])
    return attention.out(torch.cat(mixed.unbind(1), -1))


def naive_convolve(x, block, embedding, conv):
    shift, scale = block.modulation(silu(embedding))[:, :, None, None].chunk(2, dim=-1)
    y = conv(silu(frame_norm(x) * block.norm_in.weight + block.norm_in.bias), block.conv_in)
    return conv(silu(frame_norm(y) * (1 + scale) + shift), block.conv_out)


@pytest.mark.parametrize("layout,conv", [("spatial", naive_conv), ("temporal", naive_temporal_conv)])
def test_a_block_follows_its_equations(layout, conv):
    net, text = model(temporal=(0, 1)).double(), words().to(torch.float64)
    block = net.middle[0].spatial if layout == "spatial" else net.middle[0].temporal[0]
    x, embedding = random(2, 3, 2, 2, 16).double(), random(2, 3, 6, seed=4).double()
    rotation = rotary_3d(3, 2, 2, 8, dtype=torch.complex128)  # (f, n, d/2)

    expected = (x + naive_convolve(x, block, embedding, conv)).reshape(2, 3, 4, 16)
    attention, normed = block.attention.attention, layer_norm(expected, block.norm_attention)
    if layout == "spatial":  # each frame a sequence of its own
        frames = [naive_self_attention(normed[:, t], attention, rotation[t].angle()) for t in range(3)]
        expected = expected + torch.stack(frames, 1)
    else:  # each pixel
        pixels = [naive_self_attention(normed[:, :, n], attention, rotation[:, n].angle()) for n in range(4)]
        expected = expected + torch.stack(pixels, 2)
    expected = expected.reshape(2, 12, 16)  # each clip one sequence
    expected = expected + naive_cross_attention(layer_norm(expected, block.norm_text), block.text_attention, text)
    torch.testing.assert_close(block(x, embedding, text, rotation), expected.view_as(x), rtol=0, atol=1e-10)


def test_the_embeddings_follow_their_equations():
    net, level, pooled = model(temporal=(0, 1)).double(), levels(), words().pooled.double()

    def waves(position, dim):
        angles = position[..., None] * 1e4 ** (-torch.arange(dim // 2, dtype=torch.float64) / (dim // 2))
        return torch.cat([angles.sin(), angles.cos()], -1)

    def mlp(x, layers):
        return layers[2](silu(layers[0](x)))

    for embedding in (net.embedding, net.temporal_embedding):
        expected = mlp(waves(1000 * level.double(), 256), embedding.noise)
        expected = expected + mlp(pooled, embedding.text)[:, None]
        if embedding is net.temporal_embedding:
            expected = expected + embedding.frame(waves(torch.arange(3), 6))
        torch.testing.assert_close(embedding(level, pooled), expected, rtol=0, atol=1e-3)  # angles to 1000 in fp32


# ---- inflation ----


VIDEO = UNetConfig(**SMALL, temporal=(1, 2), window=2)


def test_inflation_changes_nothing_at_first():
    image, x = model(), random(2, 5, 3, 4, 4)
    video = inflate(image, VIDEO)
    expected = image(x, levels(2, 5), words())
    assert expected.abs().max() > 0.1
    assert torch.equal(video(x, levels(2, 5), words()), expected)
    frames = [image(x[:, t : t + 1], levels(2, 5)[:, t : t + 1], words()) for t in range(5)]
    torch.testing.assert_close(torch.cat(frames, 1), expected, rtol=0, atol=1e-5)


def test_inflation_copies_the_weights_and_adds_temporal_ones():
    image = model()
    video = inflate(image, VIDEO)
    spatial, temporal = spatial_parameters(video), temporal_parameters(video)
    assert list(spatial) == list(image.state_dict()) == list(dict(image.named_parameters()))
    assert set(video.state_dict()) == {*spatial, *temporal}
    for name, parameter in image.named_parameters():
        assert torch.equal(parameter, spatial[name])
        assert parameter.data_ptr() != spatial[name].data_ptr()  # a copy
    blocks = {name.partition(".temporal.")[0] for name in temporal if ".temporal." in name}
    assert blocks == {"down.0.0", "middle.0", "up.0.0"}
    assert "middle.0.temporal.1.attention.attention.qkv.weight" in temporal


def test_every_temporal_parameter_learns_by_the_second_step():
    gradients = train(inflate(model(), VIDEO), 2)
    idle = [name for name, gradient in gradients.items() if not gradient.abs().sum() > 0]
    assert not idle


def test_frozen_spatial_weights_leave_the_temporal_ones_to_muon():
    video = inflate(model(), VIDEO)
    for parameter in spatial_parameters(video).values():
        parameter.requires_grad_(False)
    hidden = hidden_matrices(video)
    assert len(hidden) > 10
    assert all(".temporal." in name and "modulation" not in name for name in hidden)


@pytest.mark.parametrize(
    "changes,reach",
    [
        (dict(temporal=(0, 1), kernel=3, window=0), 2),  # one block, two convolutions
        (dict(temporal=(1, 0), kernel=3, window=0), 4),  # a block on the way down, another on the way up
        (dict(temporal=(0, 2), kernel=3, window=0), 4),
        (dict(temporal=(0, 1), kernel=5, window=0), 4),
        (dict(temporal=(0, 1), kernel=1, window=1), 1),
        (dict(temporal=(0, 1), kernel=1, window=3), 3),
        (dict(temporal=(0, 1), kernel=3, window=1), 3),
        (dict(temporal=(0, 1), kernel=1, window=None), 11),
        (dict(temporal=(0, 1), kernel=1, window=0), 0),
    ],
)
def test_time_reaches_as_far_as_kernel_and_window(changes, reach):
    net, x = model(**changes), random(2, 11, 3, 4, 4)
    changed = x.clone()
    changed[0, 5] += 1
    near = [frame for frame in range(11) if abs(frame - 5) <= reach]
    arguments = levels(2, 11), words()
    assert frames_moved(net(x, *arguments), net(changed, *arguments)) == near


@pytest.mark.parametrize("part", ["tokens", "pooled"])
def test_temporal_blocks_read_the_text_themselves(part):
    """With an image U-Net that is deaf to every word."""
    net, text = model(temporal=(0, 1)), words()
    for name, parameter in spatial_parameters(net).items():
        if "text" in name:
            nn.init.zeros_(parameter)
    arguments = random(2, 3, 3, 4, 4), levels(), text
    before = net(*arguments)
    getattr(text, part)[0, 0] += 1
    assert frames_moved(before, net(*arguments)) == [0, 1, 2]


def test_temporal_blocks_know_which_frame_it_is():
    """Frames alike in everything but their place come out unlike; without the embedding's frame and the clip's ends
    they would not."""
    net = model(temporal=(0, 1), kernel=1)
    x, level = random(1, 1, 3, 4, 4).expand(1, 4, 3, 4, 4), torch.full((1, 4), 0.7)
    assert (net(x, level, words(1)).diff(dim=1).abs().amax((2, 3, 4)) > 1e-3).all()
    nn.init.zeros_(net.temporal_embedding.frame.weight)
    assert (net(x, level, words(1)).diff(dim=1).abs() < 1e-5).all()


def test_a_longer_clip_begins_as_the_shorter_one():
    """Positions count from the first frame, and go on past any length: only frames within reach of the end differ."""
    net, x, level = model(temporal=(0, 1), window=1), random(1, 33, 3, 4, 4), levels(1, 33)
    long, short = net(x, level, words(1)), net(x[:, :17], level[:, :17], words(1))
    same = (long[:, :17] - short).abs().amax((0, 2, 3, 4)) < 1e-5
    assert same.tolist() == [True] * 14 + [False] * 3


def test_clips_of_one_frame_train_too():
    """A still goes through the middle tap of each temporal kernel."""
    net = model(temporal=(1, 1))
    net(random(4, 1, 3, 4, 4), levels(4, 1), words(4)).square().sum().backward()
    taps = net.middle[0].temporal[0].conv_in.weight.grad.abs().sum((0, 1, 3))
    assert (taps > 0).tolist() == [False, True, False]


@pytest.mark.parametrize("changes", [dict(widths=(8, 24)), dict(text_dim=12), dict(attention_from=0)])
def test_inflation_refuses_what_does_not_fit(changes):
    (name,) = changes
    with pytest.raises(UserError, match=f"{name} .* does not fit a video U-Net around {name}"):
        inflate(model(), UNetConfig(**{**SMALL, **changes}, temporal=(1, 1)))


def test_inflation_happens_once():
    with pytest.raises(UserError, match=r"temporal \(1, 2\) does not fit"):
        inflate(UNet(VIDEO), replace(VIDEO, temporal=(2, 2)))


def test_a_video_unet_is_taught_to_take_a_picture():
    video, condition = opened(UNet(VIDEO)), repeat_source(random(2, 3, 4, 4, seed=3), 3)
    taught = inflate(video, replace(VIDEO, conditioned=True))
    arguments = random(2, 3, 3, 4, 4), levels(), words()
    assert torch.equal(taught(*arguments, condition), video(*arguments))
    assert set(taught.state_dict()) - set(video.state_dict()) == {"embed_condition.weight", "embed_condition.bias"}


def test_layers_that_are_not_heard_do_not_learn():
    """No gradient at all, rather than one of 0: an optimizer with momentum would move them on."""
    net = model(temporal=(1, 1))
    net.temporal_strength = 0.0
    net(random(2, 3, 3, 4, 4), levels(), words()).square().sum().backward()
    assert all(parameter.grad is None for parameter in temporal_parameters(net).values())
    assert all(parameter.grad is not None for parameter in spatial_parameters(net).values())


# ---- the knob ----


def test_without_temporal_strength_a_video_unet_is_its_image_unet():
    image = model()
    video = inflate(image, VIDEO)
    for parameter in temporal_parameters(video).values():
        nn.init.normal_(parameter, std=0.3)
    arguments = random(2, 5, 3, 4, 4), levels(2, 5), words()
    assert (video(*arguments) - image(*arguments)).abs().max() > 0.1
    video.temporal_strength = 0.0
    assert torch.equal(video(*arguments), image(*arguments))


def test_temporal_strength_weakens_what_frames_hear_of_each_other():
    net, x = model(temporal=(0, 1)), random(1, 5, 3, 4, 4)
    changed = x.clone()
    changed[0, 2] += 1e-2
    heard = []
    for net.temporal_strength in (0.0, 0.1, 0.4, 0.7, 1.0):
        difference = net(changed, levels(1, 5), words(1)) - net(x, levels(1, 5), words(1))
        heard.append(difference[:, [0, 1, 3, 4]].square().mean().sqrt().item())
    assert heard[0] == 0
    assert heard == sorted(heard)


def test_full_strength_is_the_block_alone():
    net = model(temporal=(0, 1))
    x, context = random(2, 3, 2, 2, 16), net.context(random(2, 3, 3, 4, 4), levels(), words())
    layer = net.middle[0]
    still = layer.spatial(x, context.embedding, context.text, context.rotations[1])
    mixed = layer.temporal[0](still, context.temporal_embedding, context.text, context.rotations[1])
    assert torch.equal(layer(x, context), mixed)
    half = layer(x, context._replace(temporal_strength=0.5))
    torch.testing.assert_close(half, (still + mixed) / 2, rtol=0, atol=1e-5)


def test_half_precision_is_near():
    net = model(temporal=(1, 1), conditioned=True)
    for parameter in net.parameters():
        parameter.data *= 0.5
    arguments = random(2, 3, 3, 4, 4), levels(), words(), repeat_source(random(2, 3, 4, 4, seed=3), 3)
    with torch.autocast("cpu", torch.bfloat16):
        velocity = net(*arguments)
    torch.testing.assert_close(velocity.float(), net(*arguments), rtol=0.1, atol=0.02)


# ---- the source picture ----


def test_a_source_is_repeated_and_marked():
    source, noise = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    condition = repeat_source(source, 5)
    assert all(torch.equal(condition[:, t, :3], source) for t in range(5))
    assert condition[:, :, 3].amin((2, 3)).tolist() == condition[:, :, 3].amax((2, 3)).tolist() == [[1, 0, 0, 0, 0]] * 2
    noisy = repeat_source(source, 5, torch.tensor([0.25, 1.0]), noise)
    torch.testing.assert_close(noisy[0, 4, :3], 0.75 * source[0] + 0.25 * noise[0])
    torch.testing.assert_close(noisy[1, 4, :3], noise[1])
    assert noisy[:, :2, 3, 0, 0].tolist() == [[0.75, 0], [0, 0]]


def test_a_source_moves_all_frames():
    net, source = model(conditioned=True), random(2, 3, 4, 4, seed=3)
    arguments = random(2, 3, 3, 4, 4), levels(), words()
    before, none = net(*arguments, repeat_source(source, 3)), net(*arguments, torch.zeros(2, 3, 4, 4, 4))
    assert moved(before, none).any((1, 2)).all()
    source[0] += 1
    assert frames_moved(before, net(*arguments, repeat_source(source, 3))) == [0, 1, 2]


def test_the_mask_tells_frame_0_from_the_others():
    net, x = model(conditioned=True), random(1, 1, 3, 4, 4).expand(1, 3, 3, 4, 4)
    velocity = net(x, torch.full((1, 3), 0.7), words(1), repeat_source(random(1, 3, 4, 4, seed=3), 3))
    assert moved(velocity[:, [0, 1]], velocity[:, [1, 2]]).any((1, 2)).tolist() == [True, False]


def test_a_condition_is_concatenated():
    """The two first convolutions are one, of the concatenated channels."""
    net, x, condition = model(conditioned=True), random(2, 3, 3, 4, 4), random(2, 3, 4, 4, 4, seed=3)
    weight = torch.cat([net.embed.weight, net.embed_condition.weight], 1)  # (c', 3 + 4, 3, 3)
    bias = net.embed.bias + net.embed_condition.bias
    expected = nn.functional.conv2d(torch.cat([x, condition], 2).flatten(0, 1), weight, bias, padding=1)
    entered = net.enter(x, condition).movedim(-1, 2).flatten(0, 1)
    torch.testing.assert_close(entered, expected, rtol=0, atol=1e-5)


def test_a_source_enters_silently_and_learns():
    image, condition = model(), repeat_source(random(2, 3, 4, 4, seed=3), 3)
    video = inflate(image, replace(VIDEO, conditioned=True))
    arguments = random(2, 3, 3, 4, 4), levels(), words()
    assert torch.equal(video(*arguments, condition), image(*arguments))
    assert "embed_condition.weight" in temporal_parameters(video)
    gradients = train(video, 2, condition)
    assert not [name for name, gradient in gradients.items() if not gradient.abs().sum() > 0]


def test_conditions_that_are_missing_or_not_wanted():
    arguments = random(2, 3, 3, 4, 4), levels(), words()
    with pytest.raises(UserError, match=r"condition None: it must be \(2, 3, 4, 4, 4\); make it with repeat_source"):
        model(conditioned=True)(*arguments)
    with pytest.raises(UserError, match=r"condition \(2, 5, 4, 4, 4\): it must be"):
        model(conditioned=True)(*arguments, repeat_source(random(2, 3, 4, 4), 5))
    with pytest.raises(UserError, match="takes no condition"):
        model()(*arguments, repeat_source(random(2, 3, 4, 4), 3))


# ---- sizes, optimizers, bad input ----


@pytest.mark.parametrize("frames", [1, 5, 17, 33])
def test_sizes_other_than_in_training_run(frames):
    velocity = model(temporal=(1, 1))(random(1, frames, 3, 6, 10), levels(1, frames), words(1))
    assert velocity.shape == (1, frames, 3, 6, 10)
    assert velocity.isfinite().all()


def test_muon_gets_the_hidden_matrices():
    net = UNet(UNetConfig(**SMALL))
    hidden = hidden_matrices(net)
    assert {"down.0.0.spatial.conv_in.weight", "middle.0.spatial.attention.attention.qkv.weight"} <= set(hidden)
    assert {"shrink.0.weight", "up.0.0.merge.weight"} <= set(hidden)
    assert not [name for name in hidden if name.startswith(("embed", "head")) or "modulation" in name]


@pytest.mark.parametrize("shape,word", [((1, 3, 3, 4, 5), "width 5"), ((1, 3, 3, 3, 4), "height 3")])
def test_latents_that_do_not_halve(shape, word):
    with pytest.raises(UserError, match=f"latent {word} does not halve evenly: use a multiple of 2"):
        model()(random(*shape), levels(1), words(1))


def test_configurations():
    config = UNetConfig(**SMALL, temporal=(1, 2), window=3, conditioned=True)
    assert config.still == UNetConfig(**SMALL)
    assert UNetConfig(**json.loads(json.dumps(asdict(config)))) == config
    assert UNetConfig().grid(17, 8, 12) == (17, 4, 6)
    with pytest.raises(UserError, match="width 16 does not split into 5 heads"):
        UNetConfig(**{**SMALL, "widths": (40, 16), "heads": 5})
    with pytest.raises(UserError, match="width 12 does not split into 8 groups"):
        UNetConfig(**{**SMALL, "widths": (8, 12)})
    with pytest.raises(UserError, match="give one number per width"):
        UNetConfig(**{**SMALL, "blocks": (1,)})
    with pytest.raises(UserError, match=r"temporal \(1,\) for 2 scales: give one number per width"):
        UNetConfig(**SMALL, temporal=(1,))
    with pytest.raises(UserError, match="temporal kernel 4: use an odd number"):
        UNetConfig(**SMALL, kernel=4)
