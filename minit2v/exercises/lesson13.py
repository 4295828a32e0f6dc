"""Lesson 13, long clips and the camera: the plan of windows, what is handed on, blended seams, through the lens."""

from itertools import pairwise

import torch

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, pair, said, tensor
from minit2v.exercises.registry import task
from minit2v.world.windows import Window, plan

# ---- the plan ----------------------------------------------------------------------------------------------------


def plug_window_plan(fn):
    """A long clip is cut into the learner's windows."""
    from minit2v import request

    def plan(frames, length, context, have=0, group=4):
        return [Window(*window) for window in fn(frames, length, context)]

    return [(request, "plan", plan)]


@task(
    "13.1", "window_plan(frames, length, context)", "Cut a long clip into windows", difficulty=3, importance=5,
    minutes=20,
    hints=(
        "Keep a count of the frames that are there already. Each window ends somewhere behind that count, begins "
        "`length` frames before its end, and knows what lies between its beginning and the count.",
        "The first window makes `length` frames, each further one `length - context`. What is left over by that "
        "division is made by the second window, which therefore knows more than `context`.",
        "`made = length`; while `made < frames`: `step = (frames - made) % (length - context) or length - context`; "
        "the window ends at `made + step`, begins `length` before that, and knows `made - start` frames; then `made "
        "+= step`.",
    ),
    plug=plug_window_plan,
)
def window_plan(learner):
    cases = (69, 17, 1), (69, 17, 9), (129, 17, 5), (41, 9, 5), (17, 17, 9), (9, 17, 5), (61, 21, 13)
    for frames, length, context in cases:
        given = f"With {frames} frames, windows of {length} and a context of {context}, "
        windows = _triples(learner(frames, length, context), given)
        _check_meaning(windows, given)
        _check_lengths(windows, frames, length, given)
        _check_seams(windows, frames, context, given)
        due = [(w.start, w.end, w.known) for w in plan(frames, length, context)]
        if len(windows) != len(due):
            raise Wrong(f"{given}you need {len(windows)} windows, and {len(due)} are enough: some make fewer frames "
                        "than they could.")
        if windows != due:
            short = [i for i, (_, _, known) in enumerate(windows) if i and known > context]
            raise Wrong(f"{given}every frame is made once, but {_which(short)} of the windows makes fewer frames than "
                        "the others, and it should be number 1 (counted from 0): the later ones, the last above all, "
                        "then have their usual freedom.")
    return "Every frame is made once, every window has the length of training, and no context cuts a latent."


def _which(numbers):
    return f"number {numbers[0]}" if len(numbers) == 1 else "more than one" if numbers else "none"


def _frames(number):
    return f"{number} frame{'s' if number != 1 else ''}"


def _triples(value, given):
    if not isinstance(value, list | tuple) or not value:
        raise Wrong(f"{given}a list of windows is asked for, (start, end, known) each. Yours is {said(value)}.")
    windows = []
    for window in value:
        if not isinstance(window, list | tuple) or len(window) != 3:
            raise Wrong(f"{given}every window is three numbers, (start, end, known). Yours has {said(window)} among "
                        "them.")
        if not all(isinstance(number, int) and not isinstance(number, bool) for number in window):
            raise Wrong(f"{given}windows are counted in whole frames, and yours has {said(window)}: {tuple(window)}.")
        windows.append(tuple(window))
    for number, (start, end, _) in enumerate(windows):
        if end <= start:
            raise Wrong(f"{given}window {number} is {windows[number]}: it ends at frame {end} and begins at {start}. "
                        "Each is (start, end, known), where `end` counts in the clip, not in the window.")
    return windows


def _check_meaning(windows, given):
    """Whether `known` counts something else, or windows know nothing of each other."""
    made = [0, *(end for _, end, _ in windows[:-1])]
    if all(known == end - done for (_, end, known), done in zip(windows, made, strict=True)):
        raise Wrong(f"{given}your third numbers are {', '.join(str(known) for *_, known in windows)}: that is how many "
                    "frames each window makes. Asked is how many of its first frames are there before.")
    if len(windows) > 1 and all(start == done and known for (start, _, known), done in
                                zip(windows[1:], made[1:], strict=True)):  # fmt: skip
        raise Wrong(f"{given}window 1 begins at frame {windows[1][0]}, with its first new frame. It covers those that "
                    "it knows, too: they are its first ones.")
    if len(windows) > 1 and all(known == done and start
                                for (start, _, known), done in zip(windows[1:], made[1:], strict=True)):
        raise Wrong(f"{given}window 1 says that it knows {windows[1][2]}: that is the frame up to which it knows, "
                    "counted in the clip. Asked is how many of its frames that are.")
    if len(windows) > 1 and all(start == done for (start, *_), done in zip(windows, made, strict=True)):
        raise Wrong(f"{given}each window begins where the one before ends, and so knows nothing of it: windows have to "
                    "overlap, by the context.")


def _check_lengths(windows, frames, length, given):
    if windows[0][0] != 0:
        raise Wrong(f"{given}the first window begins at frame {windows[0][0]}, and the clip at frame 0.")
    end = windows[-1][1]
    if end > frames:
        raise Wrong(f"{given}your last window ends at {end}, {end - frames} frames behind the end of the clip.")
    if end < frames:
        why = " `end` counts as in a slice: it is the first frame behind the window." if end == frames - 1 else ""
        raise Wrong(f"{given}your last window ends at {end}: the frames from there to the end of the clip are made by "
                    f"nobody.{why}")
    for number, (start, stop, _) in enumerate(windows):
        due = min(length, frames)
        if stop - start > due:
            raise Wrong(f"{given}window {number} is {_frames(stop - start)} long: longer than the clips of training, "
                        "and that is what windows are to avoid.")
        if stop - start < due:
            raise Wrong(f"{given}window {number} is {_frames(stop - start)} long, and all have {due}: a shorter one "
                        "has less context than it could, and another shape.")


def _check_seams(windows, frames, context, given):
    if windows[0][2]:
        raise Wrong(f"{given}the first window knows {_frames(windows[0][2])}: there is nothing yet that it could know.")
    for number, ((_, made, _), (start, stop, known)) in enumerate(pairwise(windows), 1):
        if start > made:
            raise Wrong(f"{given}frames {made} to {start - 1} are made by nobody: window {number} begins behind the "
                        "end of the one before.")
        if made >= stop:
            raise Wrong(f"{given}window {number} makes nothing new: all its frames are there already.")
        if start + known > made:
            raise Wrong(f"{given}window {number} knows frames up to {start + known - 1}, and only those up to "
                        f"{made - 1} have been made.")
        if start + known < made:
            raise Wrong(f"{given}frames {start + known} to {made - 1} are made twice: window {number} overlaps with "
                        f"the one before by {made - start} frames, and says that it knows {known}.")
        if known < context:
            raise Wrong(f"{given}window {number} knows {_frames(known)}, fewer than the context.")
    least, length = min((known for *_, known in windows[1:]), default=context), windows[0][1]
    enough = 1 - (length - frames) // (length - context)
    if len(windows) > 2 and least > context and least == length - context:
        raise Wrong(f"{given}windows know {_frames(least)} and make {context}: context and step are exchanged. A "
                    "window makes length − context frames.")
    if len(windows) == enough and enough > 2 and least > context:
        raise Wrong(f"{given}even the window that knows least knows {_frames(least)}. All but the second go on from as "
                    "many as the context has.")
    for number, (*_, known) in enumerate(windows[1:], 1):
        if known % 4 != 1:
            raise Wrong(f"{given}window {number} knows {_frames(known)}. The VAE packs 1, 5, 9, … frames into "
                        f"latents: {known} would cut one in two.")


# ---- what is handed on -------------------------------------------------------------------------------------------


class Packs:
    """Stands in for the VAE's encoder: the first frame alone, then four to a latent; each hears of those before it."""

    def __call__(self, frames):  # (t, c, h, w)
        groups = [frames[:1], *(group for group in frames[1:].split(4) if len(group))]
        weights = [torch.linspace(1, 2, len(group)).to(frames).view(-1, 1, 1, 1) for group in groups]
        packed, heard = [], 0.0
        for group, weight in zip(groups, weights, strict=True):
            heard = 0.3 * heard + (group * weight).mean(0)
            packed.append(heard)
        return torch.stack(packed)


@task(
    "13.2", "hand_on(past, encode, known, length)", "What the next window knows", difficulty=3, importance=5,
    minutes=20,
    hints=(
        "Which frames does the next window need: the first ones that were made, or the last? And as what do they "
        "stand in it: as its first frames, or somewhere else?",
        "Encode exactly those frames, as a clip of their own, so that the first latent covers a single frame. "
        "Whoever encodes everything and takes the last latents has one that covers four.",
        "`context = encode(past[-known:])` are (known − 1) / 4 + 1 latents. Put them at the beginning of zeros with "
        "1 + (length − 1) / 4 latent frames; the mask is True for as many.",
    ),
)
def hand_on(learner):
    for frames, known, length in ((25, 5, 33), (17, 9, 17), (21, 1, 9), (33, 13, 21)):
        past, encode = learner.draw(frames, 3, 2, 2), Spy(Packs())
        value = learner(past, encode, known, length)
        given = f"With {frames} frames made, {known} of them to be known in a window of {length}, "
        _check_asked(learner.logs.get(1, []), past, known, given, value)
        latents, mask = pair(value, ("latents", "mask"))
        if isinstance(latents, torch.Tensor) and isinstance(mask, torch.Tensor) and latents.dim() < mask.dim():
            raise Wrong("Latents and mask are exchanged: return (latents, mask).")
        f, k = 1 + (length - 1) // 4, 1 + (known - 1) // 4
        latents = tensor(latents, (f, 3, 2, 2), "fchw", "tensor of latents")
        _check_mask(mask, f, k, known, given)
        due = Packs()(past[-known:].double())
        found = latents[:k]
        if near(latents[f - k :], due) and not near(found, due):
            raise Wrong(f"{given}the known latents stand at the end of the window. The window goes on from them: they "
                        "are its beginning.")
        if near(found, due.flip(0)) and k > 1:
            raise Wrong(f"{given}the known latents stand in reverse order.")
        compare(found, due, "fchw", "known latents")
    return "The last frames, encoded as a clip of their own, stand at the beginning, and the mask says how many."


def _check_asked(asked, past, known, given, value):
    """With which frames the encoder was called. value: what came back, in which some of its latents may stand."""
    if not asked:
        raise Wrong("You never call `encode`: the denoiser works on latents, and what is handed on are frames.")
    if not all(len(entry) == 1 and isinstance(entry[0], torch.Tensor) and entry[0].dim() == 4 for entry in asked):
        raise Wrong("`encode` takes one clip, (frames, c, h, w), and your call gives it something else.")
    sizes = [len(entry[0]) for entry in asked]
    if len(asked) > 1 and sum(sizes) == known:
        raise Wrong(f"{given}you call `encode` {len(asked)} times, for pieces of {sizes[0]}: every first frame of a "
                    "piece becomes a latent of its own. Encode the known frames together.")
    clip, k = asked[-1][0], 1 + (known - 1) // 4
    first = value[0] if isinstance(value, tuple | list) and value else None
    if len(clip) > known and isinstance(first, torch.Tensor) and len(first) >= k:
        begins = Packs()(clip)[:k]
        if first[:k].shape == begins.shape and near(first[:k], begins) and not near(clip[:known], past[-known:]):
            raise Wrong(f"{given}you encode {_frames(len(clip))} and take the first of their latents: these show "
                        "frames from before, and not those in which the window begins. Encode the last frames alone.")
    if len(clip) > known and near(clip[-known:], past[-known:]):
        raise Wrong(f"{given}you encode {len(clip)} frames, and the known ones are their last. So their latents start "
                    "mid-stream: the first of them covers four frames, and stands where a latent covers a single "
                    "one. Encode the known frames as a clip of their own.")
    if len(clip) > known and near(clip[:known], past[-known:]):
        raise Wrong(f"{given}you encode {len(clip)} frames: the known ones, and others behind them, which nobody has "
                    "made yet.")
    if len(clip) != known:
        last = len(clip) <= len(past) and near(clip, past[-len(clip) :])
        more = "more" if len(clip) > known else "fewer"
        which = " (the last ones)" if last else ""
        raise Wrong(f"{given}you encode {_frames(len(clip))}, {more} than are known{which}. "
                    f"Exactly the last {known} are handed on.")
    if near(clip, past[:known]) and not near(clip, past[-known:]):
        raise Wrong(f"{given}you encode the first frames that were made. The window goes on from the last.")
    if near(clip, past[-known:].flip(0)) and known > 1:
        raise Wrong(f"{given}you encode the last frames in reverse order: time runs backwards in your context.")
    if not near(clip, past[-known:]):
        shift = next((s for s in range(1, len(past) - known + 1) if near(clip, past[-known - s : len(past) - s])), 0)
        told = f"the frames that you encode end {shift} before the last one" if shift else "these are other frames"
        raise Wrong(f"{given}{told}: between them and the window something is missing.")


def _check_mask(mask, f, k, known, given):
    if not isinstance(mask, torch.Tensor) or tuple(mask.shape) != (f,):
        raise Wrong(f"The mask is {said(mask)}; one value for each of the {f} latent frames of the window is asked "
                    "for, (f,).")
    if mask.dtype != torch.bool:
        raise Wrong(f"The mask holds {mask.dtype}; True and False are asked for.")
    due = torch.arange(f) < k
    if torch.equal(mask, ~due) and not torch.equal(mask, due):
        raise Wrong("The mask is the wrong way round: True is for what is known.")
    if torch.equal(mask, due.flip(0)) and not torch.equal(mask, due):
        raise Wrong(f"{given}the mask marks the end of the window. What is known is its beginning.")
    count = int(mask.sum())
    if mask.all() and f > max(k, known):
        raise Wrong(f"{given}the mask marks all {f} latent frames: nothing would be left to be made. The first {k} are "
                    "known.")
    first = int(mask.nonzero()[0]) if count else 0
    if count == k and first and torch.equal(mask, due.roll(first, 0)):
        raise Wrong(f"{given}the mask begins at latent frame {first}. The known ones are the first of the window, "
                    "counted from 0.")
    if count == min(known, f) and count != k:
        raise Wrong(f"{given}the mask marks {count} latent frames: it counts pixel frames. {known} frames are {k} "
                    f"latent{'s' if k > 1 else ''}, since all but the first cover four.")
    if count != k or not torch.equal(mask, due):
        raise Wrong(f"{given}the mask marks {count} latent frame{'s' if count != 1 else ''}, and the first {k} are "
                    "known.")


# ---- seams that are blended --------------------------------------------------------------------------------------


@task(
    "13.3", "blend(first, second, overlap)", "Crossfade two windows", difficulty=2, importance=3, minutes=15,
    hints=(
        "The result has three parts: what only the first window has, what both have, and what only the second has. "
        "Which frames of each are the ones that both have?",
        "In the overlap, the second window's weight rises evenly, and neither end of the ramp is 0 or 1, for those "
        "are the frames outside of it. The two weights always sum to 1.",
        "`w = torch.arange(1, overlap + 1) / (overlap + 1)`, shaped (overlap, 1); the middle is `(1 - w) * first[:, "
        "-overlap:] + w * second[:, :overlap]`; then `torch.cat` along the frames.",
    ),
)
def blend(learner):
    for b, f1, f2, overlap in ((2, 7, 8, 3), (1, 5, 5, 1), (3, 9, 6, 5), (2, 4, 6, 4)):
        first, second = learner.draw(b, f1, 40), learner.draw(b, f2, 40)
        y = tensor(learner(first, second, overlap), (b, f1 + f2 - overlap, 40), "bfd")
        shares = torch.stack([_shares(y[i], first[i], second[i], overlap) for i in range(b)])  # (b, out, f1 + f2)
        given = f"With windows of {f1} and {f2} frames that share {overlap}, "
        _check_where(shares, f1, f2, overlap, given)
        _check_ramp(shares, f1, overlap, given)
        ramp = torch.arange(1, overlap + 1, dtype=torch.float64)[:, None] / (overlap + 1)
        middle = (1 - ramp) * first.double()[:, f1 - overlap :] + ramp * second.double()[:, :overlap]
        compare(y, torch.cat([first.double()[:, : f1 - overlap], middle, second.double()[:, overlap:]], dim=1), "bfd")
    return "Weights sum to 1 and rise evenly, and outside of the overlap both windows are as they were."


def _shares(y, first, second, overlap):
    """Of which frames, in which shares, each frame of the result is made: (out, f1 + f2). Raises `Wrong` if of none."""
    basis = torch.cat([first, second]).double()  # (f1 + f2, d)
    shares = torch.linalg.lstsq(basis.T, y.T).solution.T
    off = [t for t in range(len(y)) if not near(shares[t] @ basis, y[t], 1e-3)]
    seam = list(range(len(first) - overlap, len(first)))
    if not near(shares @ basis, y, 1e-3):
        a, b = first[-overlap:].double(), second[:overlap].double()
        weight = (y[len(first) - overlap : len(first)] - a) / (b - a)  # (overlap, d), if every channel had its own
        if near(weight, weight[:1].expand_as(weight), 1e-2):
            raise Wrong("In the overlap, the weights differ from channel to channel, and are the same in every frame: "
                        "the ramp lies along the wrong axis. It runs along the frames; give it an axis for d.")
        if off == seam:
            raise Wrong("In the overlap, the result is no mixture of the two windows' frames, and outside of it all is "
                        "right. Each frame there is a share of the first window's and a share of the second's, added.")
        raise Wrong("Some frames of the result are no mixture of frames that you were given, within their own clip. "
                    "Is something added, or are clips of the batch mixed?")
    return torch.where(shares.abs() < 1e-4, 0.0, shares)


def _check_where(shares, f1, f2, overlap, given):
    """The right frames meet: frame t of the result is made of frame t of the first and t - (f1 - overlap) of the "
    "second."""
    out = f1 + f2 - overlap
    for t in range(out):
        due = {t} if t < f1 else set()
        due |= {f1 + t - (f1 - overlap)} if t >= f1 - overlap else set()
        used = {int(i) for i in shares[:, t].abs().amax(0).nonzero().flatten()}
        if used <= due:
            continue
        strange = sorted(used - due)[0]
        whose = f"frame {strange} of the first window" if strange < f1 else f"frame {strange - f1} of the second window"
        part = "in the overlap" if f1 - overlap <= t < f1 else "outside of the overlap"
        raise Wrong(f"{given}frame {t} of your result, {part}, holds {whose}. Frames that show the same moment belong "
                    "together: the last ones of the first window and the first ones of the second.")


def _check_ramp(shares, f1, overlap, given):
    begin = f1 - overlap
    mine = torch.stack([shares[:, begin + i, begin + i] for i in range(overlap)], dim=1)  # the first's, (b, overlap)
    theirs = torch.stack([shares[:, begin + i, f1 + i] for i in range(overlap)], dim=1)
    w, due = theirs[0], torch.arange(1, overlap + 1, dtype=torch.float64) / (overlap + 1)
    told = ", ".join(f"{value:.2g}" for value in w.tolist())
    if not near(theirs, w.expand_as(theirs), 1e-3):
        raise Wrong(f"{given}the weights differ from clip to clip of the batch.")
    if not near(mine + theirs, torch.ones_like(mine), 1e-3):
        total = float((mine + theirs)[0, 0])
        raise Wrong(f"{given}the two weights sum to {total:.3g} in the overlap, and must to 1: two windows that agree "
                    f"would come out {'brighter' if total > 1 else 'darker'}.")
    if near(w, due, 1e-3):
        return
    if near(w, due.flip(0), 1e-3):
        raise Wrong(f"{given}the ramp runs the wrong way: the second window's weight falls, {told}, so that both ends "
                    "jump.")
    if near(w, w.round(), 1e-3):
        raise Wrong(f"{given}the weights of the second window are {told}: a hard cut, not a crossfade. Are whole "
                    "numbers divided, or is one window preferred?")
    if near(w, w[0].expand_as(w), 1e-3):
        raise Wrong(f"{given}the second window's weight is {w[0]:.3g} in the whole overlap: the seam is not gone, "
                    "there are two half ones. It has to rise.")
    if overlap > 1 and (abs(float(w[0])) < 1e-3 or abs(float(w[-1]) - 1) < 1e-3):
        raise Wrong(f"{given}the second window's weights are {told}: the ramp reaches 0 or 1 within the overlap, "
                    "which wastes a frame of it. Both ends of the ramp lie just outside.")
    raise Wrong(f"{given}the second window's weights are {told}, and "
                f"{', '.join(f'{value:.2g}' for value in due.tolist())} rise evenly.")


# ---- through the lens --------------------------------------------------------------------------------------------


@task(
    "13.4", "to_screen(position, camera, zoom, middle)", "See the world through a camera", difficulty=2, importance=4,
    minutes=15,
    hints=(
        "Where on the screen is what the camera looks at? And what is one px to the right of it in the world, when "
        "the zoom is 2?",
        "First the way from the camera to the object, in world px; then that way is made longer or shorter by the "
        "zoom; then it is measured from the middle of the picture.",
        "`(position - camera) * zoom[:, None] + middle`. The zoom needs an axis for x and y, or two frames will hide "
        "the bug.",
    ),
)
def to_screen(learner):
    middle, wide = torch.tensor([32.0, 24.0]), torch.tensor([10.0, 10.0])
    for number, t in enumerate((2, 5, 3)):
        position, camera = wide * learner.draw(t, 2), wide * learner.draw(t, 2)
        zoom = 0.6 + 1.4 * torch.rand(t, generator=learner.generator)
        if number:
            _check_probes(learner, position, camera, zoom, middle)
        y = tensor(learner(position, camera, zoom, middle), (t, 2), "fd")
        due = (position.double() - camera.double()) * zoom.double()[:, None] + middle.double()
        if number:
            compare(y, due, "fd")
        else:
            _check_square(y, due, position.double() - camera.double(), zoom.double(), middle.double())
    return "What the camera looks at stands in the middle at any zoom, and the ground runs against the pan."


def _check_square(y, due, away, zoom, middle):
    """With as many frames as axes, one can be taken for the other and nothing stops."""
    if near(y, away * zoom + middle) and not near(y, due):
        raise Wrong("With two frames, the zoom of frame 0 is multiplied onto x and that of frame 1 onto y: it was "
                    "broadcast along the wrong axis, and goes unnoticed because there are as many frames as axes.")
    if near(y, due.T) and not near(y, due):
        raise Wrong("Frames and coordinates are exchanged: (t, 2) has the frames first, then x and y.")


def _check_probes(learner, position, camera, zoom, middle):
    """One thing at a time: no camera, a pan alone, a zoom alone."""
    one, rest = torch.ones(len(zoom)), torch.zeros_like(camera)
    p, c, m = position.double(), camera.double(), middle.double()
    plain = tensor(learner(position, rest, one, middle), p.shape, "fd")
    if near(plain, p) and not near(plain, p + m):
        raise Wrong("A camera that rests at the origin of the world shows that origin at the corner of the picture: "
                    "the middle of the picture is not added, or is taken away again.")
    if near(plain, p - m):
        raise Wrong("The middle of the picture is taken away where it has to be added.")
    if near(plain, m.expand_as(plain)):
        raise Wrong("At zoom 1, everything stands in the middle of the picture, wherever it is in the world: zoom is "
                    "px of the screen per px of the world, and 1 means \"as large as it is\".")
    if near(plain, m - p):
        raise Wrong("Your picture is turned upside down: is the way measured from the object to the camera?")
    for axis, name in enumerate("xy"):
        turned = torch.ones(2, dtype=torch.float64)
        turned[axis] = -1
        if near(plain, p * turned + m):
            raise Wrong(f"Your picture is turned round: what has a larger {name} in the world has a smaller {name} on "
                        "the screen. x goes to the right and y down in both.")
    if near(plain, p.flip(1) + m) or near(plain, p.flip(1) + m.flip(0)):
        raise Wrong("x and y are exchanged.")
    if near(plain, p + m.flip(0)):
        raise Wrong("The x and y of the middle are exchanged.")
    if near(plain, plain.round(), 1e-7) and bool(((plain - p - m).abs() < 1).all()):
        raise Wrong("Your places are rounded to whole px: what moves slowly would jump. Leave them as they are.")
    parts = mixture(plain, {"position": p, "middle": m.expand_as(p), "1 px": torch.ones_like(p)})
    if not near(plain, p + m) and parts is not None:
        raise Wrong(f"With a camera that rests at the origin and zoom 1, a place on the screen is 1 · position + 1 · "
                    f"middle; yours is {in_words(parts)}.")
    if not near(plain, p + m):
        raise Wrong("With a camera that rests at the origin and zoom 1, the picture is the world, moved so that the "
                    "origin stands in the middle; yours shows something else.")
    away = torch.zeros_like(p)
    away[1:] = 5 * m  # frame 0 in the middle of the picture, the others out of view
    if near(plain, p + m) and not near(learner(away.float(), rest, one, middle), away + m):
        raise Wrong("Objects outside of the picture are seen elsewhere than where they are, at its edge perhaps. What "
                    "is out of view has a place, too: it comes into view from there.")
    panned = tensor(learner(position, camera, one, middle), p.shape, "fd")
    if near(panned, p + c + m):
        raise Wrong("Your ground runs along with the pan: when the camera goes right, things have to go left on the "
                    "screen.")
    if near(panned, p - c.cumsum(0) + m) and not near(panned, p - c + m):
        raise Wrong("You add the camera up over the frames. It is where the camera looks in each frame, not how far "
                    "it moves.")
    for frame in range(len(c)):
        if near(panned, p - c[frame] + m) and not near(panned, p - c + m):
            raise Wrong(f"All frames are seen from where the camera was in frame {frame}: the pan is lost.")
    if near(panned, p + m):
        raise Wrong("The camera has no effect: wherever it looks, everything is seen at the same place.")
    if near(panned, p - c + c[0] + m):
        raise Wrong("Your camera is measured from where it begins. It is where the camera looks, in the world: one "
                    "that rests away from the origin sees everything moved, too.")
    for step, when in ((1, "one frame late"), (-1, "one frame early")):
        if near((panned - p + c.roll(step, 0) - m)[1:-1], torch.zeros_like(c[1:-1])):
            raise Wrong(f"The camera comes {when}: each frame is seen from where the camera is in that frame.")
    if near((p + m - panned)[1:], c.diff(dim=0)):
        raise Wrong("You take away how far the camera moves from frame to frame. It is where the camera looks that is "
                    "taken away.")
    if near((panned - p - m).diff(dim=0), torch.zeros_like(c[1:])):
        raise Wrong("All frames are seen from one place, a mean of the camera's perhaps: the pan is lost.")
    for axis, name in enumerate("xy"):
        share = float(((p + m - panned) * c)[:, axis].sum() / c[:, axis].square().sum())
        if near(panned[:, axis], (p - share * c + m)[:, axis]) and abs(share - 1) > 1e-3:
            raise Wrong(f"In {name}, the camera is taken away {round(share, 3) + 0.0:.3g} times. Its place is taken "
                        "away once, in both directions.")
    if not near(panned, p - c + m):
        raise Wrong("With zoom 1, an object stands at its position, minus the camera, plus the middle; yours does not.")
    z = zoom.double()[:, None]
    at = tensor(learner(camera, camera, zoom, middle), p.shape, "fd")
    if near(at, m * z) or near(at, m / z):
        raise Wrong("When the camera pushes in on an object that it looks at, that object must stay in the middle of "
                    "the picture; in yours it runs away from the corner: the middle is zoomed as well. Add it last.")
    if near(at, c * z - c + m) or near(at, c - c * z + m):
        raise Wrong("What the camera looks at does not stay in the middle when the zoom changes: the position and "
                    "the camera are not treated alike. Subtract first, then zoom the difference.")
    if not near(at, m.expand_as(at)):
        raise Wrong("What the camera looks at must stand in the middle of the picture at any zoom, and in yours it "
                    "does not.")
    zoomed = tensor(learner(position, rest, zoom, middle), p.shape, "fd")
    if near(zoomed, p / z + m):
        raise Wrong("Your zoom works the wrong way: a push in makes things smaller and draws them to the middle.")
    if near(zoomed, p + m):
        raise Wrong("The zoom has no effect at all: is it left out?")
    for axis, name in enumerate("xy"):
        alone = torch.ones_like(p)
        alone[:, axis] = z[:, 0]
        if near(zoomed, p * alone + m):
            raise Wrong(f"Only {name} is zoomed. A zoom makes everything larger in both directions.")
    for frame in range(len(z)):
        if near(zoomed, p * z[frame] + m):
            raise Wrong(f"All frames are zoomed as frame {frame} is.")
    factor = ((zoomed - m) * p).sum(1, keepdim=True) / (p * p).sum(1, keepdim=True)  # (t, 1)
    if near(zoomed, p * factor + m, 1e-3) and not near(factor, z, 1e-3):
        worst = int((factor - z).abs().argmax())
        raise Wrong(f"Frame {worst} has the zoom {zoom[worst]:.3g}, and your picture is {factor[worst, 0]:.3g} times "
                    "as large as the world. The zoom is that factor itself, in each frame its own.")
