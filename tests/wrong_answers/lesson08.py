"""Answers to lesson 08, the spacetime transformer."""

import torch
from einops import rearrange

from minit2v import attention as course
from minit2v.exercises.bank import right, wrong

# ---- 08.1 patchify(latents, patch)


@right("08.1")
def with_rearrange(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (h ph) (w pw) -> b f (h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


@right("08.1")
def with_view_and_permute(latents, patch):
    (pt, ph, pw), (b, f, c, h, w) = patch, latents.shape
    x = latents.reshape(b, f // pt, pt, c, h // ph, ph, w // pw, pw).permute(0, 1, 4, 6, 3, 2, 5, 7)
    return x.reshape(b, f // pt, (h // ph) * (w // pw), c * pt * ph * pw)


@right("08.1")
def cube_by_cube(latents, patch):
    (pt, ph, pw), (b, f, _, h, w) = patch, latents.shape
    frames = []
    for t in range(0, f, pt):
        cubes = [latents[:, t : t + pt, :, y : y + ph, x : x + pw].transpose(1, 2).reshape(b, -1)
                 for y in range(0, h, ph) for x in range(0, w, pw)]  # fmt: skip
        frames.append(torch.stack(cubes, dim=1))
    return torch.stack(frames, dim=1)


@right("08.1")
def with_unfold(latents, patch):
    pt, ph, pw = patch
    x = latents.unfold(1, pt, pt).unfold(3, ph, ph).unfold(4, pw, pw)  # (b, f, c, h, w, pt, ph, pw)
    return rearrange(x, "b f c h w pt ph pw -> b f (h w) (c pt ph pw)")


@wrong("08.1", "spread over")
def parts_first(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (ph h) (pw w) -> b f (h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


@wrong("08.1", "rows and columns are exchanged")
def column_by_column(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (h ph) (w pw) -> b f (w h) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


@wrong("08.1", "another order")
def channels_last(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (h ph) (w pw) -> b f (h w) (pt ph pw c)", pt=pt, ph=ph, pw=pw)


@wrong("08.1", "another order")
def width_before_height(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (h ph) (w pw) -> b f (h w) (c pt pw ph)", pt=pt, ph=ph, pw=pw)


@wrong("08.1", "mixed up")
def only_a_reshape(latents, patch):
    (pt, ph, pw), (b, f, c, h, w) = patch, latents.shape
    return latents.reshape(b, f // pt, (h // ph) * (w // pw), c * pt * ph * pw)


@wrong("08.1", "frames of a token do not lie side by side")
def frames_far_apart(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (pt f) c (h ph) (w pw) -> b f (h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


@wrong("08.1", "axes, and 4 are due")
def one_long_sequence(latents, patch):
    pt, ph, pw = patch
    return rearrange(latents, "b (f pt) c (h ph) (w pw) -> b (f h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


@wrong("08.1", "lost or taken twice")
def repeats_the_corner(latents, patch):
    y = with_rearrange(latents, patch).clone()
    y[..., -1] = y[..., 0]
    return y


# ---- 08.2 rotate(x, angles)


@right("08.2")
def with_complex_numbers(x, angles):
    points = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(points * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


@right("08.2")
def with_a_partner(x, angles):
    cos, sin = angles.cos().repeat_interleave(2, dim=-1), angles.sin().repeat_interleave(2, dim=-1)
    partner = torch.stack([-x[..., 1::2], x[..., 0::2]], dim=-1).flatten(-2)
    return x * cos + partner * sin


@right("08.2")
def with_the_course(x, angles):
    return course.apply_rotary(x, torch.polar(torch.ones_like(angles), angles))


def turned(u, v, angles):
    return torch.stack([u * angles.cos() - v * angles.sin(), u * angles.sin() + v * angles.cos()], dim=-1).flatten(-2)


@wrong("08.2", "half of the channels away")
def halves(x, angles):
    u, v = x.chunk(2, dim=-1)
    return torch.cat([u * angles.cos() - v * angles.sin(), u * angles.sin() + v * angles.cos()], dim=-1)


@wrong("08.2", "wrong direction")
def the_other_way(x, angles):
    return turned(x[..., 0::2], x[..., 1::2], -angles)


@wrong("08.2", "another order")
def not_interleaved(x, angles):
    u, v = x[..., 0::2], x[..., 1::2]
    return torch.cat([u * angles.cos() - v * angles.sin(), u * angles.sin() + v * angles.cos()], dim=-1)


@wrong("08.2", "keeps lengths")
def a_lost_sign(x, angles):
    u, v = x[..., 0::2], x[..., 1::2]
    return torch.stack([u * angles.cos() + v * angles.sin(), u * angles.sin() + v * angles.cos()], dim=-1).flatten(-2)


@wrong("08.2", "keeps lengths")
def one_after_the_other(x, angles):
    u, v = x[..., 0::2], x[..., 1::2]
    u = u * angles.cos() - v * angles.sin()
    v = u * angles.sin() + v * angles.cos()
    return torch.stack([u, v], dim=-1).flatten(-2)


@wrong("08.2", "nothing may turn")
def sine_and_cosine_exchanged(x, angles):
    u, v = x[..., 0::2], x[..., 1::2]
    return torch.stack([u * angles.sin() - v * angles.cos(), u * angles.cos() + v * angles.sin()], dim=-1).flatten(-2)


@wrong("08.2", "turned by the angle of")
def position_of_the_last(x, angles):
    return turned(x[..., 0::2], x[..., 1::2], angles.flip(0))


@wrong("08.2", "in place")
def turned_in_place(x, angles):
    u, v = x[..., 0::2].clone(), x[..., 1::2].clone()
    x[..., 0::2] = u * angles.cos() - v * angles.sin()
    x[..., 1::2] = u * angles.sin() + v * angles.cos()
    return x


# ---- 08.3 modulate(x, shift, scale)


@right("08.3")
def with_none(x, shift, scale):
    return x * (1 + scale[:, :, None]) + shift[:, :, None]


@right("08.3")
def with_addcmul(x, shift, scale):
    return torch.addcmul(x + shift.unsqueeze(2), x, scale.unsqueeze(2))


@right("08.3")
def frame_after_frame(x, shift, scale):
    y = torch.empty_like(x)
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            y[i, t] = x[i, t] + x[i, t] * scale[i, t] + shift[i, t]
    return y


@wrong("08.3", 'must mean "as it is"')
def without_the_one(x, shift, scale):
    return x * scale[:, :, None] + shift[:, :, None]


@wrong("08.3", "exchanged")
def shift_for_scale(x, shift, scale):
    return x * (1 + shift[:, :, None]) + scale[:, :, None]


@wrong("08.3", "Multiply first")
def shifts_first(x, shift, scale):
    return (x + shift[:, :, None]) * (1 + scale[:, :, None])


@wrong("08.3", "wrong axis")
def to_the_places(x, shift, scale):
    return x * (1 + scale[:, None]) + shift[:, None]


@wrong("08.3", "every frame")
def mean_over_frames(x, shift, scale):
    return x * (1 + scale.mean(1)[:, None, None]) + shift.mean(1)[:, None, None]


@wrong("08.3", "every clip of the batch")
def the_first_clips(x, shift, scale):
    return x * (1 + scale[:1, :, None]) + shift[:1, :, None]


@wrong("08.3", "wrong sign")
def shift_taken_away(x, shift, scale):
    return x * (1 + scale[:, :, None]) - shift[:, :, None]


@wrong("08.3", "in place")
def multiplied_in_place(x, shift, scale):
    return x.mul_(1 + scale[:, :, None]).add_(shift[:, :, None])


# ---- 08.4 temporal_attention(tokens, attention)


@right("08.4")
def rearranged(tokens, attention):
    y = attention(rearrange(tokens, "b f n d -> (b n) f d"))
    return rearrange(y, "(b n) f d -> b f n d", b=len(tokens))


@right("08.4")
def place_by_place(tokens, attention):
    return torch.stack([attention(tokens[:, :, i]) for i in range(tokens.shape[2])], dim=2)


@right("08.4")
def transposed(tokens, attention):
    moved = tokens.transpose(1, 2)  # (b, n, f, d)
    return attention(moved.flatten(0, 1)).view(moved.shape).transpose(1, 2)


@wrong("08.4", "spatial attention")
def within_frames(tokens, attention):
    y = attention(rearrange(tokens, "b f n d -> (b f) n d"))
    return rearrange(y, "(b f) n d -> b f n d", b=len(tokens))


@wrong("08.4", "full attention")
def everything(tokens, attention):
    y = attention(rearrange(tokens, "b f n d -> b (f n) d"))
    return rearrange(y, "b (f n) d -> b f n d", f=tokens.shape[1])


@wrong("08.4", "a reshape used")
def only_reshapes(tokens, attention):
    b, f, n, d = tokens.shape
    return attention(tokens.reshape(b * n, f, d)).reshape(b, f, n, d)


@wrong("08.4", "mixed up on the way")
def back_by_a_reshape(tokens, attention):
    return attention(rearrange(tokens, "b f n d -> (b n) f d")).reshape(tokens.shape)


@wrong("08.4", "clips")
def batch_and_places_exchanged(tokens, attention):
    y = attention(rearrange(tokens, "b f n d -> (b n) f d"))
    return rearrange(y, "(n b) f d -> b f n d", b=len(tokens))


@wrong("08.4", "never call")
def no_attention(tokens, attention):
    return tokens.clone()


@wrong("08.4", "block's business")
def adds_the_tokens(tokens, attention):
    return tokens + rearranged(tokens, attention)


@wrong("08.4", "swapped")
def stays_folded_the_wrong_way(tokens, attention):
    y = attention(rearrange(tokens, "b f n d -> (b n) f d"))
    return rearrange(y, "(b n) f d -> b n f d", b=len(tokens))
