"""Attention: how tokens look at each other, and how they know where they are.

One equation runs through the module (Vaswani et al. 2017, equation 1):

    attention(Q, K, V) = softmax(Q Kᵀ / √d) V

What differs between video models is only *who may look at whom*. The hidden tokens of a video are a
grid (b, f, n, d): batch, frames, positions of one frame, channels. A layout folds that grid into sequences:

    full       b f n d -> b (f n) d     every token sees the whole clip:      (f n)² scores
    spatial    b f n d -> (b f) n d     a token sees its own frame:          f · n² scores
    temporal   b f n d -> (b n) f d     a token sees its own position:       n · f² scores
"""

import math

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import nn

from minit2v.errors import UserError, nearest

FOLDS = {
    "full": "b f n d -> b (f n) d",
    "spatial": "b f n d -> (b f) n d",
    "temporal": "b f n d -> (b n) f d",
}


# ---- the equation ----------------------------------------------------------------------------------------


def attend(q, k, v, mask=None):
    """Scaled dot-product attention, fused by PyTorch so that the scores are never stored.

    q (b, h, n, d), k and v (b, h, m, d) with h heads -> (b, h, n, d). mask: bool, broadcastable to
    (b, h, n, m), True where a query may look at a key; every query needs one such key.
    """
    if q.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):  # the gradient in bf16 takes six times as long
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def naive_attention(q, k, v, mask=None):
    """The same as `attend`, spelled out, with the (b, h, n, m) scores in memory. For reading and for tests."""
    scores = einsum(q, k, "b h n d, b h m d -> b h n m") / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return einsum(scores.softmax(dim=-1), v, "b h n m, b h m d -> b h n d")


# ---- positions -------------------------------------------------------------------------------------------


def frequencies(count, theta):
    """`count` angular frequencies in radians per step, from 1 down towards 1/theta: theta^(-i / count)."""
    return theta ** (-torch.arange(count, dtype=torch.float64) / count)


def sinusoidal(positions, dim, theta=10_000.0):
    """Fixed sinusoidal embedding (Vaswani et al. 2017, section 3.5): positions (...) -> (..., dim) in [-1, 1].

    The first dim/2 channels are sines, the others the cosines of the same angles. Any real position will do:
    a text uses indices, the transformer's noise level 1000 σ.
    """
    angles = positions[..., None].float() * frequencies(dim // 2, theta).float().to(positions.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)  # (..., dim)


def axis_shares(count):
    """Split `count` frequencies among time, height and width; what does not divide by three goes to time."""
    return count - 2 * (count // 3), count // 3, count // 3


def grid_angles(frames, height, width, count, theta, offset=(0, 0, 0)):
    """Angles of a token grid, (f, h·w, count) float64: each axis has its own share of the channels."""
    steps = [torch.arange(size, dtype=torch.float64) + start
             for size, start in zip((frames, height, width), offset, strict=True)]  # fmt: skip
    grid = torch.meshgrid(*steps, indexing="ij")  # time, height, width of each token: 3 × (f, h, w)
    angles = [place[..., None] * frequencies(share, theta)
              for place, share in zip(grid, axis_shares(count), strict=True)]  # fmt: skip
    return rearrange(torch.cat(angles, dim=-1), "f h w c -> f (h w) c")


def sinusoidal_3d(frames, height, width, dim, theta=10_000.0, offset=(0, 0, 0)):
    """Fixed positions to *add* to tokens, (f, h·w, dim), of unit scale: `sinusoidal` on each of three axes."""
    angles = grid_angles(frames, height, width, dim // 2, theta, offset)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).float()  # (f, n, dim)


def rotary_3d(frames, height, width, head_dim, theta=100.0, offset=(0, 0, 0), dtype=torch.complex64):
    """Rotary positions of a token grid (Su et al. 2021, RoFormer): unit complex numbers (f, h·w, head_dim/2).

    Two neighboring channels of a query or key are one complex number; its position turns it by e^{i·angle}.
    A score then depends on the *difference* of two positions only. Time, height and width each turn their own
    third of the channels. Sizes and offset (t, h, w) are free, so a longer clip than any in training has
    positions too. theta = 100 suits axes of a few to a few hundred steps (Heo et al. 2024, rotary positions
    for vision transformers); language models, with far longer axes, use 10,000.
    """
    angles = grid_angles(frames, height, width, head_dim // 2, theta, offset)
    return torch.polar(torch.ones_like(angles), angles).to(dtype)


def apply_rotary(x, rotation):
    """Turn queries or keys x (..., n, d) by rotation (n, d/2): (x₀ + i x₁) · e^{i·angle}, pair by pair."""
    x0, x1 = x.to(rotation.real.dtype).unflatten(-1, (-1, 2)).unbind(-1)  # (..., n, d/2) each
    cos, sin = rotation.real, rotation.imag
    turned = torch.stack([x0 * cos - x1 * sin, x0 * sin + x1 * cos], dim=-1)  # in reals, which compilers can fuse
    return turned.flatten(-2).to(x.dtype)  # (..., n, d)


# ---- modules ---------------------------------------------------------------------------------------------


def split_heads(x, heads):
    """(b, n, heads · d) -> (b, heads, n, d)"""
    return rearrange(x, "b n (h d) -> b h n d", h=heads)


def merge_heads(x):
    """(b, heads, n, d) -> (b, n, heads · d)"""
    return rearrange(x, "b h n d -> b n (h d)")


class QKNorm(nn.RMSNorm):
    """Queries and keys are RMS-normalized per head, so that the scores cannot grow without bound and the softmax
    cannot freeze (Dehghani et al. 2023, ViT-22B). In the weights' precision, also under autocast."""

    def __init__(self, head_dim):
        super().__init__(head_dim, eps=1e-6)

    def forward(self, x):  # (b, h, n, d)
        return super().forward(x.to(self.weight.dtype))


class SelfAttention(nn.Module):
    """Multi-head self-attention of a sequence (b, n, dim), with QK-norm and optional rotary positions."""

    def __init__(self, dim, heads):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.norm_q = QKNorm(dim // heads)
        self.norm_k = QKNorm(dim // heads)
        self.out = nn.Linear(dim, dim)

    def forward(self, x, rotation=None, mask=None):
        """x (b, n, dim), rotation (n, head_dim/2) complex, mask as in `attend` -> (b, n, dim)."""
        q, k, v = rearrange(self.qkv(x), "b n (s h d) -> s b h n d", s=3, h=self.heads)
        q, k = self.norm_q(q), self.norm_k(k)
        if rotation is not None:
            q, k = apply_rotary(q, rotation), apply_rotary(k, rotation)
        return self.out(merge_heads(attend(q, k, v, mask)))


class CrossAttention(nn.Module):
    """Multi-head attention of a sequence (b, n, dim) to a context (b, m, context_dim), with QK-norm."""

    def __init__(self, dim, heads, context_dim):
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(context_dim, 2 * dim)
        self.norm_q = QKNorm(dim // heads)
        self.norm_k = QKNorm(dim // heads)
        self.out = nn.Linear(dim, dim)

    def forward(self, x, context, mask=None):
        """mask (b, m) bool, True = a real token of the context -> (b, n, dim)."""
        q = split_heads(self.q(x), self.heads)  # (b, h, n, d)
        k, v = rearrange(self.kv(context), "b m (s h d) -> s b h m d", s=2, h=self.heads)
        if mask is not None:
            mask = rearrange(mask, "b m -> b 1 1 m")
        return self.out(merge_heads(attend(self.norm_q(q), self.norm_k(k), v, mask)))


class SpacetimeAttention(nn.Module):
    """Self-attention of a token grid (b, f, n, dim) in one layout: "full", "spatial" or "temporal".

    window: with "full" and "temporal", a token sees only frames at most this many frames away (None: all of
    them). This mask shows what a sliding window does; it saves time only with a kernel that skips what is masked.
    """

    def __init__(self, dim, heads, layout="full", window=None):
        super().__init__()
        check_word("attention layout", layout, FOLDS)
        self.layout, self.window = layout, window
        self.attention = SelfAttention(dim, heads)

    def forward(self, x, rotation=None):
        """x (b, f, n, dim), rotation (f, n, head_dim/2) complex from `rotary_3d` -> (b, f, n, dim)."""
        b, f, n, _ = x.shape
        fold, grid = FOLDS[self.layout], dict(b=b, f=f, n=n)
        source, folded = fold.split(" -> ")
        y = self.attention(rearrange(x, fold), self.fold_rotation(rotation), self.window_mask(f, n, x.device))
        return rearrange(y, f"{folded} -> {source}", **grid)

    def fold_rotation(self, rotation):
        """The rotations of one folded sequence. Within a frame (or a position) all share the time (or the place),
        and a shared turn changes no score: any frame's (position's) rotations will do."""
        if rotation is None:
            return None
        if self.layout == "full":
            return rearrange(rotation, "f n c -> (f n) c")
        return rotation[0] if self.layout == "spatial" else rotation[:, 0]

    def window_mask(self, f, n, device=None):
        """Bool mask over one folded sequence, True = near enough in time; None where no window applies."""
        if self.window is None or self.layout == "spatial":
            return None
        frame = torch.arange(f, device=device)
        if self.layout == "full":
            frame = frame.repeat_interleave(n)  # the frame of each token of (f n)
        return (frame[:, None] - frame[None, :]).abs() <= self.window


# ---- bad configurations ----------------------------------------------------------------------------------


def check_heads(dim, heads):
    """Raises UserError unless dim divides into heads of an even size."""
    if dim % heads or (dim // heads) % 2:
        raise UserError(f"width {dim} does not split into {heads} heads of even size: use a multiple of {2 * heads}")


def check_word(what, word, legal):
    """Raises UserError, with the nearest legal words, unless word is in legal."""
    if word not in legal:
        raise UserError(f"unknown {what} {word!r}: one of {', '.join(legal)}; {nearest(word, legal)}".rstrip("; "))
