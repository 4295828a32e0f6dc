"""Answers to lesson 09, the temporal U-Net."""

import torch
import torch.nn.functional as F
from einops import rearrange

from minit2v.exercises.bank import right, wrong

# ---- 09.1 begin_branch(width, kernel, random)


@right("09.1")
def last_one_of_zeros(width, kernel, random):
    return random(width, width, kernel) / (width * kernel) ** 0.5, torch.zeros(width, width, kernel)


@right("09.1")
def first_one_of_zeros(width, kernel, random):
    """The other way round works, too: the silence then comes from the first layer."""
    return torch.zeros(width, width, kernel), random(width, width, kernel)


@right("09.1")
def begins_with_the_identity(width, kernel, random):
    first = torch.nn.init.dirac_(torch.empty(width, width, kernel))
    return [first, torch.zeros_like(first)]


@wrong("09.1", "silent for ever")
def both_of_zeros(width, kernel, random):
    return torch.zeros(width, width, kernel), torch.zeros(width, width, kernel)


@wrong("09.1", "not silent")
def both_random(width, kernel, random):
    return random(width, width, kernel), random(width, width, kernel)


@wrong("09.1", "quiet, but not silent")
def nearly_zeros(width, kernel, random):
    return random(width, width, kernel) / (width * kernel) ** 0.5, 1e-3 * random(width, width, kernel)


@wrong("09.1", "begin alike")
def first_one_of_ones(width, kernel, random):
    return torch.ones(width, width, kernel), torch.zeros(width, width, kernel)


@wrong("09.1", "not silent")
def last_one_is_the_identity(width, kernel, random):
    last = torch.nn.init.dirac_(torch.empty(width, width, kernel))
    return random(width, width, kernel), last


@wrong("09.1", "axes are swapped")
def kernel_first(width, kernel, random):
    return random(kernel, width, width), torch.zeros(kernel, width, width)


@wrong("09.1", "tuple of 2")
def only_the_last(width, kernel, random):
    return torch.zeros(width, width, kernel)


@wrong("09.1", "stays dead")
def half_of_the_channels(width, kernel, random):
    first = random(width, width, kernel) / (width * kernel) ** 0.5
    first[: width // 2] = 0
    return first, torch.zeros(width, width, kernel)


# ---- 09.2 temporal_conv(x, weight, bias)


def folded(x, weight, bias, padding):
    y = F.conv2d(rearrange(x, "b f c h w -> b c f (h w)"), weight[..., None], bias, padding=padding)
    return rearrange(y, "b c f (h w) -> b f c h w", h=x.shape[3])


@right("09.2")
def as_one_picture(x, weight, bias):
    return folded(x, weight, bias, (weight.shape[2] // 2, 0))


@right("09.2")
def by_shifts(x, weight, bias):
    f, k = x.shape[1], weight.shape[2]
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, k // 2, k // 2))
    taps = [torch.einsum("bfchw,oc->bfohw", padded[:, j : j + f], weight[:, :, j]) for j in range(k)]
    return sum(taps) + bias[:, None, None]


@right("09.2")
def place_by_place(x, weight, bias):
    y = F.conv1d(rearrange(x, "b f c h w -> (b h w) c f"), weight, bias, padding="same")
    return rearrange(y, "(b h w) c f -> b f c h w", h=x.shape[3], w=x.shape[4])


@right("09.2")
def in_three_dimensions(x, weight, bias):
    y = F.conv3d(x.transpose(1, 2), weight[..., None, None], bias, padding=(weight.shape[2] // 2, 0, 0))
    return y.transpose(1, 2)


@wrong("09.2", "ends are lost")
def without_padding(x, weight, bias):
    return folded(x, weight, bias, 0)


@wrong("09.2", "past only")
def causal(x, weight, bias):
    k = weight.shape[2]
    padded = torch.cat([x.new_zeros(len(x), k - 1, *x.shape[2:]), x], dim=1)
    return folded(padded, weight, bias, 0)


@wrong("09.2", "runs backwards")
def flipped(x, weight, bias):
    return as_one_picture(x, weight.flip(2), bias)


@wrong("09.2", "bias is left out")
def no_bias(x, weight, bias):
    return as_one_picture(x, weight, None)


@wrong("09.2", "broadcast from the right")
def bias_to_the_columns(x, weight, bias):
    y = as_one_picture(x, weight, None)
    return y + bias if y.shape[-1] == len(bias) else y + bias[:, None, None]


@wrong("09.2", "axes reshaped where they must be moved")
def a_reshape_for_a_move(x, weight, bias):
    b, f, c, h, w = x.shape
    y = F.conv2d(x.reshape(b, c, f, h * w), weight[..., None], bias, padding=(weight.shape[2] // 2, 0))
    return y.reshape(b, f, len(weight), h, w)


@wrong("09.2", "along another axis")
def down_the_rows(x, weight, bias):
    y = F.conv2d(x.flatten(0, 1), weight[..., None], bias, padding=(weight.shape[2] // 2, 0))
    return y.unflatten(0, x.shape[:2])


@wrong("09.2", "other clips")
def clips_in_one_row(x, weight, bias):
    b, _, _, h, w = x.shape
    y = F.conv1d(rearrange(x, "b f c h w -> (h w) c (b f)"), weight, bias, padding="same")
    return rearrange(y, "(h w) c (b f) -> b f c h w", b=b, h=h, w=w)


@wrong("09.2", "beyond the first and the last frame")
def ends_repeated(x, weight, bias):
    half = weight.shape[2] // 2
    padded = torch.cat([x[:, :1]] * half + [x] + [x[:, -1:]] * half, dim=1)
    return folded(padded, weight, bias, 0)


@wrong("09.2", "beyond the first and the last frame")
def a_circle_of_frames(x, weight, bias):
    half = weight.shape[2] // 2
    return folded(torch.cat([x[:, -half:], x, x[:, :half]], dim=1), weight, bias, 0)


@wrong("09.2", "output channels are exchanged")
def transposed(x, weight, bias):
    return as_one_picture(x, weight.transpose(0, 1) if weight.shape[0] == weight.shape[1] else weight, bias)


@wrong("09.2", "come apart in the same order")
def unfolded_in_another_order(x, weight, bias):
    rows = rearrange(x, "b f c h w -> (b h w) c f")
    y = F.conv1d(rows, weight, bias, padding=weight.shape[2] // 2)
    return rearrange(y, "(h w b) c f -> b f c h w", h=x.shape[3], w=x.shape[4])


@wrong("09.2", "another place moves")
def columns_for_rows(x, weight, bias):
    picture = rearrange(x, "b f c h w -> b c f (h w)")
    y = F.conv2d(picture, weight[..., None], bias, padding=(weight.shape[2] // 2, 0))
    return rearrange(y, "b c f (w h) -> b f c h w", h=x.shape[3])


@wrong("09.2", "times as much as its weight says")
def the_mean_of_the_frames(x, weight, bias):
    y = folded(x, weight, None, (weight.shape[2] // 2, 0))
    return y / weight.shape[2] + bias[:, None, None]


@wrong("09.2", "more than once")
def a_bias_for_each_tap(x, weight, bias):
    half, f = weight.shape[2] // 2, x.shape[1]
    z = F.pad(x, (0, 0, 0, 0, 0, 0, half, half))
    taps = [torch.einsum("b f c h w, o c -> b f o h w", z[:, j : j + f], weight[..., j]) + bias[:, None, None]
            for j in range(weight.shape[2])]  # fmt: skip
    return sum(taps)


@wrong("09.2", "half its length")
def three_taps_of_any(x, weight, bias):
    middle = weight.shape[2] // 2
    return folded(x, weight[..., middle - 1 : middle + 2], bias, (1, 0))


@wrong("09.2", "output channels are exchanged")
def in_before_out(x, weight, bias):
    half, f = weight.shape[2] // 2, x.shape[1]
    z = F.pad(x, (0, 0, 0, 0, 0, 0, half, half))
    taps = [torch.einsum("b f c h w, c o -> b f o h w", z[:, j : j + f], weight[..., j])
            for j in range(weight.shape[2])]  # fmt: skip
    return sum(taps) + bias[:, None, None]


@wrong("09.2", "taps lie apart")
def every_second_frame(x, weight, bias):
    rows = rearrange(x, "b f c h w -> (b h w) c f")
    y = F.conv1d(rows, weight, bias, padding=2 * (weight.shape[2] // 2), dilation=2)
    return rearrange(y, "(b h w) c f -> b f c h w", h=x.shape[3], w=x.shape[4])


@wrong("09.2", "reverse order")
def last_frame_first(x, weight, bias):
    return by_shifts(x, weight, bias).flip(1)


@wrong("09.2", "around what goes in")
def zeros_around_the_result(x, weight, bias):
    half, y = weight.shape[2] // 2, by_shifts(x, weight, bias)
    return F.pad(y[:, half : x.shape[1] - half], (0, 0, 0, 0, 0, 0, half, half))


@wrong("09.2", "hears of itself alone")
def channels_apart(x, weight, bias):
    if weight.shape[0] != weight.shape[1]:
        return by_shifts(x, weight, bias)
    return by_shifts(x, weight * torch.eye(len(weight))[..., None], bias)


@wrong("09.2", "the input is added")
def with_the_input(x, weight, bias):
    y = by_shifts(x, weight, bias)
    return y + x if y.shape == x.shape else y


@wrong("09.2", "such as an activation")
def with_an_activation(x, weight, bias):
    return F.silu(by_shifts(x, weight, bias))


@wrong("09.2", "is -1 times that")
def bias_taken_away(x, weight, bias):
    return by_shifts(x, weight, -bias)


# ---- 09.3 temporal_attention(q, k, v, table)


def places(x):
    return rearrange(x, "b f h w d -> (b h w) f d")


def back(y, like):
    b, _, h, w, _ = like.shape
    return rearrange(y, "(b h w) f d -> b f h w d", b=b, h=h, w=w)


def bias(f, table, sign=1):
    far, t = len(table) // 2, torch.arange(f)
    return table[(sign * (t[None, :] - t[:, None])).clamp(-far, far) + far]


def scores(q, k):
    return places(q) @ places(k).transpose(1, 2) / q.shape[-1] ** 0.5


def mixed(weights, v):
    return back(weights @ places(v), v)


@right("09.3")
def with_rearrange(q, k, v, table):
    return mixed((scores(q, k) + bias(q.shape[1], table)).softmax(dim=-1), v)


@right("09.3")
def with_the_fused_kernel(q, k, v, table):
    y = F.scaled_dot_product_attention(*(places(x)[:, None] for x in (q, k, v)), attn_mask=bias(q.shape[1], table))
    return back(y[:, 0], v)


@right("09.3")
def frame_by_frame(q, k, v, table):
    far, f = len(table) // 2, q.shape[1]
    out = torch.zeros_like(v)
    for t in range(f):
        each = [(q[:, t] * k[:, s]).sum(-1) / q.shape[-1] ** 0.5 + table[max(-far, min(far, s - t)) + far]
                for s in range(f)]  # fmt: skip
        weights = torch.stack(each, dim=1).softmax(dim=1)  # (b, f, h, w)
        out[:, t] = (weights[..., None] * v).sum(dim=1)
    return out


@wrong("09.3", "wrong sign")
def query_minus_key(q, k, v, table):
    return mixed((scores(q, k) + bias(q.shape[1], table, -1)).softmax(dim=-1), v)


@wrong("09.3", "without its sign")
def absolute_distance(q, k, v, table):
    far, t = len(table) // 2, torch.arange(q.shape[1])
    apart = (t[None, :] - t[:, None]).abs().clamp(max=far) + far
    return mixed((scores(q, k) + table[apart]).softmax(dim=-1), v)


@wrong("09.3", "without its sign")
def absolute_from_the_front(q, k, v, table):
    far, t = len(table) // 2, torch.arange(q.shape[1])
    return mixed((scores(q, k) + table[(t[None, :] - t[:, None]).abs().clamp(max=far)]).softmax(dim=-1), v)


@wrong("09.3", "table has no effect")
def no_table(q, k, v, table):
    return mixed(scores(q, k).softmax(dim=-1), v)


@wrong("09.3", "not divided by √d")
def no_scale(q, k, v, table):
    return mixed((places(q) @ places(k).transpose(1, 2) + bias(q.shape[1], table)).softmax(dim=-1), v)


@wrong("09.3", "table is divided by √d")
def all_of_it_scaled(q, k, v, table):
    raw = places(q) @ places(k).transpose(1, 2) + bias(q.shape[1], table)
    return mixed((raw / q.shape[-1] ** 0.5).softmax(dim=-1), v)


@wrong("09.3", "over the queries")
def softmax_over_queries(q, k, v, table):
    return mixed((scores(q, k) + bias(q.shape[1], table)).softmax(dim=-2), v)


@wrong("09.3", "counts from the other end")
def wraps_round(q, k, v, table):
    far, t = len(table) // 2, torch.arange(q.shape[1])
    return mixed((scores(q, k) + table[(t[None, :] - t[:, None] + far) % len(table)]).softmax(dim=-1), v)


@wrong("09.3", "nothing is masked")
def looks_back_only(q, k, v, table):
    f = q.shape[1]
    hidden = torch.ones(f, f, dtype=torch.bool).triu(1)
    return mixed((scores(q, k) + bias(f, table)).masked_fill(hidden, -1e9).softmax(dim=-1), v)


@wrong("09.3", "spatial attention")
def within_the_frame(q, k, v, table):
    b, _, h, _, d = q.shape
    a, c, e = (rearrange(x, "b f h w d -> (b f) (h w) d") for x in (q, k, v))
    y = (a @ c.transpose(1, 2) / d**0.5).softmax(dim=-1) @ e
    return rearrange(y, "(b f) (h w) d -> b f h w d", b=b, h=h)


@wrong("09.3", "must be moved, not reshaped")
def only_reshapes(q, k, v, table):
    b, f, h, w, d = q.shape
    a, c, e = (x.reshape(b * h * w, f, d) for x in (q, k, v))
    return ((a @ c.transpose(1, 2) / d**0.5 + bias(f, table)).softmax(dim=-1) @ e).reshape(v.shape)


@wrong("09.3", "queries and keys are exchanged")
def keys_ask(q, k, v, table):
    return mixed((scores(k, q) + bias(q.shape[1], table)).softmax(dim=-1), v)


@wrong("09.3", "it is multiplied")
def times_the_table(q, k, v, table):
    return mixed((scores(q, k) * bias(q.shape[1], table)).softmax(dim=-1), v)


@wrong("09.3", "one entry off")
def one_frame_late(q, k, v, table):
    t, far = torch.arange(q.shape[1]), len(table) // 2
    apart = (t[None, :] - t[:, None] + 1).clamp(-far, far) + far
    return mixed((scores(q, k) + table[apart]).softmax(dim=-1), v)


@wrong("09.3", "the key's own frame")
def by_the_frame(q, k, v, table):
    entry = table[torch.arange(q.shape[1]).clamp(max=len(table) - 1)]
    return mixed((scores(q, k) + entry).softmax(dim=-1), v)


@wrong("09.3", "the weights of another move")
def weights_for_the_whole_frame(q, k, v, table):
    total = torch.einsum("b q h w d, b k h w d -> b q k", q, k) / q.shape[-1] ** 0.5
    weights = (total + bias(q.shape[1], table)).softmax(dim=-1)
    return torch.einsum("b q k, b k h w d -> b q h w d", weights, v)


@wrong("09.3", "do not sum to 1")
def table_behind_the_softmax(q, k, v, table):
    return mixed(scores(q, k).softmax(dim=-1) + bias(q.shape[1], table), v)


@wrong("09.3", "outermost entry")
def nothing_farther_away(q, k, v, table):
    t = torch.arange(q.shape[1])
    near = (t[None, :] - t[:, None]).abs() <= len(table) // 2
    return mixed((scores(q, k) + near * bias(q.shape[1], table)).softmax(dim=-1), v)


@wrong("09.3", "number of frames")
def scaled_by_the_frames(q, k, v, table):
    total = scores(q, k) * (q.shape[-1] / q.shape[1]) ** 0.5
    return mixed((total + bias(q.shape[1], table)).softmax(dim=-1), v)


@wrong("09.3", "outermost entries are never used")
def cut_off_too_early(q, k, v, table):
    t, far = torch.arange(q.shape[1]), len(table) // 2
    apart = (t[None, :] - t[:, None]).clamp(-far + 1, far - 1) + far
    return mixed((scores(q, k) + table[apart]).softmax(dim=-1), v)


@wrong("09.3", "table is subtracted")
def minus_the_table(q, k, v, table):
    return mixed((scores(q, k) - bias(q.shape[1], table)).softmax(dim=-1), v)


@wrong("09.3", "hears of a single frame")
def the_largest_alone(q, k, v, table):
    largest = (scores(q, k) + bias(q.shape[1], table)).argmax(dim=-1)
    return mixed(F.one_hot(largest, q.shape[1]).to(v.dtype), v)


@wrong("09.3", "added once more")
def with_the_values(q, k, v, table):
    return v + with_rearrange(q, k, v, table)


# ---- 09.4 through_the_u(x, layer, halve, double, scales)


@right("09.4")
def with_a_list(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop())
    return x


@right("09.4")
def within_itself(x, layer, halve, double, scales):
    def u(x, scale):
        said = layer(x, scale)
        return said if scale == scales else layer(double(u(halve(said), scale + 1)), scale, said)

    return u(x, 0)


@right("09.4")
def with_a_dictionary(x, layer, halve, double, scales):
    said = {}
    for scale in range(scales + 1):
        said[scale] = layer(x if scale == 0 else halve(said[scale - 1]), scale, None)
    y = said[scales]
    for scale in range(scales - 1, -1, -1):
        y = layer(double(y), scale, said[scale])
    return y


@wrong("09.4", "gets no skip")
def no_skips(x, layer, halve, double, scales):
    for scale in range(scales):
        x = halve(layer(x, scale))
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale)
    return x


@wrong("09.4", "needed first")
def first_kept_first(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop(0))
    return x


@wrong("09.4", "was *given*")
def kept_too_early(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        skips.append(x)
        x = halve(layer(x, scale))
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop())
    return x


@wrong("09.4", "has been halved")
def kept_too_late(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = halve(layer(x, scale))
        skips.append(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop())
    return x


@wrong("09.4", "the middle once")
def no_middle(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop())
    return x


@wrong("09.4", "merges it once more")
def adds_the_skip_itself(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        skip = skips.pop()
        x = layer(double(x) + skip, scale, skip)
    return x


@wrong("09.4", "`double` is missing")
def never_doubled(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(x, scale, skips.pop())
    return double(x)


@wrong("09.4", "the middle once")
def up_in_the_wrong_order(x, layer, halve, double, scales):
    skips = []
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in range(scales):
        x = layer(double(x), scale, skips.pop())
    return x


@wrong("09.4", "without the input")
def adds_the_input(x, layer, halve, double, scales):
    return x + with_a_list(x, layer, halve, double, scales)


@wrong("09.4", "the middle once")
def middle_with_another_number(x, layer, halve, double, scales):
    kept, top = [], x
    for scale in range(scales):
        kept.append(layer(top, scale))
        top = halve(kept[-1])
    y = layer(top, scales - 1)
    for scale in reversed(range(scales)):
        y = layer(double(y), scale, kept[scale])
    return y


@wrong("09.4", "the skip are exchanged")
def skip_for_input(x, layer, halve, double, scales):
    kept = []
    for scale in range(scales):
        kept.append(layer(x, scale))
        x = halve(kept[-1])
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(kept[scale], scale, double(x))
    return x
