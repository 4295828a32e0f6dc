"""The capstone: a motion that the world did not know. Its track, and a judge that reads it off the frames."""

import math
from functools import lru_cache

import numpy as np
import torch

from minit2v.exercises.judging import Wrong, near, number, pair, said, tensor
from minit2v.exercises.registry import task
from minit2v.world.captions import parse
from minit2v.world.extension import speaking
from minit2v.world.oracle import judge
from minit2v.world.render import render
from minit2v.world.scenes import NANO, scene

GLIDE, HEIGHT = 7.0, 8.0  # px/s to the right, and px up


def zigzag_of(seconds, pace):
    """The track that is asked for, float64 (t, 2)."""
    time = torch.as_tensor(seconds).double() * pace
    rise = 1 - (2 * (time % 1.0) - 1).abs()  # 0 at whole seconds, 1 between them
    return torch.stack([GLIDE * time, -HEIGHT * rise], dim=1)


# ---- the track ---------------------------------------------------------------------------------------------------


@task(
    "17.1", "zigzag(seconds, pace)", "A motion that the world does not know", difficulty=2, importance=4, minutes=15,
    hints=(
        "Draw the path of one second with a pencil: two straight lines. Then x and y apart, each against time. x is "
        "easy. What does y do in the first half of a second, what in the second half, and what in the next second?",
        "A faster pace is a faster clock: with time = seconds · pace, x is 7 · time. For y, take the part of time "
        "behind the point, `time % 1`: it goes from 0 to 1 again and again. How far is that from the nearest end, 0 or "
        "1? Twice that is how high it has climbed, from 0 to 1. And up is where y gets smaller.",
        "`time = seconds * pace`, `climbed = 1 - (2 * (time % 1) - 1).abs()`, `torch.stack([7 * time, -8 * climbed], "
        "dim=1)`.",
    ),
)
def zigzag(learner):
    for frames, fps in ((21, 8), (9, 8), (21, 16)):  # first of all more than two seconds
        seconds = torch.arange(frames) / fps
        way = _way(learner, seconds, 1.0)
        if not near(way[0], torch.zeros(2)):
            raise Wrong(f"At 0 s it is at {_at(way[0])}. A track begins at (0, 0): it says how far from its start a "
                        "subject is.")
        _check_across(way[:, 0], way[:, 1], seconds.double())
        _check_up(learner, way[:, 1], seconds.double())
        _check_pace(learner, seconds)
        part = _way(learner, seconds[3:7], 1.0)
        if near(part, way[3:7] - way[3]):
            raise Wrong(f"Asked for the times from {seconds[3]:g} to {seconds[6]:g} s alone, your track begins again "
                        "at (0, 0): it counts from the first time that is asked for. At 0 s it begins.")
        if not near(part, way[3:7]):
            raise Wrong(f"Asked for the times from {seconds[3]:g} to {seconds[6]:g} s alone, your track says something "
                        "else than for the same times among others: it goes by the number of the frame. Go by the "
                        "seconds.")
    odd = 3 * torch.rand(12, generator=learner.generator)
    if not near(_way(learner, odd, 2.0), zigzag_of(odd, 2.0), 1e-3):
        raise Wrong("At the times of frames your track is right, and at others it is not. It is asked for at any time.")
    return "Straight up, straight down, always on to the right; and quickly is the same path in half the time."


def _way(learner, seconds, pace):
    return tensor(learner(seconds, pace), (len(seconds), 2), "td")


def _at(point):
    return f"({float(point[0]):.3g}, {float(point[1]):.3g})"


def _check_across(x, y, time):
    if near(x, GLIDE * time, 1e-3):
        return
    if near(y, GLIDE * time, 1e-3) or near(y, -GLIDE * time, 1e-3):
        raise Wrong("x and y are exchanged: the first number goes to the right, the second down.")
    if near(x, -GLIDE * time, 1e-3):
        raise Wrong("It goes to the left. To the right, x gets larger.")
    slope = float(x[-1] / time[-1])
    if near(x, slope * time, 1e-3):
        by_frames = float(GLIDE * (len(time) - 1) / time[-1])
        why = " That is 7 px a frame." if near(slope, by_frames, 1e-2) else ""
        raise Wrong(f"It goes to the right by {slope:.3g} px a second, and 7 are asked for.{why}")
    if near(x, (GLIDE * time).round(), 1e-6):
        raise Wrong("Places are rounded to whole px: what moves slowly would jump. Leave them as they are.")
    first = int(((x - GLIDE * time).abs() > 1e-2).nonzero()[0])
    before = f" Up to {float(time[first - 1]):g} s that is so, and" if first > 1 else " But"
    raise Wrong(f"To the right it goes at one speed, 7 px a second, always on.{before} at {float(time[first]):g} s "
                f"yours is at x {float(x[first]):.3g}, where {GLIDE * float(time[first]):.3g} is due.")


def _check_up(learner, y, time):
    due = zigzag_of(time, 1.0)[:, 1]
    if near(y, due, 1e-3):
        return
    if near(y, -due, 1e-3):
        raise Wrong("It goes down first. y counts downwards, so up is negative.")
    fine = torch.arange(241) / 120  # two seconds
    high = _way(learner, fine, 1.0)[:, 1]
    step = high.diff()
    told = f"In two seconds, y goes from {float(high.max()) + 0.0:.3g} to {float(high.min()):.3g}"
    if float(step.abs().max()) > 1.5:
        raise Wrong(f"{told}, and jumps by {float(step.abs().max()):.3g} px at "
                    f"{float(fine[int(step.abs().argmax())]):.2f} s. What goes up must come down the same way, not at "
                    "once.")
    if near(high, torch.zeros_like(high)):
        raise Wrong("It never leaves the ground: y is 0 at all times.")
    if not near(high[:121], high[120:], 1e-3):
        turns = (step.sign().diff().abs() == 2).sum()
        if turns == 0:
            raise Wrong(f"{told} and never turns. It goes up for half a second, and down for half a second, again and "
                        "again.")
        raise Wrong(f"{told}, and the second second is not as the first: one up and down takes 1 s.")
    if near(high[:61], high[60:121], 1e-3):
        raise Wrong(f"{told}, and half a second is as the next: one up *and* down takes 1 s, half a second each.")
    bend = step.diff().abs()
    if int((bend > 1e-2).sum()) > 6 or not near(step[:20], step[0].expand(20), 2e-2):
        raise Wrong(f"{told}, on a curved way. A zigzag is made of straight lines: as fast at the top as anywhere.")
    if float(high.max()) > 0.5 and float(high.min()) < -0.5:
        raise Wrong(f"{told}: it goes up and down about its start. Its start is the lowest point.")
    top = float(high.min()) if float(high.max()) < 0.5 else float(high.max())
    if abs(abs(top) - HEIGHT) > 1e-2:
        raise Wrong(f"{told}: it climbs {abs(top):.3g} px, and 8 are asked for.")
    raise Wrong(f"{told}; after half a second it must be 8 px up, after a whole one at its height again.")


def _check_pace(learner, seconds):
    for pace in (2.0, 0.5):
        way, due, usual = _way(learner, seconds, pace), zigzag_of(seconds, pace), zigzag_of(seconds, 1.0)
        if near(way, due, 1e-3):
            continue
        told = f"At a pace of {pace:g}"
        if near(way, usual, 1e-3):
            raise Wrong(f"{told} it moves as ever: the pace has no effect.")
        if near(way, zigzag_of(seconds, 1 / pace), 1e-3):
            raise Wrong(f"{told} it takes {pace:g} times as long. A pace of 2 is quickly: everything in half the time.")
        for axis, other, name in ((0, 1, "to the right"), (1, 0, "up and down")):
            if near(way[:, axis], due[:, axis], 1e-3) and near(way[:, other], usual[:, other], 1e-3):
                raise Wrong(f"{told} it only goes faster or slower {name}: that is another path. The same path is "
                            "asked for, in another time.")
        if near(way, usual * pace, 1e-3):
            raise Wrong(f"{told} the whole path is {pace:g} times as large. The same path is asked for, in another "
                        "time.")
        clock = way[1:, 0] / usual[1:, 0]  # by how much the clock of x goes faster
        if near(clock, clock.mean().expand_as(clock), 1e-3):
            raise Wrong(f"{told} the clock goes {float(clock.mean()):.3g} times as fast. It has to go {pace:g} times "
                        "as fast: time is seconds · pace.")
        if near((way[:, 0] - usual[:, 0]).diff(), torch.zeros(len(way) - 1), 1e-3):
            raise Wrong(f"{told} the clock goes as ever, and begins earlier or later: a pace is multiplied, and not "
                        "added.")
        raise Wrong(f"{told} it must be where it is at {pace:g} times the seconds at pace 1: the clock goes faster.")


# ---- the judge ---------------------------------------------------------------------------------------------------


@task(
    "17.2", "nearest(position, tracks)", "Which law does it keep?", difficulty=3, importance=5, minutes=20,
    hints=(
        "The clip tells where the subject is, a track how far from its start it should be. Nobody tells where the "
        "start is. What can you take away from both, so that only the motion is left?",
        "The mean place, over the frames that are seen (the others are NaN), of the path and of every track over the "
        "*same* frames. Not the first place: that one may be hidden, and its error would be everybody's. What is left "
        "over is a distance in each frame; sum it up by a root mean square.",
        "`seen = position.isfinite().all(dim=1)`, `p = position[seen] - position[seen].mean(0)`, the same for each "
        "track, `off = {name: (p - t).square().sum(1).mean().sqrt() …}`, `name = min(off, key=off.get)`.",
    ),
)
def nearest(learner):
    _check_synthetic(learner)
    for asked, position, tracks in _filmed():
        name, off = _named(learner, position, tracks)
        _agree(name, off, position, tracks, f"A clip of “{asked}” was drawn, and the oracle measured the path in its "
                                            "frames.")
    return "The place is taken away, the law is told by its residual, and drawn clips are read right."


def _named(learner, position, tracks):
    name, off = pair(learner(position, tracks), ("name", "residual"))
    if isinstance(off, str) and not isinstance(name, str):
        raise Wrong("Name and residual are exchanged: first the key of the nearest track, then what it leaves.")
    if not isinstance(name, str):
        raise Wrong(f"The name is {said(name)}; the key of the nearest track is asked for, a string.")
    off = float(number(off, "residual"))
    if name not in tracks:
        raise Wrong(f"You say {name!r}, and there are {', '.join(tracks)}.")
    if math.isnan(off):
        raise Wrong("The residual is NaN: frames that are not seen are NaN, and so is every sum and mean with them. "
                    "Choose the frames that are seen.")
    return name, off


def _offs(position, tracks):
    seen = position.isfinite().all(dim=1)
    p = position[seen].double()
    offs = {}
    for name, track in tracks.items():
        t = track[seen].double()
        offs[name] = (p - p.mean(dim=0) - t + t.mean(dim=0)).square().sum(dim=1)
    return offs


def _agree(name, off, position, tracks, told):
    offs = {each: float(square.mean().sqrt()) for each, square in _offs(position, tracks).items()}
    due = min(offs, key=offs.get)
    if name != due:
        raise Wrong(f"{told} You say {name!r}, which leaves {offs[name]:.2f} px; {due!r} leaves {offs[due]:.2f}.")
    if abs(off - offs[due]) > 2e-3 * max(1, offs[due]):
        raise Wrong(f"{told} {name!r} is right, and it leaves {offs[due]:.3f} px; you say {off:.3f}.")


def _check_synthetic(learner):
    time = torch.arange(9) / 8
    right = torch.stack([7 * time, 0 * time], dim=1)
    tracks = {"still": 0 * right, "creeps": 0.4 * right, "right": right, "left": -right, "down": right.flip(1),
              "zigzags": zigzag_of(time, 1.0).float()}  # fmt: skip
    start = torch.tensor([17.0, -6.0])
    bent = tracks["right"] + torch.stack([(3 * time).sin(), (5 * time).cos()], dim=1)
    for axis, what in ((0, "left and right"), (1, "up and down")):
        pushed = bent.clone()
        pushed[:, axis] += 4 * (2 * torch.pi * time).sin()
        if near(_named(learner, bent, tracks)[1], _named(learner, pushed, tracks)[1], 1e-4):
            raise Wrong(f"A path that sways {what} leaves as much as one that does not: only one of the two "
                        "coordinates counts in yours.")
    for name in ("right", "creeps", "zigzags", "left", "still"):
        for listed in (tracks, dict(reversed(list(tracks.items())))):
            found, off = _named(learner, tracks[name] + start, listed)
            if found == name and abs(off) < 1e-2:
                continue
            home = _named(learner, tracks[name].clone(), listed)
            told = f"A path that is the track {name!r} exactly, begun at (17, −6),"
            if home[0] == name and abs(home[1]) < 1e-2:
                even = _named(learner, tracks[name] + 9.0, listed)
                if even[0] == name and abs(even[1]) < 1e-2:
                    raise Wrong(f"{told} is named {found!r}, with {off:.3g} px left; begun at (9, 9), it is right. You "
                                "take the same number away from x and y. Each has a mean of its own: dim=0.")
                raise Wrong(f"{told} is named {found!r}, with {off:.3g} px left; begun at (0, 0), it is right. Where "
                            "it begins is no part of a motion: take the mean place away.")
            least = min(_left(bent, track) for track in tracks.values())
            whose = _whose(off, tracks[name], listed)
            if found != name and whose not in (None, found) and near(_named(learner, bent, listed)[1], least, 1e-4):
                raise Wrong(f"{told} is named {found!r}, and the residual is that of {whose!r}: name and residual "
                            "belong to different tracks. Return the name of the one that leaves the least.")
            if found != name and abs(off) < 1e-2:
                raise Wrong(f"{told} is named {found!r}, with nothing left. That is another track, which fits only if "
                            "something of the motion is taken away, or if it is stretched, or turned round: do not "
                            "scale paths to one length, and do not compare directions alone.")
            if found != name and name in ("right", "creeps") and found in ("right", "creeps"):
                raise Wrong(f"{told} is named {found!r}: the direction is the same, the length is not. Do not scale "
                            "paths to one length, and do not compare directions alone.")
            if found == name and (whose := _whose(off, tracks[name], listed)):
                raise Wrong(f"{told} is named {found!r}, and the residual of {off:.3g} px is that of {whose!r}. Return "
                            "what the nearest track leaves.")
            if found == name:
                raise Wrong(f"{told} leaves nothing, and your residual is {off:.3g}.")
            raise Wrong(f"{told} is named {found!r}. The nearest one is asked for, that which leaves the least.")
    name, off = _named(learner, 2 * right + start, tracks)
    if abs(off) < 0.1:
        raise Wrong(f"A path along the track 'right', but twice as far, is named {name!r} with {off:.2f} px left, as "
                    "if the length did not matter. Do not scale paths to one length, and do not compare directions "
                    "alone.")
    late = zigzag_of(time - 1 / 8, 1.0).float() + start
    name, off = _named(learner, late, tracks)
    if abs(off) < 0.1:
        raise Wrong(f"The track 'zigzags', but one frame late, is named {name!r} with {off:.2f} px left, as if the "
                    "time did not matter. A law says where the subject is in each frame: compare frame with frame.")
    _check_spread(learner, tracks, start)
    _check_hidden(learner, tracks, start)


def _whose(off, position, tracks):
    """The name of the track that leaves that much, or None."""
    return next((n for n, square in _offs(position, tracks).items() if abs(float(square.mean().sqrt()) - off) < 1e-3),
                None)  # fmt: skip


HIDDEN = [0, 3, 4, 5]


def _check_hidden(learner, tracks, start):
    """Some frames are not seen: of a track exactly, and of one that is measured with errors."""
    for name in ("right", "zigzags"):
        position = tracks[name] + start
        position[HIDDEN] = math.nan
        found, off = _named(learner, position, tracks)
        if found == name and abs(off) < 1e-2:
            continue
        told = f"The track {name!r} exactly, with frames 0, 3, 4 and 5 hidden (NaN), is named {found!r} with " \
               f"{off:.3g} px left, and there must be 0"
        for words, value in _misread(position, tracks[found]).items():
            if abs(value - off) < 2e-3:
                raise Wrong(f"{told}: {words}.")
        raise Wrong(f"{told}. Take path and track in the same frames, those that are seen, and the mean of both over "
                    "them.")
    position = tracks["zigzags"] + start + 0.5 * learner.draw(*tracks["zigzags"].shape)
    position[HIDDEN] = math.nan
    square = _offs(position, {"zigzags": tracks["zigzags"]})["zigzags"]
    due, (_, off) = float(square.mean().sqrt()), _named(learner, position, tracks)
    if near(off, due, 2e-3):
        return
    told = f"With 4 of {len(position)} frames hidden, {due:.3f} px are left, and you say {off:.3f}"
    if near(off, float((square.sum() / len(position)).sqrt()), 2e-3):
        raise Wrong(f"{told}: you divide by the number of all frames. It is a mean over those that are seen.")
    raise Wrong(f"{told}. Frames that are not seen must not count.")


def _misread(position, track):
    """What would be left, if hidden frames were treated in other ways: {words: px}."""
    seen = position.isfinite().all(dim=1)
    before, behind = position.clone(), position.clone()
    for i in range(1, len(position)):
        before[i] = before[i] if seen[i] else before[i - 1]
        behind[-i - 1] = behind[-i - 1] if seen[-i - 1] else behind[-i]
    between = position.clone()
    for axis in range(2):
        known = seen.nonzero()[:, 0].numpy()
        line = np.interp(np.arange(len(position)), known, position[seen][:, axis].numpy())
        between[:, axis] = torch.from_numpy(line)
    off = position[seen] - position[seen].mean(dim=0) - track[seen] + track.mean(dim=0)
    invented = "places are made up for hidden frames (those of frames {}). Leave these frames out"
    return {
        "hidden frames count as if the subject were at (0, 0) there. Leave these frames out":
            _left(position.nan_to_num(0.0), track),
        "hidden frames are left out of the path, and not of the track: what is compared belongs to different frames":
            _left(position[seen], track[: int(seen.sum())]),
        "the mean of the track is taken over all frames. Take it over the same frames as that of the path":
            float(off.square().sum(dim=1).mean().sqrt()),
        invented.format("before"): _left(before, track), invented.format("behind"): _left(behind, track),
        invented.format("around"): _left(between, track),
    }  # fmt: skip


def _left(position, track):
    return float(_offs(position, {"it": track})["it"].mean().sqrt())


def _check_spread(learner, tracks, start):
    """All frames are measured with errors: how large is the residual, and of which place, by which sum?"""
    count = len(tracks["zigzags"])
    for frame in (0, 4):
        position = tracks["zigzags"] + start + 0.3 * learner.draw(count, 2)
        position[frame] += torch.tensor([3.0, 4.0])
        found, off = _named(learner, position, tracks)
        told = f"Frame {frame} of {count} is measured 5 px off, all others nearly exactly"
        if found != "zigzags":
            raise Wrong(f"{told}, and it is named {found!r}, not 'zigzags': one frame decides. Take away the mean "
                        "place, not that of one frame.")
        due = _left(position, tracks["zigzags"])
        if near(off, due, 1e-4):
            continue
        told = f"{told}. That leaves {due:.3f} px; you say {off:.3f}"
        p, t = position.double(), tracks["zigzags"].double()
        for place, centered in _places(p, t).items():
            for size, value in _sizes(centered).items():
                if near(off, value, 1e-4):
                    raise Wrong(f"{told}: {'; and '.join(words for words in (place, size) if words)}.")
        apart = p - t - (p - t).mean(dim=0)
        if near(off, float(apart.square().mean(dim=0).sqrt().sum()), 1e-4):
            raise Wrong(f"{told}: that is the root mean square of x plus that of y. Add their squares, in each frame.")
        spread = p - t - ((p - t).amax(dim=0) + (p - t).amin(dim=0)) / 2
        if near(off, float(spread.square().sum(dim=1).mean().sqrt()), 1e-4):
            raise Wrong(f"{told}: the place that you take away is midway between the extremes. Take away the "
                        "mean place.")
        if near(off / due, round(off / due), 1e-4):
            raise Wrong(f"{told}: {off / due:.0f} times as much. There is a factor too many.")
        size = float((p - p.mean(dim=0)).square().sum(dim=1).mean().sqrt())
        if near(off, due / size, 1e-3):
            raise Wrong(f"{told}: it is divided by how far the path goes. Px are asked for.")
        if abs(off - due) <= 0.5 and near(off, round(off), 1e-6):
            raise Wrong(f"{told}: it is rounded. Leave it as it is.")
        if n := next((n for n in range(2, count) if near(off, _left(position[:n], tracks["zigzags"][:n]), 1e-4)), 0):
            raise Wrong(f"{told}: only the first {n} of {count} frames are looked at.")
        raise Wrong(f"{told}. Take the root of the mean squared distance, over the frames that are seen.")


def _places(p, t):
    """What is left of a path p and a track t (t, 2), by the place that is taken away: {words: (t, 2)}."""
    off = p - t
    ways = {"": off - off.mean(dim=0), "no place is taken away. Where it begins is no part of a motion": off,
            "the place that you take away is a median. Take away the mean place": off - off.median(dim=0).values,
            "the places that you take away are medians. Take away the mean places":
                p - p.median(dim=0).values - t + t.median(dim=0).values}  # fmt: skip
    for i in range(len(off)):
        which = "the first place" if i == 0 else f"the place of frame {i}"
        ways[f"the error of frame {i} is in all frames, for you take away {which}. Take away the mean place"] = \
            off - off[i]
    return ways


def _sizes(off):
    """Sums of what is left in each frame, off (t, 2), one way and another: {words: px}."""
    square, n = off.square().sum(dim=1), len(off)
    steps = off.diff(dim=0).square().sum(dim=1)
    both = "you take the mean over both coordinates. It is the distance in each frame that counts: add their squares"
    return {each: float(value) for each, value in {
        "": square.mean().sqrt(), both: (square.mean() / 2).sqrt(),
        "the squares are added up. Take their mean": square.sum().sqrt(), "the root is missing": square.mean(),
        "the squares are added up: mean and root are missing": square.sum(),
        "that is half a mean square: the mean over both coordinates, without a root": square.mean() / 2,
        "that is the mean distance. Take the root of the mean square": square.sqrt().mean(),
        "that is the sum of the distances. Take the root of the mean square": square.sqrt().sum(),
        "that is the largest distance. Take the root of the mean square": square.amax().sqrt(),
        "that is the median distance. Take the root of the mean square": square.median().sqrt(),
        "that is the mean of |x| and |y|. The distance is the root of x² + y²": off.abs().mean(),
        "that is the mean of |x| + |y|. The distance is the root of x² + y²": off.abs().sum(dim=1).mean(),
        "you divide by one frame less than there are, as for a spread that is estimated. Take the mean":
            (square.sum() / (n - 1)).sqrt(),
        "you compare steps from frame to frame, in which an error of one place counts twice, and a slow drift hardly "
        "at all. Compare places": steps.mean().sqrt(),
    }.items()}  # fmt: skip


@lru_cache(maxsize=1)
def _filmed():
    """Clips of known motions, drawn and measured: (prompt, position (t, 2), tracks)."""
    time = np.arange(NANO.frames) / NANO.fps
    clips = []
    with speaking("zigzags", lambda t, pace: zigzag_of(t, pace).numpy(), ("ball", "box"), NANO) as world:
        prompts = [f"a small {look} on a checkered floor" for look in (
            "red ball zigzags", "blue box moves right", "yellow ball moves down", "red box stands still", "green box "
                                                                                                          "zigzags",
        )]  # fmt: skip
        for seed, prompt in enumerate(prompts):
            track = judge(render(scene(parse(prompt), seed, world)), world).track
            clips.append((prompt, torch.from_numpy(track.position).float()))
    glide = torch.from_numpy(np.stack([7 * time, 0 * time], axis=1)).float()
    tracks = {"still": 0 * glide, "left": -glide, "right": glide, "up": -glide.flip(1), "down": glide.flip(1)}
    tracks["zigzags"] = zigzag_of(time, 1.0).float()
    return [(prompt, position, tracks) for prompt, position in clips]
