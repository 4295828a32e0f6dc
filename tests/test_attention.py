"""Attention against naive float64 references, and exactly which outputs move when one input does."""

import cmath
import math

import pytest
import torch
from torch import nn

from minit2v.attention import (
    CrossAttention,
    SelfAttention,
    SpacetimeAttention,
    apply_rotary,
    attend,
    axis_shares,
    naive_attention,
    rotary_3d,
    sinusoidal,
    sinusoidal_3d,
)
from minit2v.errors import UserError

F, H, W, DIM, HEADS = 3, 2, 4, 24, 2  # the token grid (f, h, w), 12 channels per head
N = H * W


def moved(before, after):
    """Which (frame, position) outputs of batch element 0 changed: bool (f, n)."""
    return (before - after).abs().amax(-1)[0] > 1e-7


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(make, *args, seed=0, **kwargs):
    """A module with weights from a fixed seed; norms and biases too, so that nothing hides behind ones and zeros."""
    torch.manual_seed(seed)
    module = make(*args, **kwargs)
    for parameter in module.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, 1.0, 0.3)
    return module


# ---- the equation ----


def loops(q, k, v, mask):
    """softmax(q·k / √d) v for one head with nothing but Python floats."""
    out = []
    for i, query in enumerate(q):
        scores = [sum(a * b for a, b in zip(query, key, strict=True)) / math.sqrt(len(query)) for key in k]
        weights = [math.exp(s) if mask[i][j] else 0.0 for j, s in enumerate(scores)]
        total = sum(weights)
        out.append([sum(w * x[c] for w, x in zip(weights, v, strict=True)) / total for c in range(len(v[0]))])
    return out


@pytest.mark.parametrize("function", [attend, naive_attention])
def test_attention_is_the_equation(function):
    q, k, v = (random(1, 1, n, 4, seed=n, dtype=torch.float64) for n in (5, 6, 6))
    mask = random(5, 6, seed=9) > -0.3
    mask[:, 0] = True
    expected = loops(q[0, 0].tolist(), k[0, 0].tolist(), v[0, 0].tolist(), mask.tolist())
    torch.testing.assert_close(function(q, k, v, mask)[0, 0], torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("masked", [False, True])
def test_fused_and_naive_attention_agree(masked):
    q, k, v = (random(2, 3, n, 8, seed=n, dtype=torch.float64) for n in (5, 7, 7))
    mask = torch.arange(7) < torch.tensor([4, 7])[:, None, None, None] if masked else None
    torch.testing.assert_close(attend(q, k, v, mask), naive_attention(q, k, v, mask), rtol=0, atol=1e-12)


def test_self_attention_is_multi_head_attention():
    """With its norms switched off, the module computes what torch.nn.MultiheadAttention does with its weights."""
    ours = seeded(SelfAttention, DIM, HEADS).double()
    ours.norm_q = ours.norm_k = nn.Identity()
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x = random(2, 5, DIM, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0], rtol=0, atol=1e-12)


def test_cross_attention_with_qk_norm_and_mask_is_diffusers():
    processor = pytest.importorskip("diffusers.models.attention_processor")
    ours = seeded(CrossAttention, DIM, HEADS, context_dim=10).double()
    theirs = processor.Attention(
        DIM, 10, heads=HEADS, dim_head=DIM // HEADS, bias=True, qk_norm="rms_norm", eps=1e-6
    ).double()
    key, value = ours.kv.weight.chunk(2)
    key_bias, value_bias = ours.kv.bias.chunk(2)
    theirs.load_state_dict(
        {
            **{f"to_q.{name}": p for name, p in ours.q.named_parameters()},
            **{"to_k.weight": key, "to_v.weight": value, "to_k.bias": key_bias, "to_v.bias": value_bias},
            **{f"to_out.0.{name}": p for name, p in ours.out.named_parameters()},
            **{"norm_q.weight": ours.norm_q.weight, "norm_k.weight": ours.norm_k.weight},
        }
    )
    x, context = random(2, 5, DIM, dtype=torch.float64), random(2, 7, 10, seed=1, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([[4], [7]])
    expected = theirs(x, context, attention_mask=mask[:, None, None])
    torch.testing.assert_close(ours(x, context, mask), expected, rtol=0, atol=1e-6)  # its norm is float32


def test_qk_norm_makes_scores_blind_to_the_size_of_queries_and_keys():
    module = seeded(SelfAttention, DIM, HEADS)
    x = random(1, 5, DIM)
    before = module(x)
    with torch.no_grad():
        module.qkv.weight[: 2 * DIM] *= 50
        module.qkv.bias[: 2 * DIM] *= 50
    torch.testing.assert_close(module(x), before, rtol=0, atol=1e-5)


# ---- layouts: who sees whom ----


def outputs_that_move(layout, frame, position, window=None, frames=F):
    module = seeded(SpacetimeAttention, DIM, HEADS, layout, window)
    rotation = rotary_3d(frames, H, W, DIM // HEADS)
    x = random(2, frames, N, DIM)
    changed = x.clone()
    changed[0, frame, position] += 1
    before, after = module(x, rotation), module(changed, rotation)
    assert torch.equal(before[1], after[1]), "another batch element moved"
    return moved(before, after)


@pytest.mark.parametrize("frame,position", [(0, 0), (1, 6), (2, 3)])
def test_spatial_attention_moves_one_frame(frame, position):
    expected = torch.zeros(F, N, dtype=torch.bool)
    expected[frame] = True
    assert torch.equal(outputs_that_move("spatial", frame, position), expected)


@pytest.mark.parametrize("frame,position", [(0, 0), (1, 6), (2, 3)])
def test_temporal_attention_moves_one_position(frame, position):
    expected = torch.zeros(F, N, dtype=torch.bool)
    expected[:, position] = True
    assert torch.equal(outputs_that_move("temporal", frame, position), expected)


def test_full_attention_moves_everything():
    assert outputs_that_move("full", 1, 6).all()


@pytest.mark.parametrize("layout", ["full", "temporal"])
def test_a_window_reaches_only_near_frames(layout):
    near = (torch.arange(6) - 4).abs() <= 1
    expected = near[:, None].expand(6, N).clone()
    if layout == "temporal":
        expected &= torch.arange(N) == 5
    assert torch.equal(outputs_that_move(layout, 4, 5, window=1, frames=6), expected)


@pytest.mark.parametrize("layout", ["spatial", "temporal"])
def test_folded_layouts_equal_a_loop(layout):
    """Each frame (each position) on its own, with the full rotation of just its tokens, gives the same."""
    module = seeded(SpacetimeAttention, DIM, HEADS, layout)
    x, rotation = random(2, F, N, DIM), rotary_3d(F, H, W, DIM // HEADS)
    axis, count = (1, F) if layout == "spatial" else (2, N)
    parts = [module.attention(x.select(axis, i), rotation.select(axis - 1, i)) for i in range(count)]
    torch.testing.assert_close(module(x, rotation), torch.stack(parts, axis), rtol=0, atol=1e-5)


def test_one_frame_of_full_attention_is_spatial_attention():
    full, spatial = (seeded(SpacetimeAttention, DIM, HEADS, layout) for layout in ("full", "spatial"))
    x, rotation = random(2, 1, N, DIM), rotary_3d(1, H, W, DIM // HEADS)
    torch.testing.assert_close(full(x, rotation), spatial(x, rotation), rtol=0, atol=1e-6)


# ---- positions ----


def test_rotary_scores_depend_on_relative_offsets_only():
    q, k = (random(F * N, 12, seed=s, dtype=torch.float64) for s in (1, 2))

    def scores(offset):
        rotation = rotary_3d(F, H, W, 12, offset=offset, dtype=torch.complex128).flatten(0, 1)
        return apply_rotary(q, rotation) @ apply_rotary(k, rotation).T

    torch.testing.assert_close(scores((7, 3, 11)), scores((0, 0, 0)), rtol=0, atol=1e-12)
    one, other = rotary_3d(F, H, W, 12)[0, 0], rotary_3d(F, H, W, 12, offset=(1, 0, 0))[0, 0]
    assert not torch.allclose(one, other), "the offset did nothing"


def test_rotary_is_complex_multiplication_token_by_token():
    head_dim, theta = 14, 100.0  # 7 pairs: 3 for time, 2 for height, 2 for width
    x = random(F * N, head_dim, dtype=torch.float64)
    rotation = rotary_3d(F, H, W, head_dim, theta, dtype=torch.complex128).flatten(0, 1)
    turned = apply_rotary(x, rotation)
    tokens = [(t, h, w) for t in range(F) for h in range(H) for w in range(W)]
    for token, (t, h, w) in enumerate(tokens):
        angles = [t * theta ** (-i / 3) for i in range(3)]
        angles += [place * theta ** (-i / 2) for place in (h, w) for i in range(2)]
        for pair, angle in enumerate(angles):
            z = complex(*x[token, 2 * pair : 2 * pair + 2]) * cmath.exp(1j * angle)
            assert complex(*turned[token, 2 * pair : 2 * pair + 2]) == pytest.approx(z, abs=1e-12)


def test_a_longer_clip_continues_the_positions():
    short, long = rotary_3d(5, H, W, 12), rotary_3d(17, H, W, 12)
    assert torch.equal(long[:5], short)
    assert torch.equal(long[5:10], rotary_3d(5, H, W, 12, offset=(5, 0, 0)))


def test_sinusoidal_is_the_formula():
    embedding = sinusoidal(torch.tensor([[0.0, 3.5]]), 8)
    angles = [3.5 * 10_000 ** (-i / 4) for i in range(4)]
    expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    torch.testing.assert_close(embedding[0], torch.tensor([[0.0] * 4 + [1.0] * 4, expected]), rtol=0, atol=1e-6)


def test_every_token_has_its_own_position_of_unit_scale():
    positions = sinusoidal_3d(F, H, W, 32).flatten(0, 1)  # (f · n, 32)
    assert torch.cdist(positions, positions).fill_diagonal_(9).min() > 0.1
    torch.testing.assert_close(positions.square().mean(-1), torch.full((F * N,), 0.5))  # mean of sin² + cos²


def test_axis_shares_use_every_channel():
    assert [axis_shares(n) for n in (16, 6, 7)] == [(6, 5, 5), (2, 2, 2), (3, 2, 2)]


# ---- bad configurations ----


def test_bad_words_and_widths_say_the_fix():
    with pytest.raises(UserError, match=r"unknown attention layout 'spatail'.*did you mean 'spatial'"):
        SpacetimeAttention(DIM, HEADS, "spatail")
    with pytest.raises(UserError, match="width 24 does not split into 5 heads of even size: use a multiple of 10"):
        SelfAttention(24, 5)
