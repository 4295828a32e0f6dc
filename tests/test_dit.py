"""The transformer by its values: which outputs move, what stays the same, and what a fresh one predicts."""

import pytest
import torch
from torch import nn

from minit2v import dit
from minit2v.attention import apply_rotary, naive_attention
from minit2v.dit import DiT, DiTConfig, patchify, unpatchify
from minit2v.errors import UserError
from minit2v.text import TextFeatures

SMALL = dict(channels=3, dim=24, layers=2, heads=2, text_dim=10, mlp_ratio=2)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model(seed=0, **changes):
    """A small transformer with every weight random: none of adaLN-zero's zeros is left."""
    torch.manual_seed(seed)
    net = DiT(DiTConfig(**{**SMALL, **changes}))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net.eval()


def words(b=2, n=4):
    """Text features, the last word of sample 0 being padding."""
    mask = torch.ones(b, n, dtype=torch.bool)
    mask[0, -1] = False
    return TextFeatures(random(b, n, 10, seed=1), mask, random(b, 10, seed=2))


def moved(before, after):
    """Which (frame, row, column) latents of batch element 0 changed: bool (f, h, w)."""
    return (before - after).abs().amax(2)[0] > 1e-6


def levels(b=2, f=3):
    return torch.linspace(0.2, 0.9, b * f).reshape(b, f)


# ---- the start ----


@pytest.mark.parametrize("attention", ["full", "factorised"])
def test_a_fresh_transformer_predicts_exactly_zero(attention):
    torch.manual_seed(0)
    net = DiT(DiTConfig(**SMALL, attention=attention))
    assert torch.equal(net(random(2, 3, 3, 4, 4), levels(), words()), torch.zeros(2, 3, 3, 4, 4))


def test_a_fresh_block_is_the_identity():
    torch.manual_seed(0)
    net = DiT(DiTConfig(**SMALL))
    _, modulation = net.modulation(levels(), words().pooled)
    x = random(2, 3, 4, 24)
    assert torch.equal(net.blocks[0](x, modulation, words()), x)


@pytest.mark.parametrize("attention", dit.LAYOUTS)
def test_gradients_reach_every_parameter(attention):
    net = model(attention=attention)
    net(random(2, 3, 3, 4, 4), levels(), words()).square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


def test_training_opens_the_zeros():
    """From the true start, not a random one: after three steps every parameter has moved."""
    torch.manual_seed(0)
    net = DiT(DiTConfig(**SMALL))
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        (net(random(2, 3, 3, 4, 4), levels(), words()) - random(2, 3, 3, 4, 4, seed=5)).square().mean().backward()
        optimizer.step()
    still = [name for name, p in net.named_parameters() if torch.equal(p, start[name])]
    assert not still


# ---- cubes ----


@pytest.mark.parametrize("patch", [(1, 2, 2), (2, 2, 4), (1, 1, 1), (4, 1, 2)])
def test_unpatchify_undoes_patchify(patch):
    latents = random(2, 4, 3, 6, 8)
    height = 6 // patch[1]
    assert torch.equal(unpatchify(patchify(latents, patch), patch, height), latents)


def test_a_cube_holds_the_latents_of_its_place():
    latents = random(1, 4, 3, 6, 8)
    cube = patchify(latents, (2, 3, 2))[0, 1, 1 * 4 + 2]  # frames 2–3, rows 3–5, columns 4–5
    assert torch.equal(cube, latents[0, 2:4, :, 3:6, 4:6].transpose(0, 1).flatten())


# ---- who sees whom ----


def outputs_that_move(place, attention, **changes):
    net, x = model(attention=attention, **changes), random(2, 3, 3, 4, 6)
    changed = x.clone()
    changed[(0, place[0], slice(None), *place[1:])] += 1
    before, after = net(x, levels(), words()), net(changed, levels(), words())
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=1e-6)  # the other sample
    return moved(before, after)


def test_spatial_attention_moves_its_frame_only():
    expected = torch.zeros(3, 4, 6, dtype=torch.bool)
    expected[1] = True
    assert torch.equal(outputs_that_move((1, 0, 5), "spatial"), expected)


def test_temporal_attention_moves_its_patch_in_every_frame():
    expected = torch.zeros(3, 4, 6, dtype=torch.bool)
    expected[:, 2:4, 4:6] = True  # the 2 × 2 patch that holds row 3, column 4
    assert torch.equal(outputs_that_move((1, 3, 4), "temporal"), expected)


def test_one_spatial_and_one_temporal_layer_reach_everything():
    assert outputs_that_move((1, 3, 4), "factorised").all()
    assert DiTConfig(layers=5, attention="factorised").layouts == ("spatial", "temporal") * 2 + ("spatial",)


def test_full_attention_moves_everything():
    assert outputs_that_move((1, 3, 4), "full", layers=1).all()


def test_a_window_of_one_frame_reaches_one_frame_further_per_layer():
    net, x = model(layers=2, window=1), random(1, 6, 3, 4, 4)
    changed = x.clone()
    changed[0, 0] += 1
    arguments = levels(1, 6), words(1)
    frames = moved(net(x, *arguments), net(changed, *arguments)).flatten(1)
    assert frames.all(1).tolist() == frames.any(1).tolist() == [True, True, True, False, False, False]


# ---- temporal strength ----


@pytest.mark.parametrize("attention", ["full", "factorised"])
def test_at_no_temporal_strength_frames_do_not_hear_of_each_other(attention):
    net, x = model(attention=attention), random(2, 3, 3, 4, 6)
    net.temporal_strength, changed = 0.0, x.clone()
    changed[0, 1, :, 0, 5] += 1
    before, after = net(x, levels(), words()), net(changed, levels(), words())
    frames = moved(before, after).flatten(1)
    assert frames.any(1).tolist() == [False, True, False]
    assert attention == "factorised" or frames[1].all()  # its own frame hears all of it


def test_at_no_temporal_strength_full_attention_is_spatial_attention():
    full, spatial = model(attention="full"), model(attention="spatial")
    full.temporal_strength, arguments = 0.0, (random(2, 3, 3, 4, 6), levels(), words())
    torch.testing.assert_close(full(*arguments), spatial(*arguments), rtol=0, atol=1e-5)


def test_temporal_strength_weakens_what_frames_hear_of_each_other():
    net, x, seen = model(layers=1), random(1, 3, 3, 4, 4), []
    changed = x.clone()
    changed[0, 0] += 1
    for net.temporal_strength in (0.0, 0.1, 0.4, 0.7, 1.0):
        reaction = net(changed, levels(1), words(1)) - net(x, levels(1), words(1))
        seen.append(reaction[:, 1:].detach().norm().item())  # of the other frames
    assert seen[0] < 1e-5 and seen == sorted(seen)


def test_full_temporal_strength_is_the_attention_alone():
    net, arguments = model(), (random(2, 3, 3, 4, 6), levels(), words())
    before, calls = net(*arguments), []
    for block in net.blocks:
        block.attention.register_forward_hook(lambda _, given, __: calls.append(given[0].shape))
    assert torch.equal(net(*arguments), before) and calls == [(2, 3, 6, 24)] * 2
    net.temporal_strength = 0.5
    half = net.blocks[0].attend(x := random(2, 3, 6, 24), None, 0.5)
    ends = [net.blocks[0].attend(x, None, strength) for strength in (0.0, 1.0)]
    torch.testing.assert_close(half, sum(ends) / 2, rtol=0, atol=1e-6)


# ---- noise level per latent frame ----


def test_a_frames_noise_level_moves_that_frame_only():
    """Without temporal mixing: attention within frames, and the noise level enters per frame."""
    net, x, level = model(attention="spatial"), random(2, 3, 3, 4, 4), levels()
    changed = level.clone()
    changed[0, 2] = 0.1
    frames = moved(net(x, level, words()), net(x, changed, words())).flatten(1)
    assert frames.all(1).tolist() == frames.any(1).tolist() == [False, False, True]


def test_a_cubes_noise_level_is_the_mean_of_its_frames():
    net, x = model(patch=(2, 2, 2)), random(1, 4, 3, 4, 4)
    one = net(x, torch.tensor([[0.2, 0.4, 0.9, 0.9]]), words(1))
    same = net(x, torch.tensor([[0.3, 0.3, 1.0, 0.8]]), words(1))
    other = net(x, torch.tensor([[0.3, 0.3, 1.0, 0.9]]), words(1))
    torch.testing.assert_close(one, same, rtol=0, atol=1e-5)
    assert (one - other).abs().max() > 1e-3


def test_equal_levels_treat_frames_alike():
    """With spatial attention, identical frames at one level come out identical; at two levels they do not."""
    net = model(attention="spatial", positions="rotary")
    x = random(1, 1, 3, 4, 4).expand(1, 3, 3, 4, 4)
    alike = net(x, torch.full((1, 3), 0.7), words(1))
    alone = net(x[:, :1], torch.full((1, 1), 0.7), words(1))
    torch.testing.assert_close(alike, alone.expand_as(alike), rtol=0, atol=1e-5)
    unlike = net(x, torch.tensor([[0.7, 0.7, 0.2]]), words(1))
    assert moved(unlike[:, [1, 2]], unlike[:, [0, 0]]).flatten(1).any(1).tolist() == [False, True]


# ---- text ----


def test_padded_words_have_no_influence():
    net, x, text = model(), random(2, 3, 3, 4, 4), words()
    before = net(x, levels(), text)
    text.tokens[0, -1] += 100  # padding
    assert torch.equal(net(x, levels(), text), before)
    torch.testing.assert_close(net(x, levels(), text.padded(9)), before, rtol=0, atol=1e-5)
    text.tokens[0, 1] += 1  # a real word
    assert moved(before, net(x, levels(), text)).all()


def test_the_pooled_text_moves_everything():
    net, x, text = model(), random(2, 3, 3, 4, 4), words()
    before = net(x, levels(), text)
    text.pooled[0] += 1
    after = net(x, levels(), text)
    assert moved(before, after).all()
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=1e-6)


# ---- sizes, positions, batches ----


def test_each_sample_stands_alone():
    net, x, text = model(), random(2, 3, 3, 4, 4), words()
    both = net(x, levels(), text)
    for i in range(2):
        one = TextFeatures(text.tokens[i : i + 1], text.mask[i : i + 1], text.pooled[i : i + 1])
        torch.testing.assert_close(net(x[i : i + 1], levels()[i : i + 1], one)[0], both[i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("positions", dit.POSITIONS)
def test_positions_tell_frames_and_places_apart(positions):
    """Swap two frames (or two columns of patches) of the input: the output is more than swapped."""
    net, x = model(positions=positions), random(1, 3, 3, 4, 4)
    level, text = torch.full((1, 3), 0.5), words(1)
    before = net(x, level, text)
    for axis, order in [(1, [1, 0, 2]), (4, [2, 3, 0, 1]), (3, [2, 3, 0, 1])]:
        order = torch.tensor(order)
        after = net(x.index_select(axis, order), level, text)
        assert (after - before.index_select(axis, order)).abs().max() > 1e-3


@pytest.mark.parametrize("attention", ["full", "factorised"])
def test_longer_and_larger_clips_than_in_training_run(attention):
    net = model(attention=attention)
    velocity = net(random(1, 17, 3, 8, 12), levels(1, 17), words(1))
    assert velocity.shape == (1, 17, 3, 8, 12)
    assert velocity.isfinite().all()


def test_attention_choices_share_their_weights():
    full, factorised = model(), model(attention="factorised")
    factorised.load_state_dict(full.state_dict())
    x = random(2, 3, 3, 4, 4)
    assert not torch.allclose(full(x, levels(), words()), factorised(x, levels(), words()))


# ---- a naive reference of one block, from the equations ----


def test_a_block_follows_its_equations():
    net = model().double()
    block, b, f, n, d, heads = net.blocks[0], 2, 3, 4, 24, 2
    x, modulation = random(b, f, n, d).double(), random(b, f, 6, d, seed=4).double()
    text = words().to(torch.float64)
    rotation = dit.rotary_3d(f, 2, 2, d // heads, dtype=torch.complex128)

    def norm(x):
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-6).sqrt()

    def rms(x, weight):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

    def split(x):  # (b, n, heads · 12) -> (b, heads, n, 12)
        return torch.stack(x.split(d // heads, dim=-1), 1)

    def merge(x):
        return torch.cat(x.unbind(1), -1)

    def per_token(row):  # one of the six, for each token: (b, f · n, d)
        return (modulation + block.table)[:, :, row].repeat_interleave(n, dim=1)

    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = (per_token(row) for row in range(6))
    tokens = x.reshape(b, f * n, d)

    a = block.attention.attention
    q, k, v = (split(part) for part in a.qkv(norm(tokens) * (1 + scale) + shift).split(d, dim=-1))
    q, k = (apply_rotary(rms(z, m.weight), rotation.reshape(f * n, -1)) for z, m in ((q, a.norm_q), (k, a.norm_k)))
    tokens = tokens + gate * a.out(merge(naive_attention(q, k, v)))

    c = block.text_attention
    q = split(c.q(norm(tokens) * block.norm_text.weight + block.norm_text.bias))
    k, v = (split(part) for part in c.kv(text.tokens).split(d, dim=-1))
    mask = text.mask[:, None, None]
    tokens = tokens + c.out(merge(naive_attention(rms(q, c.norm_q.weight), rms(k, c.norm_k.weight), v, mask)))

    hidden = block.mlp[0](norm(tokens) * (1 + mlp_scale) + mlp_shift)
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    expected = tokens + mlp_gate * block.mlp[2](hidden)
    torch.testing.assert_close(block(x, modulation, text, rotation).flatten(1, 2), expected, rtol=0, atol=1e-10)


# ---- bad input ----


@pytest.mark.parametrize(
    "shape,message",
    [
        ((1, 3, 3, 4, 5), "latent width 5 does not divide by the patch: use a multiple of 2"),
        ((1, 3, 3, 3, 4), "latent height 3 does not divide"),
    ],
)
def test_latents_that_the_patch_does_not_divide(shape, message):
    with pytest.raises(UserError, match=message):
        model()(random(*shape), levels(1), words(1))


def test_frames_that_the_patch_does_not_divide():
    with pytest.raises(UserError, match="latent frames 5 does not divide by the patch: use a multiple of 2"):
        model(patch=(2, 2, 2))(random(1, 5, 3, 4, 4), levels(1, 5), words(1))


def test_bad_configurations_and_conditions():
    with pytest.raises(UserError, match=r"unknown attention 'factorized'.*did you mean 'factorised'"):
        DiTConfig(attention="factorized")
    with pytest.raises(UserError, match="unknown positions 'learned'"):
        DiTConfig(positions="learned")
    with pytest.raises(UserError, match="width 100 does not split into 6 heads"):
        DiTConfig(dim=100)
    with pytest.raises(UserError, match="noise level 0"):
        model()(random(1, 3, 3, 4, 4), levels(1), words(1), condition=random(1, 3, 3, 4, 4))
    assert DiTConfig(patch=[1, 2, 2]) == DiTConfig(patch=(1, 2, 2))  # as it comes back from JSON
