"""Lesson 02, the frame tape: looking along the flow, flicker, identity drift, and gravity out of a bounce."""

import torch

from minit2v.exercises.judging import Wrong, compare, near, number, pair, tensor
from minit2v.exercises.registry import task

# ---- along the flow ----------------------------------------------------------------------------------------------


@task(
    "02.1", "warp(frame, flow)", "Look where the flow leads", difficulty=4, importance=4, minutes=25,
    hints=(
        "Do not push pixels to where they go: two may land on one place, and some places get none. Go through the "
        "places of the *result* and ask each where it has to look.",
        "The place (row, column) looks at row + flow[..., 1], column + flow[..., 0]. That lies between four pixels. "
        "How much of each? The nearer one gets the larger share, along each axis for itself.",
        "`x = (columns + flow[..., 0]).clamp(0, w - 1)`, `left = x.floor().clamp(max=w - 2).long()`, `fx = x - left`, "
        "the same for y; then `(1 - fy) * ((1 - fx) * frame[top, left] + fx * frame[top, left + 1]) + fy * (…)`.",
    ),
)
def warp(learner):
    h, w = 6, 8
    _check_pulled(learner, h, w)
    _check_still(learner, h, w)
    _check_direction(learner, 13, 14)
    flow = 3.2 * torch.rand(h, w, 2, generator=learner.generator) - 1.6
    _check_between(learner, flow)
    frame = learner.draw(h, w, 3)
    _check_four(learner, frame, flow)
    flow = 12 * torch.rand(h, w, 2, generator=learner.generator) - 6
    _check_border(learner, flow)
    compare(learner(frame, flow), _warped(frame, flow), "hwc")
    one = learner.draw(5, 12, 1), 3 * learner.draw(5, 12, 2)
    compare(learner(*one), _warped(*one), "hwc", "result for a frame of one channel")
    return "Every place looks where its own flow leads, and between pixels it mixes the four around."


def _places(h, w):
    """The own place of each pixel, (h, w, 2): column, row."""
    row, column = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([column, row], dim=-1).double()


def _looked(learner, flow):
    """A frame whose pixels say where they are tells where each place of the result has looked: (h, w, 2), and by how
    much in all, (h, w), which is 1 for a mixture."""
    h, w = flow.shape[:2]
    frame = torch.cat([_places(h, w), torch.ones(h, w, 1)], dim=-1).float()
    y = tensor(learner(frame, flow), frame.shape, "hwc")
    return y[..., :2], y[..., 2]


def _warped(frame, flow):
    h, w = frame.shape[:2]
    at = _places(h, w) + flow.double()
    x, y = at[..., 0].clamp(0, w - 1), at[..., 1].clamp(0, h - 1)
    left, top = x.floor().clamp(max=w - 2).long(), y.floor().clamp(max=h - 2).long()
    fx, fy, frame = (x - left)[..., None], (y - top)[..., None], frame.double()
    upper = (1 - fx) * frame[top, left] + fx * frame[top, left + 1]
    lower = (1 - fx) * frame[top + 1, left] + fx * frame[top + 1, left + 1]
    return (1 - fy) * upper + fy * lower


def _check_pulled(learner, h, w):
    """All places look at one pixel. Whoever pushes pixels instead brings all of them there, and none elsewhere."""
    own, middle = _places(h, w), torch.tensor([3.0, 2.0])
    looked, share = _looked(learner, (middle - own).float())
    others = (own != middle).any(dim=-1)
    kept = near(looked[others], own[others]) and not near(looked[~others], own[~others])
    if kept or near(share[others], torch.zeros(int(others.sum()))):
        raise Wrong("You push pixels to where they go: when all flows lead to one place, that place gets something and "
                    "the others get nothing. Ask for each place of the result where it has to look: then all show that "
                    "one.")


def _check_still(learner, h, w):
    inner = slice(1, -1)
    looked, share = _looked(learner, torch.zeros(h, w, 2))
    off = (looked - _places(h, w))[inner, inner]
    alike = near(share, torch.ones_like(share)) and near(off, off[:1, :1].expand_as(off))
    x, y = off[0, 0].tolist()
    if alike and max(abs(x), abs(y)) > 1e-2:
        raise Wrong(f"With a flow of 0 your places look at the one ({x:.2g}, {y:.2g}) px away. Pixel i is at i: add "
                    "and take away nothing, no half pixel either, on the way there or back.")
    wide = float(looked[2, 4, 0] - looked[2, 2, 0]) / 2
    level = near(looked[2, :, 1], looked[2, :1, 1].expand(w))
    if near(share, torch.ones_like(share)) and level and abs(wide - 1) > 1e-2:
        raise Wrong(f"With a flow of 0, neighbors look at places {wide:.3g} px apart: the picture comes out stretched. "
                    "Pixel i is at i, the first at 0 and the last at w − 1 (where grids go from −1 to 1: at −1 and at "
                    "1).")
    frame = learner.draw(h, w, 3)
    y = tensor(learner(frame, torch.zeros(h, w, 2)), frame.shape, "hwc")
    what = "result for a flow of 0, which must be the frame itself,"
    compare(y[:-1, :-1], frame[:-1, :-1], "hwc", what)  # its last row and column are the border's business


def _check_direction(learner, h, w):
    """The whole picture looks to one side: only where it looks counts, and only where that is inside."""
    dx, dy = 2.0, -1.0
    looked, share = _looked(learner, torch.tensor([dx, dy]).expand(h, w, 2).clone())
    inner = (slice(5, h - 5), slice(5, w - 5))
    off = (looked - _places(h, w))[inner]
    if not near(share[inner], torch.ones_like(share[inner])):
        raise Wrong("Some places of the result get nothing, or too much: a frame that is 1 everywhere must stay 1.")
    if not near(off, off[:1, :1].expand_as(off)):
        raise Wrong("With the same flow everywhere, all places must look equally far; yours do not.")
    x, y = off[0, 0].tolist()
    told = f"With a flow of ({dx:g}, {dy:g}), a place looks at the one ({x:g}, {y:g}) away"
    for found, words in {
        (-dx, -dy): "that is the wrong direction. The place p shows what the frame has at p + flow.",
        (dy, dx): "x and y are exchanged. flow[..., 0] goes along the columns (to the right), flow[..., 1] along the "
                  "rows.",
        (-dy, -dx): "x and y are exchanged, and the direction is wrong.",
        (dx, -dy): "y has the wrong sign: rows are counted downwards, as the flow is.",
        (-dx, dy): "x has the wrong sign.",
        (dx, 0): "it moves along x only.", (0, dy): "it moves along y only.", (0, 0): "the flow has no effect.",
    }.items():  # fmt: skip
        if near(off[0, 0], torch.tensor(found)):
            raise Wrong(f"{told}: {words}")
    if not near(off[0, 0], torch.tensor([dx, dy])):
        raise Wrong(f"{told}: too far, or not far enough. The flow is in pixels; is something divided by the size of "
                    "the frame, or by that size less 1?")


def _check_between(learner, flow):
    """Where places look that lie between pixels."""
    h, w = flow.shape[:2]
    looked, share = _looked(learner, flow)
    due = _places(h, w) + flow.double()
    size = torch.tensor([w - 1, h - 1])
    inside = ((due > 0) & (due < size)).all(dim=-1)
    looked, due, own = looked[inside], due[inside], _places(h, w)[inside]
    if not near(share[inside], torch.ones(len(due))):
        worst = float(share[inside][(share[inside] - 1).abs().argmax()])
        raise Wrong(f"A frame that is 1 everywhere becomes {worst:.3g} in some places: the shares of the four pixels "
                    "must add up to 1, and each place of the result must get them.")
    if near(looked, due):
        return
    whole, part = due.floor(), due - due.floor()
    for found, words in (
        (due.round(), "the nearest pixel is taken, whole. Mix the four pixels around that place"),
        (whole, "the way is cut down to whole pixels. Mix the four pixels around that place"),
        (own + flow[inside].double().trunc(), "the flow is cut to whole pixels. Keep the part behind the point: it "
                                              "says how to mix"),
        (whole + part.flip(-1), "the shares along x and those along y are exchanged"),
        (whole + 1 - part, "the shares of the two neighbors are exchanged: the nearer pixel must get the larger share"),
        (own + flow.double().mean((0, 1)), "all places get the same flow. Each has its own"),
    ):
        for axes, where in (((0, 1), ""), ((0,), " along x"), ((1,), " along y")):
            mixed = due.clone()
            mixed[:, list(axes)] = found[:, list(axes)]
            if near(looked, mixed, 1e-3):
                raise Wrong(f"Between pixels{where}, {words}.")
    worst = int((looked - due).abs().sum(-1).argmax())
    a, b, c, d = (*looked[worst].tolist(), *due[worst].tolist())
    raise Wrong(f"Between pixels, places look at the wrong spot: one looks at x {a:.2f}, y {b:.2f}, where x {c:.2f}, y "
                f"{d:.2f} is due. The shares of left and right are 1 − fx and fx, those of above and below 1 − fy and "
                "fy.")


def _check_four(learner, frame, flow):
    """A picture that is no even slope: are all four neighbors used, in the right shares?"""
    due = _warped(frame, flow)
    at = _places(*frame.shape[:2]) + flow.double()
    inside = ((at > 0) & (at < torch.tensor([frame.shape[1] - 1, frame.shape[0] - 1]))).all(dim=-1)
    y = tensor(learner(frame, flow), frame.shape, "hwc")
    if near(y[inside], due[inside]):
        return
    for c in range(frame.shape[2]):
        for other in range(frame.shape[2]):
            if c != other and near(y[inside][:, c], due[inside][:, other]):
                raise Wrong("The channels of the result are exchanged, or one channel is taken for all.")
    raise Wrong("A picture that gets evenly brighter is right, any other is not: so the four pixels around a spot do "
                "not all get their own share. Upper left (1 − fx)(1 − fy), upper right fx (1 − fy), lower left (1 − "
                "fx) fy, lower right fx · fy.")


def _check_border(learner, flow):
    h, w = flow.shape[:2]
    looked, share = _looked(learner, flow)
    at = _places(h, w) + flow.double()
    size = torch.tensor([w, h]).double()
    far = ((at < -1) | (at > size)).any(dim=-1)
    inside = ((at >= 0) & (at <= size - 1)).all(dim=-1)
    due = torch.minimum(at.clamp(min=0), size - 1)
    if near(looked, due, 1e-3) and near(share, torch.ones_like(share), 1e-3):
        return
    told = "Inside all is well. But a place that looks outside of the frame must show the nearest pixel of its border"
    if near(share[far], torch.zeros_like(share[far])):
        raise Wrong(f"{told}, and yours show black (0).")
    wrapped = torch.remainder(at, size)
    if near(looked[far & (wrapped < size - 1).all(-1)], wrapped[far & (wrapped < size - 1).all(-1)], 1e-3):
        raise Wrong(f"{told}, and yours come in again at the other side.")
    own = _places(h, w)
    if near(looked[far], own[far], 1e-3):
        raise Wrong(f"{told}, and yours show what was there before.")
    if not near(looked[inside], due[inside], 1e-3):
        raise Wrong("With long flows, places that look at the last row or column of the frame go wrong.")
    worst = int((looked - due).abs().sum(-1).argmax())
    a, b, c, d = (*looked.view(-1, 2)[worst].tolist(), *due.view(-1, 2)[worst].tolist())
    raise Wrong(f"{told}; one of yours shows what is at x {a:.2f}, y {b:.2f}, where x {c:.2f}, y {d:.2f} is due.")


# ---- flicker -----------------------------------------------------------------------------------------------------


@task(
    "02.2", "flicker(frames, step)", "What no motion explains", difficulty=4, importance=5, minutes=25,
    hints=(
        "What lies at place p in frame t was at p − step in the frame before, and will be at p + step in the frame "
        "after. Bring both neighbors there before you compare.",
        "Compare a frame with the *mean* of its two neighbors: then light that changes evenly is no flicker. And leave "
        "out the pixels whose past or future lies outside of the picture: nobody knows them.",
        "With x, y the columns and rows at least |dx|, |dy| from the border: `now = frames[1:-1, y0:y1, x0:x1]`, "
        "`before = frames[:-2, y0 - dy:y1 - dy, x0 - dx:x1 - dx]`, `after = frames[2:, y0 + dy:y1 + dy, x0 + dx:x1 + "
        "dx]`, and `(now - (before + after) / 2).abs().mean()`.",
    ),
)
def flicker(learner):
    shape = (6, 9, 11)
    _check_light(learner, shape)
    for step in ((2, -1), (-1, 0), (1, 2)):
        _check_followed(learner, shape, step)
        frames = _panned(learner, shape, step) + 10 * learner.draw(shape[0], 1, 1) + learner.draw(*shape)
        _same(number(learner(frames, step), "flicker"), _flickers(frames, step), "a clip that pans, in a trembling "
                                                                                 "light,")
    return "A pan reads 0, a loose bulb reads what it trembles, and a lamp that is slowly turned up reads 0."


def _panned(learner, shape, step):
    """A picture that goes by, (t, h, w): what is seen moves by `step` from frame to frame."""
    t, h, w = shape
    dx, dy = step
    wall = 50 * learner.draw(h + t * abs(dy), w + t * abs(dx))
    x0, y0 = (t * d if d > 0 else 0 for d in step)
    return torch.stack([wall[y0 - k * dy : y0 - k * dy + h, x0 - k * dx : x0 - k * dx + w] for k in range(t)])


def _flickers(frames, step):
    (_, h, w), (dx, dy) = frames.shape, step
    y, x = torch.arange(abs(dy), h - abs(dy))[:, None], torch.arange(abs(dx), w - abs(dx))
    frames = frames.double()
    off = frames[1:-1, y, x] - (frames[:-2, y - dy, x - dx] + frames[2:, y + dy, x + dx]) / 2
    return float(off.abs().mean())


def _same(found, due, what):
    if not near(found, due, 1e-3):
        factor = found / due if due else 0
        raise Wrong(f"For {what} your flicker is {found:.4g}, and {due:.4g} is due ({factor:.3g} times as much).")


def _check_light(learner, shape):
    """The camera holds: what does the light do, and how does the figure grow with it?"""
    t, h, w = shape

    def read(light, still=None):
        wall = 50 * torch.ones(1, h, w) if still is None else still
        return number(learner(wall.expand(len(light), *wall.shape[1:]) + light.view(-1, 1, 1), (0, 0)), "flicker")

    wall, turns = 50 * learner.draw(1, h, w), torch.tensor([1.0, -1.0])
    nothing, even = read(torch.zeros(t), wall), read(4.0 * torch.arange(t), wall)
    if abs(nothing) > 1e-3:
        raise Wrong(f"A clip that stands still has no flicker at all, and yours is {nothing:.4g}: frames are compared "
                    "at different places, or not with frames.")
    small, large = read(3 * turns.repeat(t)[:t], wall), read(6 * turns.repeat(t)[:t], wall)
    if min(small, large) < -1e-3 or abs(large) < 1e-3:
        raise Wrong(f"A lamp that jumps by ±6 levels reads {large:.3g}: what is too bright and what is too dark "
                    "cancel. Take absolute values before the mean.")
    if near(large, 4 * small, 1e-3):
        raise Wrong("A lamp that trembles twice as much gives four times the figure: you square. Take absolute values.")
    if abs(even) > 1e-2:
        raise Wrong(f"A lamp that is evenly turned up, by 4 levels a frame, reads {even:.3g}. That is slow change, no "
                    "flicker: compare each frame with the mean of the one before and the one after.")
    longer, wider = read(6 * turns.repeat(3 * t)[: 3 * t], wall), read(6 * turns.repeat(t)[:t], wall.repeat(1, 2, 2))
    if not near(longer, large, 1e-3):
        mean = near(longer / large, (3 * t - 2) / (3 * t) * t / (t - 2), 1e-3)
        why = f"you divide by {t} frames, and only {t - 2} have two neighbors" if mean else "take a mean over them"
        raise Wrong(f"The same light in a clip three times as long reads {longer / large:.3g} times as much: {why}.")
    if not near(wider, large, 1e-3):
        raise Wrong(f"The same light in a picture of twice the sides reads {wider / large:.3g} times as much: take a "
                    "mean over the pixels.")
    _check_pixels(learner, shape)
    if not near(large, 12, 1e-3):
        raise Wrong("A lamp that jumps between +6 and −6 levels is 12 off from the mean of its neighbors, and yours "
                    f"reads {large:.4g}, {large / 12:.3g} times that. Is the mean of the two neighbors taken, (before "
                    "+ after) / 2?")
    _check_flash(read, wall)
    light = 9 * learner.draw(t)
    due = float((light[1:-1] - (light[:-2] + light[2:]) / 2).abs().mean())
    _same(read(light, wall), due, "a clip that stands still in a trembling light")


def _check_flash(read, wall):
    """One frame of twelve is 10 levels brighter: it is 10 off, and its neighbors 5, on a mean of ten frames 2."""
    light = torch.zeros(12)
    light[6] = 10.0
    found = read(light, wall)
    for value, words in (
        (10.0, "the largest value counts alone"), (0.0, "as if nothing had been: is it a median?"),
        (15**0.5, "that is a root mean square"), (1.0, "a part of it is left out"),
    ):
        if near(found, value, 1e-3):
            raise Wrong(f"A single flash of 10 levels in 12 frames reads {found:.3g}, and 2 is due: {words}. Take the "
                        "mean of the absolute values.".replace("?.", "?"))


def _check_pixels(learner, shape):
    """A brighter wall, and one half of which gets brighter while the other half gets darker."""
    t, h, w = shape
    turns = 6.0 * (1 - 2 * (torch.arange(t) % 2)).view(-1, 1, 1).expand(t, h, w)
    large, bright = (number(learner(turns + level, (0, 0)), "flicker") for level in (50.0, 500.0))
    if not near(bright, large, 1e-3):
        raise Wrong(f"The same trembling on a brighter wall reads {bright:.3g} instead of {large:.3g}: levels are "
                    "asked for, not shares of the brightness.")
    parted = turns * torch.where(torch.arange(w) < w // 2, 1.0, -1.0)
    found = number(learner(parted, (0, 0)), "flicker")
    if not near(found, large, 1e-3):
        raise Wrong("When half of the picture gets brighter as the other half gets darker, your flicker is "
                    f"{found:.3g} instead of {large:.3g}: the pixels cancel before you take absolute values. Mean "
                    "last.")


def _check_followed(learner, shape, step):
    """The picture goes by: is it followed, in which direction, and what of the border?"""
    (dx, dy), frames = step, _panned(learner, shape, step)
    found = number(learner(frames, step), "flicker")
    if abs(found) < 1e-2:
        return
    told = f"A wall that goes by, {step} pixels a frame, in a steady light has no flicker; yours is {found:.3g}"

    def fits(other):
        return any(other) and abs(number(learner(frames, other), "flicker")) < 1e-2

    if fits((-dx, -dy)):
        raise Wrong(f"{told}. You follow it in the wrong direction: what is at p now was at p − step in the frame "
                    "before.")
    if fits((dy, dx)):
        raise Wrong(f"{told}. x and y are exchanged: step is (columns, rows).")
    if near(found, number(learner(frames, (0, 0)), "flicker"), 1e-3):
        raise Wrong(f"{told}: you have measured the camera. Compare along the motion: shift the neighbors by the step "
                    "before you take the difference.")
    if abs(number(learner(_panned(learner, shape, (2 * dx, 2 * dy)), step), "flicker")) < 1e-2:
        raise Wrong(f"{told}. You follow it twice as far as it goes: its neighbors are one step away, each to its "
                    "side.")
    around = torch.stack([frames[0].roll((k * dy, k * dx), (0, 1)) for k in range(len(frames))])
    if abs(number(learner(around, step), "flicker")) < 1e-2:
        raise Wrong(f"{told}. All of it comes from the border: what is shifted in from the other side is not what was "
                    "there. Leave those pixels out.")
    raise Wrong(f"{told}. Both neighbors have to be shifted, the one before by +step, the one after by −step, and "
                "pixels that have no place in one of them are left out (not counted as 0).")


# ---- drift -------------------------------------------------------------------------------------------------------


@task(
    "02.3", "drift(colors, seen)", "Still the same dog?", difficulty=2, importance=5, minutes=15,
    hints=(
        "The same as *when*? A dog that fades slowly is fine from frame to frame, and another dog in the end. Compare "
        "with one fixed moment.",
        "That moment is the first frame in which the dog is seen. The distance of two colors is the Euclidean length "
        "of their difference. Frames in which it is hidden say nothing, and the first one is 0 off by definition: "
        "leave both out of the mean.",
        "`shown = colors[seen]`, then the mean of `(shown[1:] - shown[0]).norm(dim=-1)`.",
    ),
)
def drift(learner):
    patterns = (
        torch.tensor([True, True, True, True, True, True]),
        torch.tensor([False, True, True, False, True, True, True, False]),
    )
    for seen in patterns:
        base = 40 * learner.draw(3)
        _check_profile(learner, base, seen)
        colors = base + 8 * learner.draw(len(seen), 3)
        shown = colors[seen].double()
        due = float((shown[1:] - shown[0]).norm(dim=-1).mean())
        found = number(learner(colors, seen), "drift")
        if not near(found, due, 1e-3):
            raise Wrong(f"With {int(seen.sum())} of {len(seen)} frames seen your drift is {found:.4g}, and {due:.4g} "
                        "is due: the mean distance of the later frames from the first one seen.")
    return "Against the first frame that shows it, over the frames that show it."


def _check_profile(learner, base, seen):
    """One frame has another color, all others the same: how far does the figure move, for each frame?"""
    order = seen.nonzero().flatten().tolist()
    first, last, count = order[0], order[-1], len(order)
    calm = base.repeat(len(seen), 1)

    def read(frame, *change):
        colors = calm.clone()
        colors[frame] += torch.tensor(change)
        return number(learner(colors, seen), "drift")

    nothing = number(learner(calm, seen), "drift")
    if abs(nothing) > 1e-3:
        raise Wrong(f"A dog whose color never changes has a drift of 0, and yours is {nothing:.4g}.")
    for frame in (~seen).nonzero().flatten().tolist():
        moved = read(frame, 3.0, 4.0, 0.0)
        if abs(moved) > 1e-3:
            begins = frame < first and moved > 4
            why = "the colors are compared with that frame" if begins else "it is counted"
            raise Wrong(f"Frame {frame} is not seen, and yet your drift moves with its color: {why}. What is measured "
                        "behind a pillar is not the dog.")
    calm[order[1]] += torch.tensor([5.0, 0.0, 0.0])
    cancel = read(order[2], -5.0, 0.0, 0.0)
    calm[order[1]] = base
    _check_length(read, order, cancel)
    push = {frame: read(frame, 3.0, 4.0, 0.0) for frame in order}
    inner = [push[frame] for frame in order[1:-1]]
    told = (f"One frame of {count} is 5 off, all others are alike: if it is frame {first}, the first, your drift is "
            f"{push[first]:.3g}, for frame {order[1]} it is {push[order[1]]:.3g}, for the last {push[last]:.3g}. (Due: "
            f"{5.0:g}, {5 / (count - 1):.3g}, {5 / (count - 1):.3g}.)")
    if near(push[first], push[last]) and all(near(each, 2 * push[last], 1e-3) for each in inner):
        raise Wrong(f"{told} You compare each frame with the one before it, and so a dog that changes slowly passes. "
                    "Compare with the first frame that shows it.")
    if near(push[first], inner[0], 1e-3) and near(push[last], inner[0], 1e-3):
        why = "in yours it is treated as any other. Do you compare with the mean?"
        if near(push[last], 5, 1e-3):
            why = "the largest distance counts alone; take the mean."
        raise Wrong(f"{told} Compare with the first frame that is seen: {why}")
    if push[last] > 1.5 * push[first] and near(push[first], inner[0], 1e-3):
        raise Wrong(f"{told} You compare with the last frame; the first that shows the dog is asked for.")
    idle = [frame for frame in order[1:] if abs(push[frame]) < 1e-3]
    if idle:
        raise Wrong(f"{told} Frame {idle[0]} has no effect, and every frame in which the dog is seen counts.")
    ratio = push[last] / (5 / (count - 1))
    if near(ratio, 1, 1e-3) and near(push[first], 5, 1e-3):
        return
    if near(ratio, (count - 1) / count, 1e-3):
        raise Wrong(f"{told} The first frame is counted, which is 0 off by definition: divide by {count - 1}, not "
                    f"{count}.")
    if near(ratio, (count - 1) / len(seen), 1e-3) or near(ratio, (count - 1) / (len(seen) - 1), 1e-3):
        raise Wrong(f"{told} You divide by the number of all frames; frames in which the dog is hidden do not count.")
    if near(ratio, (count - 1) ** 0.5, 1e-3):
        raise Wrong(f"{told} That is the root of a mean square over the frames. Take their plain mean.")
    if near(ratio, count - 1, 1e-3):
        raise Wrong(f"{told} The distances are added up. Take their mean.")
    raise Wrong(f"{told} Take the mean distance from the first frame seen over the others that are seen.")


def _check_length(read, order, cancel):
    """How long is a difference of three numbers? The same frame, moved by 5 in one direction or another."""
    frame = order[1]
    slanted, straight, back = read(frame, 3.0, 4.0, 0.0), read(frame, 5.0, 0.0, 0.0), read(frame, -5.0, 0.0, 0.0)
    double = read(frame, 10.0, 0.0, 0.0)
    axes = [read(frame, *(5.0 * (k == axis) for k in range(3))) for axis in range(3)]
    if max(axes) > 1e-3 and min(axes) < 1e-3:
        deaf = ", ".join(name for name, found in zip(("L", "a", "b"), axes, strict=True) if found < 1e-3)
        raise Wrong(f"Of the three numbers of a color, yours does not see {deaf}: a change in it alone reads 0.")
    if abs(straight) < 1e-3 and abs(slanted) < 1e-3:
        raise Wrong(f"When the color of frame {frame} changes, your drift stays 0. Every frame in which the dog is "
                    "seen counts.")
    if not near(back, straight, 1e-3):
        raise Wrong("A change of −5 reads differently from one of +5: signs must not count, or they cancel.")
    if near(double, 4 * straight, 1e-3):
        raise Wrong("A change twice as large gives four times the drift: a root is missing. The distance is √(ΔL² + "
                    "Δa² + Δb²).")
    if near(cancel, 0.0, 1e-3):
        raise Wrong("One frame is off by +5 and another by −5, and your drift is 0: opposite changes cancel. Take the "
                    "length of the difference in each frame, and then the mean.")
    if not near(slanted, straight, 1e-3):
        summed = near(slanted / straight, 1.4, 1e-2)
        kind = "sum or mean of the absolute values" if summed else "largest of the three, or a part of them"
        raise Wrong("A change of (3, 4, 0) and one of (5, 0, 0) are equally far, 5, but in yours the first is "
                    f"{slanted / straight:.3g} times the second: you take the {kind}. The distance is √(ΔL² + Δa² + "
                    "Δb²).")


# ---- gravity -----------------------------------------------------------------------------------------------------


@task(
    "02.4", "gravity(heights, fps)", "Gravity out of a bounce", difficulty=3, importance=3, minutes=20,
    hints=(
        "Something that falls is where it was, plus how fast it was times the time, plus something that grows with the "
        "square of the time: three unknowns. You have as many equations as frames.",
        "With τ = frame / fps in seconds: height = a + v · τ + g · τ² / 2. Least squares gives a, v and g; the "
        "residual is the root mean square of what is left over.",
        "`design = torch.stack([torch.ones_like(time), time, time**2 / 2], dim=1)`, `fit = torch.linalg.lstsq(design, "
        "heights[:, None]).solution`, g is `fit[2]`, and the residual `(heights - (design @ fit)[:, 0])`, squared, "
        "averaged, rooted.",
    ),
)
def gravity(learner):
    names = ("gravity", "residual")

    def read(heights, fps):
        g, residual = pair(learner(heights, fps), names)
        return float(number(g, "gravity")), float(number(residual, "residual"))

    for count, fps in ((9, 8), (17, 16), (7, 4)):
        time = torch.arange(count) / fps
        fall = 60.0 * time**2 / 2
        _check_unknowns(read, fall, time, fps)
        rough = torch.where(torch.arange(count) % 2 == 0, 1.0, -1.0) * torch.rand(count, generator=learner.generator)
        due, left, flat, most = _parabola(fall + rough, time)
        _check_residual(read, fall, rough, fps, left, flat, most)
        found = read(fall + rough, fps)
        if not near(found[0], due, 5e-3):
            raise Wrong(_not_all(read, fall, fps, found[0], due))
    return "Where it starts and how fast do not matter; every frame does; and what no parabola explains is told apart."


def _parabola(heights, time):
    """Gravity, residual, and of what is left the mean and largest absolute value, float64."""
    design = torch.stack([torch.ones_like(time), time, time**2 / 2], dim=1).double()
    fit = torch.linalg.lstsq(design, heights.double()[:, None]).solution
    left = heights.double() - (design @ fit)[:, 0]
    return float(fit[2]), float(left.square().mean().sqrt()), float(left.abs().mean()), float(left.abs().max())


def _check_unknowns(read, fall, time, fps):
    """What moves the gravity that is found? Only gravity may."""
    (plain, left), higher, thrown = read(fall, fps), read(fall + 20, fps)[0], read(fall - 25 * time, fps)[0]
    if abs(plain) < 1e-2 and near(left, 60, 5e-3):
        raise Wrong("The two numbers stand in the wrong order: (gravity, residual).")
    if not near(higher, plain, 2e-2):
        raise Wrong(f"The same fall, 20 px lower in the picture, gives another gravity ({higher:.4g} instead of "
                    f"{plain:.4g}): where it starts is an unknown as well. Fit a constant, too.")
    if not near(thrown, plain, 2e-2):
        raise Wrong(f"Thrown upwards at 25 px/s instead of dropped, it has another gravity ({thrown:.4g} instead of "
                    f"{plain:.4g}): how fast it starts is an unknown as well. Fit a term with the time itself, too.")
    if near(plain, 60, 5e-3):
        return
    told = f"Something falls at 60 px/s², filmed at {fps} frames a second, and your gravity is {plain:.4g}"
    factor = plain / 60
    for found, words in {
        0.5: "half of it. The term is g · τ² / 2: what stands before τ² is g / 2",
        2: "twice as much. The term is g · τ² / 2",
        -1: "the sign is wrong. y counts downwards, and so does gravity",
        -0.5: "the sign is wrong (y counts downwards), and so is the factor of τ² / 2",
        1 / fps**2: "that is px per frame². A frame lasts 1 / fps seconds",
        0.5 / fps**2: "that is in px per frame², and half of it. A frame lasts 1 / fps seconds, and the term is g · τ² "
                      "/ 2",
        1 / fps: "as if a second had √fps frames. Time is frame / fps, and it is squared",
        fps: "seconds are not squared", fps**2: "the time is divided by fps twice",
        1 / fps**4: "the time is frame / fps, not frame · fps",
    }.items():
        if abs(factor / found - 1) < 1e-2:
            raise Wrong(f"{told}: {words}.")
    raise Wrong(f"{told}, {factor:.4g} times what it should be.")


def _check_residual(read, fall, rough, fps, left, flat, most):
    exact, found, double = read(fall, fps)[1], read(fall + rough, fps)[1], read(fall + 2 * rough, fps)[1]
    count = len(fall)
    if abs(exact) > 2e-2:
        raise Wrong(f"A perfect fall leaves nothing unexplained, and your residual of it is {exact:.3g}.")
    if near(found, left, 1e-2):
        return
    told = f"What is left over has a root mean square of {left:.4g}, and your residual is {found:.4g}"
    if near(found, flat, 1e-2):
        raise Wrong(f"{told}: that is the mean of the absolute values. Take the root of the mean square.")
    if abs(found) < 1e-3:
        raise Wrong(f"{told}: what is above and what is below the parabola cancels. Square before you take the mean.")
    if near(double, 4 * found, 2e-2):
        summed = "the sum of squares" if near(found, left**2 * count, 2e-2) else "the mean of squares"
        raise Wrong(f"{told}: twice the error gives four times the figure. That is {summed}, without the root (and "
                    "without the mean, if it is a sum).")
    if near(found, most, 1e-2):
        raise Wrong(f"{told}: that is the largest error alone.")
    for factor, words in (
        (count**0.5, "the squares are added up. Take their mean, then the root"),
        ((count / (count - 3)) ** 0.5, f"you divide by {count - 3}, and the plain mean over the {count} frames is "
                                       "asked for"),
        ((count / (count - 1)) ** 0.5, f"you divide by {count - 1}, and the plain mean over the {count} frames is "
                                       "asked for"),
    ):
        if near(found, factor * left, 1e-2):
            raise Wrong(f"{told}: {words}.")
    raise Wrong(f"{told}. Take the heights less the fitted parabola; square, mean, root.")


def _not_all(read, fall, fps, found, due):
    """Which frames have a say?"""
    plain, idle = read(fall, fps)[0], []
    for k in range(len(fall)):
        pushed = fall.clone()
        pushed[k] += 3
        if near(read(pushed, fps)[0], plain, 1e-3):
            idle.append(k)
    told = (f"A perfect fall is read right. With an error of a pixel or less in every frame you find {found:.4g}, and "
            f"the best parabola has {due:.4g}")
    if len(idle) >= 2:
        return (f"{told}: frames {', '.join(map(str, idle[:5]))} have no say in it. Let all frames count alike, by "
                "least squares.")
    return f"{told}. Let all frames count alike: least squares on a, v · τ and g · τ² / 2."
