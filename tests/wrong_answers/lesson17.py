"""Answers to the capstone: a motion of one's own, and its judge."""

import math

import numpy as np
import torch

from minit2v.exercises.bank import right, wrong

# ---- 17.1 zigzag(seconds, pace)


@right("17.1")
def with_remainders(seconds, pace):
    time = seconds * pace
    climbed = 1 - (2 * (time % 1) - 1).abs()
    return torch.stack([7 * time, -8 * climbed], dim=1)


@right("17.1")
def moment_by_moment(seconds, pace):
    way = []
    for second in seconds.tolist():
        time = second * pace
        part = time - math.floor(time)
        way.append((7 * time, -16 * min(part, 1 - part)))
    return torch.tensor(way)


@right("17.1")
def with_an_arc_of_cosines(seconds, pace):
    time = seconds.double() * pace
    return torch.stack([7 * time, -8 * torch.arccos(torch.cos(2 * torch.pi * time)) / torch.pi], dim=1)


@wrong("17.1", "up is negative")
def down_first(seconds, pace):
    return with_remainders(seconds, pace) * torch.tensor([1, -1])


@wrong("17.1", "x and y are exchanged")
def rows_first(seconds, pace):
    return with_remainders(seconds, pace).flip(1)


@wrong("17.1", "jumps by")
def a_saw(seconds, pace):
    time = seconds * pace
    return torch.stack([7 * time, -8 * (time % 1)], dim=1)


@wrong("17.1", "curved way")
def a_wave(seconds, pace):
    time = seconds * pace
    return torch.stack([7 * time, -4 * (1 - torch.cos(2 * torch.pi * time))], dim=1)


@wrong("17.1", "pace has no effect")
def always_at_one_pace(seconds, pace):
    return with_remainders(seconds, 1.0)


@wrong("17.1", "only goes faster or slower to the right")
def faster_to_the_right_alone(seconds, pace):
    way = with_remainders(seconds, 1.0)
    return way * torch.tensor([pace, 1.0])


@wrong("17.1", "times as large")
def larger(seconds, pace):
    return pace * with_remainders(seconds, 1.0)


@wrong("17.1", "half a second each")
def twice_as_often(seconds, pace):
    way = with_remainders(seconds, pace)
    return torch.stack([way[:, 0], with_remainders(2 * seconds, pace)[:, 1]], dim=1)


@wrong("17.1", "number of the frame")
def by_the_frame(seconds, pace):
    return with_remainders(torch.arange(len(seconds)) * (seconds[1] - seconds[0]), pace)


@wrong("17.1", "climbs 4 px")
def half_as_high(seconds, pace):
    return with_remainders(seconds, pace) * torch.tensor([1, 0.5])


@wrong("17.1", "about its start")
def about_its_start(seconds, pace):
    time = seconds * pace + 0.25
    climbed = 2 * (1 - (2 * (time % 1) - 1).abs()) - 1
    return torch.stack([7 * seconds * pace, -8 * climbed], dim=1)


@wrong("17.1", "not as the first")
def one_second_only(seconds, pace):
    time = seconds * pace
    return torch.stack([7 * time, -8 * (1 - (2 * time - 1).abs())], dim=1)


@wrong("17.1", "the first time that is asked for")
def from_the_first_time(seconds, pace):
    return with_remainders(seconds, pace) - with_remainders(seconds, pace)[:1]


@wrong("17.1", "Up to")
def back_and_on_again(seconds, pace):
    way = with_remainders(seconds, pace)
    return torch.stack([7 * (seconds * pace % 1), way[:, 1]], dim=1)


@wrong("17.1", "4 times as fast")
def pace_squared(seconds, pace):
    return with_remainders(seconds, pace**2)


@wrong("17.1", "not added")
def pace_added(seconds, pace):
    return with_remainders(seconds + pace - 1, 1)


# ---- 17.2 nearest(position, tracks)


@right("17.2")
def least_residual(position, tracks):
    seen = position.isfinite().all(dim=1)
    p = position[seen] - position[seen].mean(dim=0)
    off = {}
    for name, track in tracks.items():
        t = track[seen] - track[seen].mean(dim=0)
        off[name] = float((p - t).square().sum(dim=1).mean().sqrt())
    name = min(off, key=off.get)
    return name, off[name]


@right("17.2")
def by_variances(position, tracks):
    p = position.double().numpy()
    off = {name: np.nanvar(p - track.numpy(), axis=0).sum() ** 0.5 for name, track in tracks.items()}
    return min((value, name) for name, value in off.items())[::-1]


def residuals(position, tracks, place=None, size=None):
    seen = position.isfinite().all(dim=1)
    place = place or (lambda path: path[seen].mean(dim=0))
    size = size or (lambda off: off.square().sum(dim=1).mean().sqrt())
    p = position - place(position)
    off = {name: float(size((p - track + place(track))[seen])) for name, track in tracks.items()}
    name = min(off, key=off.get)
    return name, off[name]


@wrong("17.2", "take the mean place away")
def where_it_is(position, tracks):
    return residuals(position, tracks, lambda path: torch.zeros(2))


@wrong("17.2", "Take away the mean place")
def from_the_first_frame(position, tracks):
    return residuals(position, tracks, lambda path: path[0])


@wrong("17.2", "over the same frames")
def means_over_all_frames(position, tracks):
    return residuals(position, tracks, lambda path: path[path.isfinite().all(dim=1)].mean(dim=0))


@wrong("17.2", "Choose the frames that are seen")
def with_hidden_frames(position, tracks):
    off = {name: float((position - position.mean(0) - track + track.mean(0)).square().sum(1).mean().sqrt())
           for name, track in tracks.items()}  # fmt: skip
    name = min(off, key=off.get)
    return name, off[name]


@wrong("17.2", "The nearest one is asked for")
def farthest(position, tracks):
    off = {name: residuals(position, {name: track})[1] for name, track in tracks.items()}
    name = max(off, key=off.get)
    return name, off[name]


@wrong("17.2", "directions alone")
def directions_alone(position, tracks):
    seen = position.isfinite().all(dim=1)
    p = position[seen] - position[seen].mean(dim=0)
    off = {}
    for name, track in tracks.items():
        t = track[seen] - track[seen].mean(dim=0)
        unit = [path / path.norm().clamp(min=1e-6) for path in (p, t)]
        off[name] = float((unit[0] - unit[1]).square().sum(dim=1).mean().sqrt())
    name = min(off, key=off.get)
    return name, off[name]


@wrong("17.2", "mean over both coordinates")
def over_both_coordinates(position, tracks):
    return residuals(position, tracks, size=lambda off: off.square().mean().sqrt())


@wrong("17.2", "mean distance")
def mean_distances(position, tracks):
    return residuals(position, tracks, size=lambda off: off.norm(dim=1).mean())


@wrong("17.2", "a string")
def the_number_of_the_track(position, tracks):
    name, off = least_residual(position, tracks)
    return list(tracks).index(name), off


@wrong("17.2", "only one of the two coordinates")
def x_alone(position, tracks):
    return residuals(position[:, :1], {name: track[:, :1] for name, track in tracks.items()})


@wrong("17.2", "the place of frame 8")
def from_the_last_frame(position, tracks):
    return residuals(position, tracks, lambda path: path[-1])


@wrong("17.2", "as if the subject were at (0, 0)")
def hidden_at_the_origin(position, tracks):
    return least_residual(position.nan_to_num(0.0), tracks)


@wrong("17.2", "belongs to different frames")
def frames_moved_up(position, tracks):
    seen = position[position.isfinite().all(dim=1)]
    return least_residual(seen, {name: track[: len(seen)] for name, track in tracks.items()})


@wrong("17.2", "made up for hidden frames")
def held_while_hidden(position, tracks):
    position = position.clone()
    for i in range(1, len(position)):
        if not position[i].isfinite().all():
            position[i] = position[i - 1]
    return least_residual(position, tracks)


@wrong("17.2", "number of all frames")
def mean_over_all_frames(position, tracks):
    name, off = least_residual(position, tracks)
    return name, off * float(position.isfinite().all(dim=1).double().mean()) ** 0.5


@wrong("17.2", "Take their mean")
def squares_added_up(position, tracks):
    name, off = least_residual(position, tracks)
    return name, off * int(position.isfinite().all(dim=1).sum()) ** 0.5


@wrong("17.2", "one frame less")
def as_a_sample(position, tracks):
    name, off = least_residual(position, tracks)
    seen = int(position.isfinite().all(dim=1).sum())
    return name, off * (seen / (seen - 1)) ** 0.5


@wrong("17.2", "are medians")
def median_taken_away(position, tracks):
    seen = position.isfinite().all(dim=1)
    return residuals(position[seen], {name: track[seen] for name, track in tracks.items()},
                     lambda path: path.median(dim=0).values)  # fmt: skip


@wrong("17.2", "from x and y")
def one_mean_for_both(position, tracks):
    seen = position.isfinite().all(dim=1)
    return residuals(position, tracks, lambda path: path[seen].mean())


@wrong("17.2", "that of 'zigzags'")
def what_the_last_one_leaves(position, tracks):
    name, _ = least_residual(position, tracks)
    last = list(tracks)[-1]
    return name, least_residual(position, {last: tracks[last]})[1]


@wrong("17.2", "stretched, or turned round")
def stretched_to_fit(position, tracks):
    seen = position.isfinite().all(dim=1)
    p, off = position[seen] - position[seen].mean(dim=0), {}
    for name, track in tracks.items():
        t = track[seen] - track[seen].mean(dim=0)
        share = (p * t).sum() / t.square().sum().clamp(min=1e-9)
        off[name] = float((p - share * t).square().sum(dim=1).mean().sqrt())
    name = min(off, key=off.get)
    return name, off[name]


@wrong("17.2", "Name and residual are exchanged")
def residual_first(position, tracks):
    return least_residual(position, tracks)[::-1]


@wrong("17.2", "largest distance")
def worst_frame(position, tracks):
    return residuals(position, tracks, size=lambda off: off.norm(dim=1).max())


@wrong("17.2", "as if the time did not matter")
def at_any_time(position, tracks):
    late = {name: least_residual(position[1:], {name: track[:-1]})[1] for name, track in tracks.items()}
    name, off = least_residual(position, tracks)
    return (min(late, key=late.get), min(late.values())) if min(late.values()) < off else (name, off)


@wrong("17.2", "divided by how far the path goes")
def in_shares_of_the_path(position, tracks):
    name, off = least_residual(position, tracks)
    return name, off / max(least_residual(position, {"still": 0 * tracks["still"]})[1], 1e-9)


@wrong("17.2", "places are made up")
def drawn_through(position, tracks):
    seen, frames = position.isfinite().all(dim=1).numpy(), np.arange(len(position))
    filled = np.stack([np.interp(frames, frames[seen], axis[seen]) for axis in position.numpy().T], axis=1)
    return least_residual(torch.from_numpy(filled).float(), tracks)


@wrong("17.2", "only the first 5 of 9 frames")
def first_half(position, tracks):
    half = len(position) // 2 + 1
    return least_residual(position[:half], {name: track[:half] for name, track in tracks.items()})


@wrong("17.2", "belong to different tracks")
def first_in_the_alphabet(position, tracks):
    return min(tracks), least_residual(position, tracks)[1]


@wrong("17.2", "Add their squares, in each frame")
def axis_by_axis(position, tracks):
    return residuals(position, tracks, size=lambda off: off.square().mean(dim=0).sqrt().sum())


@wrong("17.2", "between the extremes")
def midway(position, tracks):
    off = {}
    for name, track in tracks.items():
        apart = (position - track)[position.isfinite().all(dim=1)]
        apart = apart - (apart.amax(dim=0) + apart.amin(dim=0)) / 2
        off[name] = float(apart.square().sum(dim=1).mean().sqrt())
    name = min(off, key=off.get)
    return name, off[name]
