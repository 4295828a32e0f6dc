"""Answers to lesson 13, long clips and the camera."""

import torch

from minit2v.exercises.bank import right, wrong
from minit2v.world.windows import plan

# ---- 13.1 window_plan(frames, length, context)


@right("13.1")
def with_the_course(frames, length, context):
    return [(window.start, window.end, window.known) for window in plan(frames, length, context)]


@right("13.1")
def counting_up(frames, length, context):
    if frames <= length:
        return [(0, frames, 0)]
    windows, made = [(0, length, 0)], length
    while made < frames:
        step = (frames - made) % (length - context) or length - context
        windows.append((made + step - length, made + step, length - step))
        made += step
    return windows


@right("13.1")
def from_the_end(frames, length, context):
    ends = []
    while frames > length:
        ends.append(frames)
        frames -= length - context
    ends, windows = [*ends, min(length, frames) if not ends else length], []
    for end in reversed(ends):
        start = max(end - length, 0)
        windows.append([start, end, windows[-1][1] - start if windows else 0])
    return windows


@wrong("13.1", "behind the end of the clip")
def runs_over(frames, length, context):
    windows = [(0, length, 0)]
    while windows[-1][1] < frames:
        start = windows[-1][1] - context
        windows.append((start, start + length, context))
    return windows


@wrong("13.1", "frames long, and all have")
def last_one_cut_short(frames, length, context):
    windows = [(0, min(length, frames), 0)]
    while (made := windows[-1][1]) < frames:
        windows.append((made - context, min(made - context + length, frames), context))
    return windows


@wrong("13.1", "number 1")
def short_step_last(frames, length, context):
    windows = [(0, min(length, frames), 0)]
    while (made := windows[-1][1]) < frames:
        end = min(made - context + length, frames)
        windows.append((end - length, end, made - (end - length)))
    return windows


@wrong("13.1", "made twice")
def says_context_always(frames, length, context):
    return [(start, end, context if start else 0) for start, end, _ in counting_up(frames, length, context)]


@wrong("13.1", "made by nobody")
def no_overlap(frames, length, context):
    windows = counting_up(frames, length, context)
    return [(start, end - 1, known) for start, end, known in windows]


@wrong("13.1", "there is nothing yet")
def first_knows_too(frames, length, context):
    (start, end, _), *rest = counting_up(frames, length, context)
    return [(start, end, context), *rest]


@wrong("13.1", "longer than the clips of training")
def all_at_once(frames, length, context):
    return [(0, frames, 0)]


@wrong("13.1", "fewer than the context")
def side_by_side(frames, length, context):
    if frames <= length:
        return [(0, frames, 0)]
    return with_the_course(frames, length, 1)


@wrong("13.1", "windows, and")
def steps_of_one_latent(frames, length, context):
    windows = [(0, min(length, frames), 0)]
    while (made := windows[-1][1]) < frames:
        windows.append((made + 4 - length, made + 4, length - 4))
    return windows


@wrong("13.1", "knows nothing of it")
def end_to_end(frames, length, context):
    return [(start, min(start + length, frames), 0) for start in range(0, frames, length)]


@wrong("13.1", "how many frames each window makes")
def counts_what_is_made(frames, length, context):
    return [(start, end, end - start - known) for start, end, known in counting_up(frames, length, context)]


@wrong("13.1", "knows least")
def one_frame_more(frames, length, context):
    return counting_up(frames, length, context + 1)


@wrong("13.1", "context and step are exchanged")
def goes_on_by_the_context(frames, length, context):
    return counting_up(frames, length, length - context)


@wrong("13.1", "makes nothing new")
def nothing_left_over(frames, length, context):
    windows, made = [(0, min(length, frames), 0)], min(length, frames)
    step = (frames - made) % (length - context)
    while made < frames:
        windows.append((made + step - length, made + step, length - step))
        made, step = made + step, length - context
    return windows


@wrong("13.1", "with its first new frame")
def begins_with_the_new(frames, length, context):
    return [(start + known, end, known) for start, end, known in counting_up(frames, length, context)]


@wrong("13.1", "counted in the clip. Asked is how many")
def knows_up_to(frames, length, context):
    return [(start, end, start + known if known else 0) for start, end, known in counting_up(frames, length, context)]


# ---- 13.2 hand_on(past, encode, known, length)


def placed(context, length):
    latents = torch.zeros(1 + (length - 1) // 4, *context.shape[1:])
    latents[: len(context)] = context
    return latents, torch.arange(len(latents)) < len(context)


@right("13.2")
def with_zeros(past, encode, known, length):
    return placed(encode(past[-known:]), length)


@right("13.2")
def with_cat(past, encode, known, length):
    context = encode(past[len(past) - known :])
    rest = torch.zeros(1 + (length - 1) // 4 - len(context), *context.shape[1:])
    mask = torch.tensor([True] * len(context) + [False] * len(rest))
    return [torch.cat([context, rest]), mask]


@right("13.2")
def with_noise_elsewhere(past, encode, known, length):
    latents, mask = placed(encode(past[-known:].clone()), length)
    return torch.where(mask[:, None, None, None], latents, torch.ones(())), mask


@wrong("13.2", "mid-stream")
def latents_carried(past, encode, known, length):
    return placed(encode(past)[-(1 + (known - 1) // 4) :], length)


@wrong("13.2", "goes on from the last")
def first_frames(past, encode, known, length):
    return placed(encode(past[:known]), length)


@wrong("13.2", "counts pixel frames")
def mask_in_frames(past, encode, known, length):
    latents, mask = placed(encode(past[-known:]), length)
    return latents, torch.arange(len(mask)) < known


@wrong("13.2", "end of the window")
def at_the_end(past, encode, known, length):
    latents, mask = placed(encode(past[-known:]), length)
    return latents.roll(len(mask) - int(mask.sum()), 0), mask.flip(0)


@wrong("13.2", "Encode the known frames together")
def one_by_one(past, encode, known, length):
    latents = torch.cat([encode(frame[None]) for frame in past[-known:]])
    return placed(latents[: 1 + (known - 1) // 4], length)


@wrong("13.2", "end 1 before the last one")
def off_by_one(past, encode, known, length):
    return placed(encode(past[-known - 1 : -1]), length)


@wrong("13.2", "wrong way round")
def mask_of_the_unknown(past, encode, known, length):
    latents, mask = placed(encode(past[-known:]), length)
    return latents, ~mask


@wrong("13.2", "never call `encode`")
def frames_as_latents(past, encode, known, length):
    return placed(past[-known::4], length)


@wrong("13.2", "reverse order")
def backwards(past, encode, known, length):
    return placed(encode(past.flip(0)[:known]), length)


@wrong("13.2", "take the first of their latents")
def beginning_of_all(past, encode, known, length):
    return placed(encode(past)[: 1 + (known - 1) // 4], length)


@wrong("13.2", "nothing would be left to be made")
def all_are_known(past, encode, known, length):
    latents, mask = placed(encode(past[-known:]), length)
    return latents, torch.ones_like(mask)


@wrong("13.2", "fewer than are known")
def the_last_frame_alone(past, encode, known, length):
    return placed(encode(past[-1:]), length)


@wrong("13.2", "Latents and mask are exchanged")
def mask_first(past, encode, known, length):
    return placed(encode(past[-known:]), length)[::-1]


@wrong("13.2", "begins at latent frame 1")
def one_place_later(past, encode, known, length):
    latents, mask = placed(encode(past[-known:]), length)
    return latents.roll(1, 0), mask.roll(1, 0)


# ---- 13.3 blend(first, second, overlap)


def ramped(first, second, overlap, w):
    middle = (1 - w) * first[:, first.shape[1] - overlap :] + w * second[:, :overlap]
    return torch.cat([first[:, : first.shape[1] - overlap], middle, second[:, overlap:]], dim=1)


@right("13.3")
def with_arange(first, second, overlap):
    return ramped(first, second, overlap, torch.arange(1, overlap + 1)[:, None] / (overlap + 1))


@right("13.3")
def with_lerp(first, second, overlap):
    w = torch.linspace(0, 1, overlap + 2)[1:-1].view(1, -1, 1)
    middle = torch.lerp(first[:, -overlap:], second[:, :overlap], w)
    return torch.cat((first[:, :-overlap], middle, second[:, overlap:]), 1)


@right("13.3")
def frame_by_frame(first, second, overlap):
    begin, frames = first.shape[1] - overlap, []
    for t in range(begin + second.shape[1]):
        if t < begin:
            frames.append(first[:, t])
        elif t < first.shape[1]:
            w = (t - begin + 1) / (overlap + 1)
            frames.append(first[:, t] * (1 - w) + second[:, t - begin] * w)
        else:
            frames.append(second[:, t - begin])
    return torch.stack(frames, dim=1)


@wrong("13.3", "wrong way")
def ramp_falls(first, second, overlap):
    return ramped(first, second, overlap, torch.arange(overlap, 0, -1)[:, None] / (overlap + 1))


@wrong("13.3", "reaches 0 or 1")
def ends_included(first, second, overlap):
    w = torch.linspace(0, 1, overlap)[:, None] if overlap > 1 else torch.tensor([[0.5]])
    return ramped(first, second, overlap, w)


@wrong("13.3", "two half ones")
def half_and_half(first, second, overlap):
    return ramped(first, second, overlap, torch.full((overlap, 1), 0.5))


@wrong("13.3", "hard cut")
def second_wins(first, second, overlap):
    return torch.cat([first[:, : first.shape[1] - overlap], second], dim=1)


@wrong("13.3", "sum to 2")
def added_up(first, second, overlap):
    middle = first[:, first.shape[1] - overlap :] + second[:, :overlap]
    return torch.cat([first[:, : first.shape[1] - overlap], middle, second[:, overlap:]], dim=1)


@wrong("13.3", "show the same moment")
def wrong_ends_meet(first, second, overlap):
    w = torch.arange(1, overlap + 1)[:, None] / (overlap + 1)
    middle = (1 - w) * first[:, :overlap] + w * second[:, second.shape[1] - overlap :]
    return torch.cat([first[:, : first.shape[1] - overlap], middle, second[:, overlap:]], dim=1)


@wrong("13.3", "frames where")
def nothing_overlaps(first, second, overlap):
    return torch.cat([first, second], dim=1)


@wrong("13.3", "in place")
def blended_in_place(first, second, overlap):
    w = torch.arange(1, overlap + 1)[:, None] / (overlap + 1)
    first[:, first.shape[1] - overlap :] *= 1 - w
    first[:, first.shape[1] - overlap :] += w * second[:, :overlap]
    return torch.cat([first, second[:, overlap:]], dim=1)


@wrong("13.3", "along the wrong axis")
def ramp_along_the_channels(first, second, overlap):
    return ramped(first, second, overlap, torch.arange(1, first.shape[2] + 1) / (first.shape[2] + 1))


@wrong("13.3", "rise evenly")
def smooth_ramp(first, second, overlap):
    w = (torch.arange(1, overlap + 1) / (overlap + 1))[:, None]
    return ramped(first, second, overlap, w * w * (3 - 2 * w))


@wrong("13.3", "added.")
def multiplied(first, second, overlap):
    middle = first[:, first.shape[1] - overlap :] * second[:, :overlap]
    return torch.cat([first[:, : first.shape[1] - overlap], middle, second[:, overlap:]], dim=1)


# ---- 13.4 to_screen(position, camera, zoom, middle)


@right("13.4")
def with_none(position, camera, zoom, middle):
    return (position - camera) * zoom[:, None] + middle


@right("13.4")
def with_einsum(position, camera, zoom, middle):
    return torch.einsum("td,t->td", position - camera, zoom) + middle[None]


@right("13.4")
def frame_after_frame(position, camera, zoom, middle):
    return torch.stack([middle + z * (p - c) for p, c, z in zip(position, camera, zoom, strict=True)])


@wrong("13.4", "runs along with the pan")
def camera_added(position, camera, zoom, middle):
    return (position + camera) * zoom[:, None] + middle


@wrong("13.4", "Subtract first")
def zooms_first(position, camera, zoom, middle):
    return position * zoom[:, None] - camera + middle


@wrong("13.4", "Add it last")
def zooms_the_middle(position, camera, zoom, middle):
    return (position - camera + middle) * zoom[:, None]


@wrong("13.4", "not added")
def without_the_middle(position, camera, zoom, middle):
    return (position - camera) * zoom[:, None]


@wrong("13.4", "wrong way")
def divides(position, camera, zoom, middle):
    return (position - camera) / zoom[:, None] + middle


@wrong("13.4", "wrong axis")
def broadcast_by_chance(position, camera, zoom, middle):
    return ((position - camera).T * zoom).T + middle if len(zoom) > 2 else (position - camera) * zoom + middle


@wrong("13.4", "add the camera up")
def camera_as_speed(position, camera, zoom, middle):
    return (position - camera.cumsum(0)) * zoom[:, None] + middle


@wrong("13.4", "left out")
def without_zoom(position, camera, zoom, middle):
    return position - camera + middle


@wrong("13.4", "measured from where it begins")
def camera_from_its_start(position, camera, zoom, middle):
    return (position - camera + camera[0]) * zoom[:, None] + middle


@wrong("13.4", "camera has no effect")
def without_the_camera(position, camera, zoom, middle):
    return position * zoom[:, None] + middle


@wrong("13.4", "x and y of the middle")
def middle_turned(position, camera, zoom, middle):
    return (position - camera) * zoom[:, None] + middle.flip(0)


@wrong("13.4", "Only x is zoomed")
def wider_only(position, camera, zoom, middle):
    away = position - camera
    return torch.stack([away[:, 0] * zoom, away[:, 1]], dim=1) + middle


@wrong("13.4", "rounded to whole px")
def whole_px(position, camera, zoom, middle):
    return ((position - camera) * zoom[:, None] + middle).round()


@wrong("13.4", "out of view has a place")
def held_at_the_edge(position, camera, zoom, middle):
    return torch.minimum(((position - camera) * zoom[:, None] + middle).clamp(min=0), 2 * middle)


@wrong("13.4", "one frame late")
def camera_of_the_frame_before(position, camera, zoom, middle):
    return (position - camera.roll(1, dims=0)) * zoom[:, None] + middle


@wrong("13.4", "the pan is lost")
def camera_at_its_mean(position, camera, zoom, middle):
    return (position - camera.mean(dim=0)) * zoom[:, None] + middle


@wrong("13.4", "+ 2 · middle")
def twice_the_middle(position, camera, zoom, middle):
    return (position - camera) * zoom[:, None] + 2 * middle


@wrong("13.4", "In y, the camera is taken away -1 times")
def camera_upside_down(position, camera, zoom, middle):
    return (position - camera * torch.tensor([1.0, -1.0])) * zoom[:, None] + middle


@wrong("13.4", "Frames and coordinates")
def coordinates_first(position, camera, zoom, middle):
    return ((position - camera) * zoom[:, None] + middle).T


@wrong("13.4", "from frame to frame")
def camera_steps(position, camera, zoom, middle):
    steps = torch.cat([camera[:1], camera.diff(dim=0)])
    return (position - steps) * zoom[:, None] + middle
