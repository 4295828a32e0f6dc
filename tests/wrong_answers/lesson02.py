"""Answers to lesson 02, the frame tape."""

import numpy as np
import torch
import torch.nn.functional as F

from minit2v.exercises.bank import right, wrong

# ---- 02.1 warp(frame, flow)


def places(frame, flow, sign=1.0):
    """Where every place looks: columns and rows, (h, w) each."""
    h, w = frame.shape[:2]
    y, x = torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")
    return x + sign * flow[..., 0], y + sign * flow[..., 1]


def mixed(frame, x, y):
    h, w = frame.shape[:2]
    x, y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    left, top = x.floor().clamp(max=w - 2).long(), y.floor().clamp(max=h - 2).long()
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - fx) * frame[top, left] + fx * frame[top, left + 1]
    lower = (1 - fx) * frame[top + 1, left] + fx * frame[top + 1, left + 1]
    return (1 - fy) * upper + fy * lower


def by_grid(frame, flow, **how):
    h, w = frame.shape[:2]
    x, y = places(frame, flow)
    grid = torch.stack([2 * x / (w - 1) - 1, 2 * y / (h - 1) - 1], dim=-1)
    y = F.grid_sample(frame.permute(2, 0, 1)[None], grid[None], **how)
    return y[0].permute(1, 2, 0)


@right("02.1")
def four_neighbors(frame, flow):
    return mixed(frame, *places(frame, flow))


@right("02.1")
def with_grid_sample(frame, flow):
    return by_grid(frame, flow, padding_mode="border", align_corners=True)


@right("02.1")
def pixel_by_pixel(frame, flow):
    h, w, _ = frame.shape
    result = torch.zeros_like(frame)
    for row in range(h):
        for column in range(w):
            x = min(max(column + float(flow[row, column, 0]), 0), w - 1)
            y = min(max(row + float(flow[row, column, 1]), 0), h - 1)
            for i in {int(y), min(int(y) + 1, h - 1)}:
                for j in {int(x), min(int(x) + 1, w - 1)}:
                    share = max(0, 1 - abs(x - j)) * max(0, 1 - abs(y - i))
                    result[row, column] += share * frame[i, j] if share else 0
    return result


@wrong("02.1", "wrong direction")
def against_the_flow(frame, flow):
    return mixed(frame, *places(frame, flow, -1.0))


@wrong("02.1", "x and y are exchanged")
def rows_for_columns(frame, flow):
    return mixed(frame, *places(frame, flow.flip(-1)))


@wrong("02.1", "nearest pixel is taken, whole")
def rounded(frame, flow):
    return mixed(frame, *(each.round() for each in places(frame, flow)))


@wrong("02.1", "cut down to whole pixels")
def floored(frame, flow):
    return mixed(frame, *(each.floor() for each in places(frame, flow)))


@wrong("02.1", "shares of the two neighbors are exchanged")
def far_one_first(frame, flow):
    h, w = frame.shape[:2]
    x, y = places(frame, flow)
    x, y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    left, top = x.floor().clamp(max=w - 2), y.floor().clamp(max=h - 2)
    fx, fy = x - left, y - top
    moved_x, moved_y = (left + 1 - fx, top + 1 - fy)
    whole_x, whole_y = (x == left) | (x == left + 1), (y == top) | (y == top + 1)
    return mixed(frame, torch.where(whole_x, x, moved_x), torch.where(whole_y, y, moved_y))


@wrong("02.1", "half pixel")
def half_a_pixel(frame, flow):
    x, y = places(frame, flow)
    return mixed(frame, x - 0.5, y - 0.5)


@wrong("02.1", "show black")
def black_outside(frame, flow):
    return by_grid(frame, flow, padding_mode="zeros", align_corners=True)


@wrong("02.1", "the other side")
def comes_in_again(frame, flow):
    h, w = frame.shape[:2]
    x, y = places(frame, flow)
    left, top = x.floor().long(), y.floor().long()
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = (1 - fx) * frame[top % h, left % w] + fx * frame[top % h, (left + 1) % w]
    lower = (1 - fx) * frame[(top + 1) % h, left % w] + fx * frame[(top + 1) % h, (left + 1) % w]
    return (1 - fy) * upper + fy * lower


@wrong("02.1", "four pixels around a spot")
def three_neighbors(frame, flow):
    h, w = frame.shape[:2]
    x, y = places(frame, flow)
    x, y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    left, top = x.floor().clamp(max=w - 2).long(), y.floor().clamp(max=h - 2).long()
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    here = frame[top, left]
    return here + fx * (frame[top, left + 1] - here) + fy * (frame[top + 1, left] - here)


@wrong("02.1", "push pixels")
def pushes(frame, flow):
    h, w = frame.shape[:2]
    x, y = (each.round().long() for each in places(frame, flow))
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    result = torch.zeros_like(frame)
    result[y[inside], x[inside]] = frame[inside]
    return result


@wrong("02.1", "too far, or not far enough")
def shares_of_the_width(frame, flow):
    h, w = frame.shape[:2]
    return mixed(frame, *places(frame, flow / torch.tensor([w - 1, h - 1])))


@wrong("02.1", "stretched")
def corners_not_aligned(frame, flow):
    h, w = frame.shape[:2]
    x, y = places(frame, flow)
    grid = torch.stack([2 * x / (w - 1) - 1, 2 * y / (h - 1) - 1], dim=-1)
    y = F.grid_sample(frame.permute(2, 0, 1)[None], grid[None], padding_mode="border", align_corners=False)
    return y[0].permute(1, 2, 0)


# ---- 02.2 flicker(frames, step)


def neighbors(frames, step):
    (_, h, w), (dx, dy) = frames.shape, step
    x0, x1, y0, y1 = abs(dx), w - abs(dx), abs(dy), h - abs(dy)
    before = frames[:-2, y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    after = frames[2:, y0 + dy : y1 + dy, x0 + dx : x1 + dx]
    return before, frames[1:-1, y0:y1, x0:x1], after


@right("02.2")
def by_slices(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).abs().mean()


@right("02.2")
def by_roll_and_mask(frames, step):
    (dx, dy), (_, h, w) = step, frames.shape
    before, after = frames.roll((dy, dx), (1, 2))[:-2], frames.roll((-dy, -dx), (1, 2))[2:]
    off = (frames[1:-1] - 0.5 * before - 0.5 * after).abs()
    return float(off[:, abs(dy) : h - abs(dy), abs(dx) : w - abs(dx)].mean())


@right("02.2")
def one_by_one(frames, step):
    (t, h, w), (dx, dy) = frames.shape, step
    clip, found = frames.double().numpy(), []
    for k in range(1, t - 1):
        for y in range(abs(dy), h - abs(dy)):
            for x in range(abs(dx), w - abs(dx)):
                found.append(abs(clip[k, y, x] - (clip[k - 1, y - dy, x - dx] + clip[k + 1, y + dy, x + dx]) / 2))
    return float(np.mean(found))


@wrong("02.2", "measured the camera")
def without_motion(frames, step):
    return (frames[1:-1] - (frames[:-2] + frames[2:]) / 2).abs().mean()


@wrong("02.2", "wrong direction")
def the_other_way(frames, step):
    return by_slices(frames, (-step[0], -step[1]))


@wrong("02.2", "x and y are exchanged")
def rows_first(frames, step):
    return by_slices(frames, (step[1], step[0]))


@wrong("02.2", "slow change")
def one_neighbor(frames, step):
    (dx, dy), (_, h, w) = step, frames.shape
    x0, x1, y0, y1 = abs(dx), w - abs(dx), abs(dy), h - abs(dy)
    return (frames[1:, y0:y1, x0:x1] - frames[:-1, y0 - dy : y1 - dy, x0 - dx : x1 - dx]).abs().mean()


@wrong("02.2", "comes from the border")
def rolled_around(frames, step):
    dx, dy = step
    before, after = frames.roll((dy, dx), (1, 2))[:-2], frames.roll((-dy, -dx), (1, 2))[2:]
    return (frames[1:-1] - (before + after) / 2).abs().mean()


@wrong("02.2", "cancel")
def no_absolute_values(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).mean()


@wrong("02.2", "you square")
def mean_square(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).square().mean()


@wrong("02.2", "mean of the two neighbors")
def not_halved(frames, step):
    before, now, after = neighbors(frames, step)
    return (2 * now - before - after).abs().mean()


@wrong("02.2", "mean over the pixels")
def summed_up(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).abs().sum(dim=(1, 2)).mean()


@wrong("02.2", "only 4 have two neighbors")
def divided_by_all_frames(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).abs().mean(dim=(1, 2)).sum() / len(frames)


@wrong("02.2", "root mean square")
def rooted(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).square().mean().sqrt()


@wrong("02.2", "is it a median")
def median(frames, step):
    before, now, after = neighbors(frames, step)
    return (now - (before + after) / 2).abs().median()


# ---- 02.3 drift(colors, seen)


@right("02.3")
def from_the_first(colors, seen):
    shown = colors[seen]
    return (shown[1:] - shown[0]).norm(dim=-1).mean()


@right("02.3")
def frame_after_frame(colors, seen):
    anchor, found = None, []
    for color, here in zip(colors.tolist(), seen.tolist(), strict=True):
        if here and anchor is None:
            anchor = color
        elif here:
            found.append(sum((a - b) ** 2 for a, b in zip(color, anchor, strict=True)) ** 0.5)
    return sum(found) / len(found)


@right("02.3")
def weighted(colors, seen):
    first = int(seen.float().argmax())
    off = torch.linalg.vector_norm(colors - colors[first], dim=1)
    return (off * seen).sum() / (seen.sum() - 1)


@wrong("02.3", "with the one before it")
def frame_to_frame(colors, seen):
    return colors[seen].diff(dim=0).norm(dim=-1).mean()


@wrong("02.3", "compared with that frame")
def from_frame_zero(colors, seen):
    return (colors[seen] - colors[0])[1:].norm(dim=-1).mean()


@wrong("02.3", "it is counted")
def hidden_ones_too(colors, seen):
    first = int(seen.float().argmax())
    return (colors - colors[first]).norm(dim=-1).sum() / (len(colors) - 1)


@wrong("02.3", "divide by 5, not 6")
def itself_too(colors, seen):
    shown = colors[seen]
    return (shown - shown[0]).norm(dim=-1).mean()


@wrong("02.3", "sum or mean of the absolute values")
def city_blocks(colors, seen):
    shown = colors[seen]
    return (shown[1:] - shown[0]).abs().sum(dim=-1).mean()


@wrong("02.3", "a root is missing")
def squared(colors, seen):
    shown = colors[seen]
    return (shown[1:] - shown[0]).square().sum(dim=-1).mean()


@wrong("02.3", "with the mean")
def from_the_mean(colors, seen):
    shown = colors[seen]
    return (shown - shown.mean(dim=0)).norm(dim=-1).mean()


@wrong("02.3", "stays 0")
def first_and_last(colors, seen):
    shown = colors[seen]
    return (shown[-1] - shown[0]).norm()


@wrong("02.3", "largest distance")
def the_worst(colors, seen):
    shown = colors[seen]
    return (shown[1:] - shown[0]).norm(dim=-1).max()


@wrong("02.3", "opposite changes cancel")
def length_of_the_mean(colors, seen):
    shown = colors[seen]
    return (shown[1:] - shown[0]).mean(dim=0).norm()


# ---- 02.4 gravity(heights, fps)


def fitted(heights, time, *columns):
    design = torch.stack(columns, dim=1)
    solution = torch.linalg.lstsq(design, heights[:, None]).solution[:, 0]
    return solution, heights - design @ solution


@right("02.4")
def least_squares(heights, fps):
    time = torch.arange(len(heights)) / fps
    (_, _, g), left = fitted(heights, time, torch.ones_like(time), time, time**2 / 2)
    return g, left.square().mean().sqrt()


@right("02.4")
def with_polyfit(heights, fps):
    time, y = np.arange(len(heights)) / fps, heights.double().numpy()
    line = np.polyfit(time, y, 2)
    return 2 * line[0], np.sqrt(np.mean((np.polyval(line, time) - y) ** 2))


@right("02.4")
def with_the_pseudoinverse(heights, fps):
    time = torch.arange(len(heights), dtype=torch.float64) / fps
    design = torch.stack([time**0, time, time**2], dim=1)
    a = torch.linalg.pinv(design) @ heights.double()
    left = heights.double() - design @ a
    return float(2 * a[2]), float((left @ left / len(left)) ** 0.5)


@wrong("02.4", "half of it")
def without_the_half(heights, fps):
    time = torch.arange(len(heights)) / fps
    (_, _, g), left = fitted(heights, time, torch.ones_like(time), time, time**2)
    return g, left.square().mean().sqrt()


@wrong("02.4", "per frame")
def in_frames(heights, fps):
    return least_squares(heights, 1)


@wrong("02.4", "Fit a constant")
def starts_at_zero(heights, fps):
    time = torch.arange(len(heights)) / fps
    (_, g), left = fitted(heights, time, time, time**2 / 2)
    return g, left.square().mean().sqrt()


@wrong("02.4", "the time itself")
def starts_at_rest(heights, fps):
    time = torch.arange(len(heights)) / fps
    (_, g), left = fitted(heights, time, torch.ones_like(time), time**2 / 2)
    return g, left.square().mean().sqrt()


@wrong("02.4", "sign is wrong")
def upwards(heights, fps):
    g, left = least_squares(heights, fps)
    return -g, left


@wrong("02.4", "have no say")
def three_frames(heights, fps):
    n = (len(heights) - 1) // 2
    g = (heights[2 * n] - 2 * heights[n] + heights[0]) / (n / fps) ** 2
    return g, least_squares(heights, fps)[1]


@wrong("02.4", "without the root")
def mean_of_squares(heights, fps):
    g, left = least_squares(heights, fps)
    return g, left**2


@wrong("02.4", "cancels")
def mean_of_what_is_left(heights, fps):
    time = torch.arange(len(heights)) / fps
    (_, _, g), left = fitted(heights, time, torch.ones_like(time), time, time**2 / 2)
    return g, left.mean()


@wrong("02.4", "wrong order")
def residual_first(heights, fps):
    return least_squares(heights, fps)[::-1]
