"""Answers to lesson 12, image to video."""

import torch
import torch.nn.functional as F
from einops import repeat

from minit2v.diffusion import Known, start
from minit2v.exercises.bank import right, wrong
from minit2v.unet import repeat_source

# ---- 12.1 noise_levels(schedule, known, level)


@right("12.1")
def with_where(schedule, known, level):
    levels = schedule[:, None, None].expand(-1, *known.shape)
    return torch.where(known, level, levels)


@right("12.1")
def clip_by_clip(schedule, known, level):
    rows = []
    for sigma in schedule.tolist():
        rows.append([[level if frame else sigma for frame in clip] for clip in known.tolist()])
    return torch.tensor(rows)


@right("12.1")
def by_masked_fill(schedule, known, level):
    levels = repeat(schedule, "m -> m b f", b=known.shape[0], f=known.shape[1]).clone()
    return levels.masked_fill(known, level)


@right("12.1")
def with_the_course(schedule, known, level):
    noise = torch.zeros(*known.shape, 1, 1, 1)
    return start(noise, schedule, Known(known, noise, level))[1]


@wrong("12.1", "exchanged")
def the_mask_turned(schedule, known, level):
    return torch.where(known, schedule[:, None, None], torch.tensor(level))


@wrong("12.1", "may be known and noisy")
def always_clean(schedule, known, level):
    return schedule[:, None, None] * (~known)


@wrong("12.1", "the mask changes nothing")
def all_alike(schedule, known, level):
    return schedule[:, None, None].expand(-1, *known.shape).clone()


@wrong("12.1", "wherever it stands")
def the_first_frame_only(schedule, known, level):
    levels = schedule[:, None, None].repeat(1, *known.shape)
    levels[:, known[:, 0], 0] = level
    return levels


@wrong("12.1", "its own mask")
def the_first_clips_mask(schedule, known, level):
    return torch.where(known[:1].expand_as(known), level, schedule[:, None, None])


@wrong("12.1", "then change")
def falls_with_the_others(schedule, known, level):
    levels = schedule[:, None, None].expand(-1, *known.shape)
    return torch.where(known, levels.clamp(max=level), levels)


@wrong("12.1", "runs backwards")
def from_clean_to_noise(schedule, known, level):
    return with_where(schedule.flip(0), known, level)


@wrong("12.1", "axes, and 3 are due")
def no_moments(schedule, known, level):
    return torch.where(known, level, schedule[0])


@wrong("12.1", "swapped")
def moments_last(schedule, known, level):
    return with_where(schedule, known, level).permute(1, 2, 0)


@wrong("12.1", "where the schedule says")
def at_least_that_level(schedule, known, level):
    levels = schedule[:, None, None].expand(-1, *known.shape).clamp(min=level)
    return torch.where(known, level, levels)


@wrong("12.1", "stop at their level")
def comes_down_to_it(schedule, known, level):
    levels = schedule[:, None, None].expand(-1, *known.shape)
    return torch.where(known, levels.clamp(min=level), levels)


@wrong("12.1", "all is right but the first moment")
def begins_as_noise(schedule, known, level):
    levels = with_where(schedule, known, level).clone()
    levels[0] = 1
    return levels


@wrong("12.1", "for these alone")
def added_to_all(schedule, known, level):
    return schedule[:, None, None] * ~known + level


@wrong("12.1", "but its square")
def levels_squared(schedule, known, level):
    return with_where(schedule**2, known, level)


@wrong("12.1", "come down to the level of known frames")
def all_end_at_the_level(schedule, known, level):
    return with_where(level + (1 - level) * schedule, known, level)


# ---- 12.2 held_step(x, sigma, next_sigma, picture, velocity_fn)


def told(x, sigma):
    levels = torch.full(x.shape[:2], float(sigma))
    levels[:, 0] = 0
    return levels


def put(x, picture):
    return torch.cat([picture[:, None], x[:, 1:]], dim=1)


@right("12.2")
def held(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x + (next_sigma - sigma) * velocity_fn(x, told(x, sigma)), picture)


@right("12.2")
def a_step_of_its_own_for_each_frame(x, sigma, next_sigma, picture, velocity_fn):
    x = x.clone()
    x[:, 0] = picture
    now, then = told(x, sigma), told(x, next_sigma)
    return x + (then - now)[:, :, None, None, None] * velocity_fn(x, now)


@right("12.2")
def with_a_mask(x, sigma, next_sigma, picture, velocity_fn):
    first = torch.zeros(x.shape[1], dtype=torch.bool)
    first[0] = True
    x = torch.where(first[:, None, None, None], picture[:, None], x)
    velocity = velocity_fn(x, torch.where(first, 0.0, sigma).expand(len(x), -1))
    return torch.where(first[:, None, None, None], x, torch.lerp(x, x + velocity, next_sigma - sigma))


@wrong("12.2", "as noisy as the others")
def one_level_for_all(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x + (next_sigma - sigma) * velocity_fn(x, torch.full(x.shape[:2], sigma)), picture)


@wrong("12.2", "on the wrong frame")
def clean_at_the_end(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x + (next_sigma - sigma) * velocity_fn(x, told(x, sigma).flip(1)), picture)


@wrong("12.2", "comes too late")
def put_in_afterwards(x, sigma, next_sigma, picture, velocity_fn):
    return put(x + (next_sigma - sigma) * velocity_fn(x, told(x, sigma)), picture)


@wrong("12.2", "stepped along")
def steps_the_picture(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return x + (next_sigma - sigma) * velocity_fn(x, told(x, sigma))


@wrong("12.2", "with noise on it")
def noised_like_the_others(x, sigma, next_sigma, picture, velocity_fn):
    y = put(x, (1 - sigma) * picture + sigma * x[:, 0])
    return put(y + (next_sigma - sigma) * velocity_fn(y, told(x, sigma)), picture)


@wrong("12.2", "wrong way")
def towards_noise(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x + (sigma - next_sigma) * velocity_fn(x, told(x, sigma)), picture)


@wrong("12.2", "velocity; from")
def all_the_way(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x - sigma * velocity_fn(x, told(x, sigma)) * 1.1, picture)


@wrong("12.2", "one noise level for the whole clip")
def a_level_per_clip(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    levels = torch.full((len(x),), float(sigma))
    try:
        velocity = velocity_fn(x, levels)
    except Exception:
        velocity = x
    return put(x + (next_sigma - sigma) * velocity, picture)


@wrong("12.2", "after the step")
def told_the_next_level(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x + (next_sigma - sigma) * velocity_fn(x, told(x, next_sigma)), picture)


@wrong("12.2", "in place")
def put_into_the_input(x, sigma, next_sigma, picture, velocity_fn):
    x[:, 0] = picture
    return put(x + (next_sigma - sigma) * velocity_fn(x, told(x, sigma)), picture)


@wrong("12.2", "in all frames")
def the_picture_everywhere(x, sigma, next_sigma, picture, velocity_fn):
    x = picture[:, None].expand_as(x)
    return put(x + (next_sigma - sigma) * velocity_fn(x, told(x, sigma)), picture)


@wrong("12.2", "You put noise on the picture")
def noised_and_told_so(x, sigma, next_sigma, picture, velocity_fn):
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    seen = put(x, (1 - sigma) * picture + sigma * noise)
    return put(x + (next_sigma - sigma) * velocity_fn(seen, torch.full(x.shape[:2], float(sigma))), picture)


@wrong("12.2", "it is frame 0")
def held_at_the_end(x, sigma, next_sigma, picture, velocity_fn):
    seen = torch.cat([x[:, :-1], picture[:, None]], dim=1)
    y = seen + (next_sigma - sigma) * velocity_fn(seen, told(x, sigma).flip(1))
    return torch.cat([y[:, :-1], picture[:, None]], dim=1)


@wrong("12.2", "one noise level for the whole clip")
def one_number_for_each_clip(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x + (next_sigma - sigma) * velocity_fn(x, torch.full((len(x),), float(sigma))), picture)


@wrong("12.2", "2 times")
def looks_twice(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    first = velocity_fn(x, told(x, sigma))
    then = put(x + (next_sigma - sigma) * first, picture)
    return put(x + (next_sigma - sigma) * (first + velocity_fn(then, told(x, next_sigma))) / 2, picture)


@wrong("12.2", "what stood there in x before")
def shown_and_not_kept(x, sigma, next_sigma, picture, velocity_fn):
    return put(held(x, sigma, next_sigma, picture, velocity_fn), x[:, 0])


@wrong("12.2", "All frames take the same step")
def one_velocity_for_all(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    velocity = velocity_fn(x, told(x, sigma)).mean(dim=1, keepdim=True)
    return put(x + (next_sigma - sigma) * velocity, picture)


@wrong("12.2", "Frame 1 becomes the picture")
def the_picture_twice(x, sigma, next_sigma, picture, velocity_fn):
    y = held(x, sigma, next_sigma, picture, velocity_fn)
    return torch.cat([y[:, :1], picture[:, None], y[:, 2:]], dim=1)


@wrong("12.2", "as long as the level after it")
def as_long_as_the_next_level(x, sigma, next_sigma, picture, velocity_fn):
    x = put(x, picture)
    return put(x - next_sigma * velocity_fn(x, told(x, sigma)), picture)


@wrong("12.2", "told different levels")
def known_in_clip_0_only(x, sigma, next_sigma, picture, velocity_fn):
    x, levels = put(x, picture), torch.full(x.shape[:2], float(sigma))
    levels[0, 0] = 0
    return put(x + (next_sigma - sigma) * velocity_fn(x, levels if len(x) > 1 else told(x, next_sigma)), picture)


# ---- 12.3 condition(source, frames)


@right("12.3")
def with_zeros(source, frames):
    b, c, h, w = source.shape
    y = source.new_zeros(b, frames, c + 1, h, w)
    y[:, :, :c] = source[:, None]
    y[:, 0, c] = 1
    return y


@right("12.3")
def frame_by_frame(source, frames):
    mask = torch.ones_like(source[:, :1])
    return torch.stack([torch.cat([source, mask * float(k == 0)], dim=1) for k in range(frames)], dim=1)


@right("12.3")
def the_courses(source, frames):
    return repeat_source(source, frames)


@right("12.3")
def with_padding(source, frames):
    y = F.pad(repeat(source, "b c h w -> b f c h w", f=frames), (0, 0, 0, 0, 0, 1))
    y[:, :1, -1:] += 1
    return y


@wrong("12.3", "learns to stand still")
def a_mask_of_ones(source, frames):
    y = with_zeros(source, frames)
    y[:, :, -1] = 1
    return y


@wrong("12.3", "nothing to look at")
def the_source_in_frame_0(source, frames):
    y = with_zeros(source, frames)
    y[:, 1:, :-1] = 0
    return y


@wrong("12.3", "turned round")
def the_mask_of_what_is_missing(source, frames):
    y = with_zeros(source, frames)
    y[:, :, -1] = 1 - y[:, :, -1]
    return y


@wrong("12.3", "before the source's channels")
def mask_first(source, frames):
    return with_zeros(source, frames).roll(1, dims=2)


@wrong("12.3", "each other's pictures")
def batch_for_frames(source, frames):
    y = with_zeros(source, frames)
    y[:, :, :-1] = source.repeat(frames, 1, 1, 1).view(len(source), frames, *source.shape[1:])
    return y


@wrong("12.3", "0 everywhere")
def no_mask(source, frames):
    y = with_zeros(source, frames)
    y[:, :, -1] = 0
    return y


@wrong("12.3", "place to place")
def one_place(source, frames):
    y = with_zeros(source, frames)
    y[:, 0, -1] = 0
    y[:, 0, -1, 0, 0] = 1
    return y


@wrong("12.3", "counted from 0")
def the_last_frame(source, frames):
    y = with_zeros(source, frames)
    y[:, :, -1] = y[:, :, -1].flip(1)
    return y


@wrong("12.3", "mask is missing")
def without_a_mask_channel(source, frames):
    return repeat(source, "b c h w -> b f c h w", f=frames).clone()


@wrong("12.3", "as many channels as the source")
def as_wide_as_the_source(source, frames):
    repeated = repeat(source, "b c h w -> b f c h w", f=frames)
    mask = torch.zeros_like(repeated)
    mask[:, 0] = 1
    return torch.cat([repeated, mask], dim=2)


@wrong("12.3", "yes or no")
def fading_mask(source, frames):
    repeated = repeat(source, "b c h w -> b f c h w", f=frames)
    mask = torch.linspace(1, 0, frames)[:, None, None, None] * torch.ones_like(repeated[:, :, :1])
    return torch.cat([repeated, mask], dim=2)


# ---- 12.4 shaped(picture, height, width, fit)


@right("12.4")
def with_limits(picture, height, width, fit):
    h, w = picture.shape[:2]
    limit = min if fit == "crop" else max
    high, wide = limit(h, w * height // width), limit(w, h * width // height)
    if fit == "crop":
        top, left = (h - high) // 2, (w - wide) // 2
        return picture[top : top + high, left : left + wide]
    y = torch.full((high, wide, 3), 0.5)
    top, left = (high - h) // 2, (wide - w) // 2
    y[top : top + h, left : left + w] = picture
    return y


@right("12.4")
def by_cases(picture, height, width, fit):
    h, w = picture.shape[:2]
    too_wide = w * height > h * width
    if (fit == "crop") == too_wide:  # the width changes
        change = (h * width // height - w) // 2
        sides = (0, 0, change, change, 0, 0)
    else:
        change = (w * height // width - h) // 2
        sides = (0, 0, 0, 0, change, change)
    return F.pad(picture, sides, value=0.5)  # a negative pad cuts off


@right("12.4")
def row_by_row(picture, height, width, fit):
    rows = [list(row) for row in picture]
    gray = torch.full((3,), 0.5)
    grow = fit == "pad"
    while len(rows) * width != len(rows[0]) * height:
        too_wide = len(rows[0]) * height > len(rows) * width
        if too_wide and grow:
            line = [gray] * len(rows[0])
            rows = [line, *rows, line]
        elif too_wide:
            rows = [row[1:-1] for row in rows]
        elif grow:
            rows = [[gray, *row, gray] for row in rows]
        else:
            rows = rows[1:-1]
    return torch.stack([torch.stack(row) for row in rows])


@wrong("12.4", "The middle is asked for")
def from_the_corner(picture, height, width, fit):
    y = with_limits(picture, height, width, fit)
    return picture[: y.shape[0], : y.shape[1]] if fit == "crop" else y


@wrong("12.4", "what 'pad' means")
def pads_and_crops_exchanged(picture, height, width, fit):
    return with_limits(picture, height, width, "pad" if fit == "crop" else "crop")


@wrong("12.4", "Those are not pixels")
def to_so_many_pixels(picture, height, width, fit):
    small = F.interpolate(picture.permute(2, 0, 1)[None], size=(height, width), mode="nearest")
    return small[0].permute(1, 2, 0)


@wrong("12.4", "Gray, 0.5, is asked for")
def black_bars(picture, height, width, fit):
    y = with_limits(picture, height, width, fit)
    return torch.where(y == 0.5, 0.0, y)


@wrong("12.4", "bars on both sides")
def all_bars_at_the_end(picture, height, width, fit):
    if fit == "crop":
        return with_limits(picture, height, width, fit)
    h, w = picture.shape[:2]
    high, wide = max(h, w * height // width), max(w, h * width // height)
    return F.pad(picture, (0, 0, 0, wide - w, 0, high - h), value=0.5)


@wrong("12.4", "height and width are exchanged")
def transposed(picture, height, width, fit):
    return with_limits(picture, height, width, fit).transpose(0, 1)


@wrong("12.4", "values that the picture does not have")
def squeezed(picture, height, width, fit):
    y = with_limits(picture, height, width, fit)
    if fit == "pad":
        return y
    whole = F.interpolate(picture.permute(2, 0, 1)[None], size=y.shape[:2], mode="bilinear")
    return whole[0].permute(1, 2, 0)


@wrong("12.4", "height and width are exchanged")
def as_if_height_were_width(picture, height, width, fit):
    return with_limits(picture, width, height, fit)


@wrong("12.4", "as it was")
def left_as_it_is(picture, height, width, fit):
    return picture.clone()


@wrong("12.4", "a slice that ends at -0")
def cuts_minus_nothing(picture, height, width, fit):
    if fit == "pad":
        return with_limits(picture, height, width, fit)
    (h, w), (high, wide) = picture.shape[:2], with_limits(picture, height, width, fit).shape[:2]
    top, left = (h - high) // 2, (w - wide) // 2
    return picture[top:-top, left:-left]


@wrong("12.4", "that is a square")
def always_square(picture, height, width, fit):
    return with_limits(picture, 1, 1, fit)


@wrong("12.4", "too tall for that shape")
def cuts_columns_only(picture, height, width, fit):
    if fit == "pad":
        return with_limits(picture, height, width, fit)
    wide = picture.shape[0] * width // height
    left = max(0, (picture.shape[1] - wide) // 2)
    return picture[:, left : left + wide]


def bars(picture, height, width):
    """How many rows and columns are missing on each side."""
    due = with_limits(picture, height, width, "pad").shape
    return (due[0] - picture.shape[0]) // 2, (due[1] - picture.shape[1]) // 2


@wrong("12.4", "twice as much is added")
def bars_twice_as_thick(picture, height, width, fit):
    if fit == "crop":
        return with_limits(picture, height, width, fit)
    high, wide = bars(picture, height, width)
    return F.pad(picture, (0, 0, 2 * wide, 2 * wide, 2 * high, 2 * high), value=0.5)


@wrong("12.4", "at the wrong sides")
def sides_in_another_order(picture, height, width, fit):
    if fit == "crop":
        return with_limits(picture, height, width, fit)
    high, wide = bars(picture, height, width)
    return F.pad(picture, (0, 0, high, high, wide, wide), value=0.5)


@wrong("12.4", "bars that show something")
def edges_repeated(picture, height, width, fit):
    if fit == "crop":
        return with_limits(picture, height, width, fit)
    high, wide = bars(picture, height, width)
    return F.pad(picture.permute(2, 0, 1)[None], (wide, wide, high, high), mode="replicate")[0].permute(1, 2, 0)


@wrong("12.4", "with other pixels")
def painted_over(picture, height, width, fit):
    part = with_limits(picture, height, width, fit)
    if fit == "pad":
        return part
    left, top = (picture.shape[1] - part.shape[1]) // 2, (picture.shape[0] - part.shape[0]) // 2
    y = torch.full_like(picture, 0.5)
    y[top : top + part.shape[0], left : left + part.shape[1]] = part
    return y


# ---- 12.5 split_error(picture, rebuilt, first)


def rms(a, b):
    return (a - b).square().mean().sqrt().item()


@right("12.5")
def three_distances(picture, rebuilt, first):
    return rms(picture, first), rms(picture, rebuilt), rms(rebuilt, first)


@right("12.5")
def by_norms(picture, rebuilt, first):
    size = picture.numel() ** 0.5
    return tuple(torch.linalg.vector_norm(a - b) / size
                 for a, b in ((first, picture), (rebuilt, picture), (first, rebuilt)))  # fmt: skip


@right("12.5")
def by_mse(picture, rebuilt, first):
    pairs = (picture, first), (picture, rebuilt), (rebuilt, first)
    return [F.mse_loss(*each).sqrt().item() for each in pairs]


@wrong("12.5", "exchanged")
def the_other_way_round(picture, rebuilt, first):
    return rms(picture, first), rms(rebuilt, first), rms(picture, rebuilt)


@wrong("12.5", "mean square")
def without_the_root(picture, rebuilt, first):
    return tuple(each**2 for each in three_distances(picture, rebuilt, first))


@wrong("12.5", "absolute differences")
def mean_absolute(picture, rebuilt, first):
    pairs = (picture, first), (picture, rebuilt), (rebuilt, first)
    return tuple((a - b).abs().mean().item() for a, b in pairs)


@wrong("12.5", "do not subtract")
def the_rest(picture, rebuilt, first):
    total, vae = rms(picture, first), rms(picture, rebuilt)
    return total, vae, total - vae


@wrong("12.5", "do not add up")
def the_sum(picture, rebuilt, first):
    vae, model = rms(picture, rebuilt), rms(rebuilt, first)
    return vae + model, vae, model


@wrong("12.5", "grows with the picture")
def summed(picture, rebuilt, first):
    size = picture.numel() ** 0.5
    return tuple(each * size for each in three_distances(picture, rebuilt, first))


@wrong("12.5", "is 0, and yours")
def against_the_picture(picture, rebuilt, first):
    return rms(picture, first), rms(picture, rebuilt), rms(picture, first)


def three(distance, picture, rebuilt, first):
    return distance(picture, first), distance(picture, rebuilt), distance(rebuilt, first)


@wrong("12.5", "a little brighter everywhere")
def spread_of_the_difference(*pictures):
    return three(lambda a, b: (a - b).std().item(), *pictures)


@wrong("12.5", "a root for each pixel")
def a_root_for_each_pixel(*pictures):
    return three(lambda a, b: (a - b).square().mean(2).sqrt().mean().item(), *pictures)


@wrong("12.5", "pixel by pixel first")
def sizes_compared(*pictures):
    return three(lambda a, b: abs(a.square().mean().sqrt() - b.square().mean().sqrt()).item(), *pictures)


@wrong("12.5", "too bright cancels")
def with_its_sign(*pictures):
    return three(lambda a, b: (a - b).mean().item(), *pictures)


@wrong("12.5", "total and the model's part are exchanged")
def total_last(*pictures):
    total, vae, model = three(rms, *pictures)
    return model, vae, total


@wrong("12.5", "right-angled triangle")
def by_pythagoras(picture, rebuilt, first):
    total, vae = rms(picture, first), rms(picture, rebuilt)
    return total, vae, abs(total**2 - vae**2) ** 0.5


@wrong("12.5", "divided by how large")
def in_shares_of_the_first(*pictures):
    return three(lambda a, b: rms(a, b) / rms(a, 0 * a), *pictures)


@wrong("12.5", "color 0 alone")
def red_alone(*pictures):
    return three(lambda a, b: rms(a[..., 0], b[..., 0]), *pictures)


@wrong("12.5", "number of rows only")
def divided_by_the_rows(*pictures):
    return three(lambda a, b: ((a - b).square().sum() / len(a)).sqrt().item(), *pictures)
