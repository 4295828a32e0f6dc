"""Lesson 08, the spacetime transformer: cubes, rotary positions, modulation, and temporal attention by rearranging."""

import math

import numpy as np
import torch

from minit2v.exercises.judging import Spy, Wrong, compare, mixture, near, tensor
from minit2v.exercises.registry import task

# ---- cubes -------------------------------------------------------------------------------------------------------


def plug_patchify(fn):
    """The transformer cuts its latents by the learner's function."""
    from minit2v import dit

    return [(dit, "patchify", fn)]


@task(
    "08.1", "patchify(latents, patch)", "Cut the clip into cubes", difficulty=3, importance=5, minutes=15,
    hints=(
        "A token is a cube: pt frames, ph rows and pw columns of latents that lie side by side, with all their "
        "channels. Say for each axis of the latents which part of it counts tokens, and which part lies inside of one.",
        "Frames are f · pt, rows are h · ph, columns are w · pw: in each, the token's number comes first and the place "
        "inside the token second. One `rearrange` says all this.",
        "From `b (f pt) c (h ph) (w pw)` to `b f (h w) (c pt ph pw)`, with pt, ph and pw given by name.",
    ),
    plug=plug_patchify,
)
def patchify(learner):
    for shape, patch in (((2, 4, 3, 6, 8), (2, 3, 2)), ((1, 3, 2, 4, 4), (1, 2, 2)), ((2, 2, 5, 4, 6), (1, 2, 3))):
        _check_cubes(learner, shape, patch)
    return "Neighbors in time, height and width share a token, and the tokens stand row by row."


def _check_cubes(learner, shape, patch):
    """Every latent carries its own number, so that the result tells where each of them went."""
    (b, f, c, h, w), (pt, ph, pw) = shape, patch
    names = torch.arange(b * f * c * h * w, dtype=torch.float32).view(shape)
    due_shape = (b, f // pt, (h // ph) * (w // pw), c * pt * ph * pw)
    y = tensor(learner(names, patch), due_shape, "bfnd")
    given = f"With latents {tuple(shape)} and a patch of {patch}, "
    if sorted(y.flatten().tolist()) != sorted(names.flatten().tolist()):
        raise Wrong(f"{given}some latents are lost or taken twice (or changed). Every number goes into exactly one "
                    "token.")
    # Of each number in the result: from which clip, frame, channel, row and column it came.
    origin = torch.from_numpy(np.stack(np.unravel_index(y.long().numpy(), shape), axis=-1))  # (b, f', n, d, 5)
    _check_contents(origin, patch, given)
    due = names.double().view(b, f // pt, pt, c, h // ph, ph, w // pw, pw)
    due = due.permute(0, 1, 4, 6, 3, 2, 5, 7).reshape(due_shape)
    first, wanted = y.min(dim=-1).values, due.min(dim=-1).values
    if not torch.equal(first, wanted):
        raise Wrong(f"{given}each token holds a whole cube, but the tokens stand in the wrong order. Of one frame, "
                    "they go row by row, left to right: token 1 is the right neighbor of token "
                    f"0.{_second(origin, pw, w)}")
    if not torch.equal(y, due):
        raise Wrong(f"{given}each token holds the right cube, but the numbers inside it stand in another order. "
                    f"{_inner(origin[0, 0, 0], shape, patch)} It has to be c, pt, ph, pw: the channel changes "
                    "slowest.")


def _second(origin, pw, width):
    if origin.shape[2] > 1 and origin[0, 0, 1, :, 3].min() > 0 and width > pw:
        return " Yours is the one below: rows and columns are exchanged."
    return ""


def _check_contents(origin, patch, given):
    pt, ph, pw = patch
    clips = torch.arange(len(origin)).view(-1, 1, 1, 1)
    if not (origin[..., 0] == clips).all():
        raise Wrong(f"{given}a clip of the result holds latents of another clip: clips must not mix.")
    spans = origin.amax(dim=3) - origin.amin(dim=3) + 1  # (b, f', n, 5): how far a token reaches along each axis
    reach = spans.flatten(0, 2).amax(dim=0).tolist()
    for axis, name, cut in ((1, "frames", pt), (3, "rows", ph), (4, "columns", pw)):
        inside = torch.stack([t.unique().numel() * torch.ones(()) for t in origin[..., axis].flatten(0, 2)]).max()
        if reach[axis] > cut and int(inside) == cut:
            raise Wrong(f"{given}the {cut} {name} of a token do not lie side by side: they are spread over "
                        f"{reach[axis]} {name}. A token is a cube of neighbors, so the place inside the token has to "
                        "change faster than the number of the token.")
        if reach[axis] != cut:
            raise Wrong(f"{given}a token holds numbers of {_count(int(inside), name)}, and of {cut} is due: some axes "
                        "are mixed up in the rearranging.")
    if int((origin[..., 1].amin(dim=(2, 3)).diff(dim=1) <= 0).sum()):
        raise Wrong(f"{given}the frames of tokens stand in the wrong order: the first ones come from the first frames.")


def _count(number, things):
    return f"{number} {things if number > 1 else things[:-1]}"


def _inner(origin, shape, patch):
    """In which order the axes stand inside a token, the one that changes slowest first."""
    strides = {}
    for axis, name in ((1, "pt"), (2, "c"), (3, "ph"), (4, "pw")):
        one = origin[0].clone()
        one[axis] += 1
        places = (origin == one).all(dim=1).nonzero().flatten().tolist()
        if places:
            strides[name] = places[0]
    order = ", ".join(sorted(strides, key=strides.get, reverse=True))
    return f"In yours it is {order}." if len(strides) > 1 else ""


# ---- rotary positions --------------------------------------------------------------------------------------------


def plug_rotary(fn):
    """Queries and keys are turned by the learner's function."""
    from minit2v import attention

    def apply_rotary(x, rotation):
        return fn(x, rotation.angle()).to(x.dtype)

    return [(attention, "apply_rotary", apply_rotary)]


@task(
    "08.2", "rotate(x, angles)", "Turn, so that only distance counts", difficulty=4, importance=4, minutes=20,
    hints=(
        "Two neighboring channels, 2i and 2i + 1, are the two coordinates of a point in a plane. Turn that point about "
        "the origin by the angle of its token.",
        "A turn by an angle: (u, v) becomes (u · cos − v · sin, u · sin + v · cos). u are the even channels of x, v "
        "the odd.",
        "`u, v = x[..., 0::2], x[..., 1::2]`; compute both new coordinates, then interleave them again: "
        "`torch.stack([new_u, new_v], dim=-1).flatten(-2)`.",
    ),
    plug=plug_rotary,
)
def rotate(learner):
    b, heads, n, d = 2, 3, 5, 8
    x, angles = learner.draw(b, heads, n, d), 3 * torch.rand(n, d // 2, generator=learner.generator)
    y = tensor(learner(x, angles), x.shape, "band")
    still = tensor(learner(x, torch.zeros(n, d // 2)), x.shape, "band")
    if not near(still, x):
        shuffled = near(still.sort(-1).values, x.double().sort(-1).values)
        moved = "the channels come back in another order" if shuffled else "x is changed all the same"
        raise Wrong(f"With all angles 0 nothing may turn, and {moved}.")
    nothing = tensor(learner(torch.zeros_like(x), angles), x.shape, "band")
    if not near(nothing, torch.zeros_like(nothing)):
        raise Wrong("When x is 0 everywhere, a turn leaves it 0; yours makes something of it. Is something added?")
    _check_partners(learner, x, y)
    _check_angles(learner, x, y, angles)
    compare(y, _turned(x, angles), "band")
    few = learner.draw(4, 6)
    compare(learner(few, angles[:4, :3]), _turned(few, angles[:4, :3]), "nd", "result without batch and heads, (n, d),")
    return "Lengths stay, and a score depends on the difference of two positions only."


def _turned(x, angles):
    points = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(points * torch.polar(torch.ones_like(angles.double()), angles.double())).flatten(-2)


def _check_partners(learner, x, y):
    """A pair keeps its length, and a single channel that is not 0 reaches itself and its partner only."""
    n, d = x.shape[-2:]
    before, after = (t.double().unflatten(-1, (-1, 2)).norm(dim=-1) for t in (x, y))
    alone = [_reached(learner, n, d, channel) for channel in range(d)]
    for channel, reached in enumerate(alone):
        far = [other for other in reached if other not in (channel, channel ^ 1)]
        if far == [(channel + d // 2) % d]:
            raise Wrong(f"Channel {channel} is paired with channel {far[0]}, half of the channels away. Pairs are "
                        "neighbors here: 0 with 1, 2 with 3, and so on.")
        if far:
            raise Wrong(f"Channel {channel} ends in channel {', '.join(map(str, far))}, and only its neighbor "
                        f"{channel ^ 1} and itself may hear of it: the pairs are taken from, or put back into, the "
                        "wrong channels.")
    if not near(after, before, 1e-3):
        raise Wrong("A turn keeps lengths, and yours does not: the pairs become longer or shorter. One of the two "
                    "coordinates has a wrong sign, or uses a coordinate that was already turned.")


def _reached(learner, n, d, channel):
    x = torch.zeros(1, 1, n, d)
    x[..., channel] = 1.0
    y = tensor(learner(x, torch.full((n, d // 2), 1.0)), x.shape, "band")
    return (y[0, 0, 0].abs() > 1e-3).nonzero().flatten().tolist()


def _check_angles(learner, x, y, angles):
    """By which angle every pair has been turned, and whose angle that is."""
    points = [torch.view_as_complex(t.double().unflatten(-1, (-1, 2)).contiguous()) for t in (x, y)]
    turn, due = (points[1] / points[0]), torch.polar(torch.ones_like(angles.double()), angles.double())
    if near(torch.view_as_real(turn), torch.view_as_real(due).expand(*turn.shape, 2), 1e-3):
        return
    if near(torch.view_as_real(turn), torch.view_as_real(due.conj().resolve_conj()).expand(*turn.shape, 2), 1e-3):
        raise Wrong("You turn in the wrong direction: by minus the angle. From (1, 0) an angle of 90° must lead to (0, "
                    "1).")
    small = torch.full_like(angles, 0.02)
    slow = tensor(learner(x, small), x.shape, "band").double().unflatten(-1, (-1, 2)).contiguous()
    factors = (torch.view_as_complex(slow) / points[0]).angle() / 0.02
    if abs(float(factors[0, 0, 0, 0]) - 1) > 1e-2 and near(factors, factors[0, 0, 0, 0].expand_as(factors), 1e-2):
        factor = float(factors[0, 0, 0, 0])
        radians = " The angles are radians already." if abs(factor - math.pi / 180) < 1e-3 else ""
        raise Wrong(f"You turn {factor:.3g} times as far as the angle says.{radians}")
    whose = _whose(turn[0, 0], due)
    if whose and any(found != own for own, found in whose.items()):
        (place, one), (other, two) = next((own, found) for own, found in whose.items() if own != found)
        raise Wrong(f"Lengths are kept, but pair {one} of place {place} is turned by the angle of pair {two} of place "
                    f"{other}: the angles do not meet their own tokens and channels.")
    raise Wrong("Lengths are kept, but the pairs are not turned by the angle that was given: they are turned too far, "
                "not far enough, or in different directions.")


def _whose(turn, due):
    """{(place, pair): (place, pair) whose angle it got}, empty if some angle is nobody's."""
    n, pairs = due.shape
    found = {}
    for place in range(n):
        for one in range(pairs):
            same = (due - turn[place, one]).abs() < 1e-3
            if not same.any():
                return {}
            owner = (place, one) if same[place, one] else tuple(same.nonzero()[0].tolist())
            found[place, one] = owner
    return found


# ---- modulation --------------------------------------------------------------------------------------------------


def plug_modulate(fn):
    """All blocks and the head are modulated by the learner's function."""
    from minit2v import dit

    def modulate(x, shift, scale):
        return fn(x, shift[:, :, 0], scale[:, :, 0])

    return [(dit, "modulate", modulate)]


@task(
    "08.3", "modulate(x, shift, scale)", "Tell each frame how noisy it is", difficulty=2, importance=5, minutes=10,
    hints=(
        "Modulation multiplies and adds. When training starts, shift and scale are 0 everywhere: what must come out "
        "then?",
        "x · (1 + scale) + shift. But x has tokens, (b, f, n, d), and shift and scale have one vector per frame, (b, "
        "f, d).",
        "Give shift and scale an axis for the places: `scale[:, :, None]`, so that the same vector goes to all tokens "
        "of a frame.",
    ),
    plug=plug_modulate,
)
def modulate(learner):
    for b, f, n, d in ((2, 3, 3, 4), (2, 4, 6, 5), (3, 3, 3, 3), (1, 2, 5, 8)):
        x, shift, scale = learner.draw(b, f, n, d), learner.draw(b, f, d), learner.draw(b, f, d)
        nothing = torch.zeros(b, f, d)
        still = tensor(learner(x, nothing, nothing), x.shape, "bfnd")
        if not near(still, x):
            why = "everything becomes 0: a scale of 0 must mean \"as it is\", not \"nothing\"" \
                if near(still, torch.zeros_like(still)) else "x is changed"
            raise Wrong(f"With shift and scale 0, as training begins, x must come out unchanged; in yours {why}.")
        _check_alone(learner, x, shift, scale, nothing)
        y = tensor(learner(x, shift, scale), x.shape, "bfnd")
        s, t = scale.double()[:, :, None], shift.double()[:, :, None]
        due = x.double() * (1 + s) + t
        if near(y, (x.double() + t) * (1 + s)):
            raise Wrong("The shift is scaled as well: it is added before x is multiplied. Multiply first.")
        if near(y, x.double() * (1 + s) + t * s):
            raise Wrong("The shift is multiplied by the scale. It is added as it is.")
        compare(y, due, "bfnd")
    return "A scale and shift of 0 change nothing, so that a fresh block is the identity."


def _check_alone(learner, x, shift, scale, nothing):
    """Shift alone, then scale alone: what each of them does, and along which axes."""
    x64, s, t = x.double(), scale.double()[:, :, None], shift.double()[:, :, None]
    y = tensor(learner(x, shift, nothing), x.shape, "bfnd")
    if near(y, x64 * (1 + t)) or near(y, x64 * t):
        raise Wrong("Shift and scale are exchanged: what comes as `shift` multiplies x, and it has to be added.")
    _check_spread(y - x64, t, "shift", "added to", x)
    y = tensor(learner(x, nothing, scale), x.shape, "bfnd")
    if near(y, x64 * s):
        raise Wrong("x is multiplied by the scale, and 1 + scale is due: a scale of 0 must leave x as it is.")
    _check_spread(y / x64 - 1, s, "scale", "multiplied onto", x)


def _check_spread(effect, due, name, verb, x):
    if near(effect, due.expand_as(effect), 1e-3):
        return
    if near(effect, torch.zeros_like(effect), 1e-3):
        raise Wrong(f"The {name} has no effect at all: is it left out?")
    if near(effect, -due.expand_as(effect), 1e-3):
        raise Wrong(f"The {name} has the wrong sign.")
    b, f, n, d = x.shape
    if n == f and near(effect, due[:, :, 0][:, None].expand_as(effect), 1e-3):
        raise Wrong(f"The {name} is {verb} the places instead of the frames: place 1 gets what is meant for frame 1. "
                    "It was broadcast along the wrong axis, and here it goes unnoticed because there are as many of "
                    "both.")
    if b == f and near(effect, due[:, :, 0][None].expand_as(effect), 1e-3):
        raise Wrong(f"The {name} was broadcast along the wrong axes: clips and frames are mixed up.")
    for axes, told in (((1,), "every frame"), ((0,), "every clip of the batch"), ((0, 1), "every frame of every clip")):
        mean = effect.mean(axes, keepdim=True)
        if max(x.shape[a] for a in axes) > 1 and near(effect, mean.expand_as(effect), 1e-3):
            raise Wrong(f"The same {name} goes to {told}; every frame of every clip has its own.")
    if near(effect, effect.mean(3, keepdim=True).expand_as(effect), 1e-3) and d > 1:
        raise Wrong(f"All channels get the same {name}; each has its own.")
    shares = mixture(effect, {name: due.expand_as(effect)})
    if shares:
        raise Wrong(f"The {name} counts {float(shares[name]):.3g} times: it has to be {verb} x as it is.")
    for axis, what in ((0, "clips"), (1, "frames"), (3, "channels")):
        for moved in (due.flip(axis), due.roll(1, axis)):
            if near(effect, moved.expand_as(effect), 1e-3):
                raise Wrong(f"The {what} get each other's {name}.")
    given, seen = float(due[0, 0, 0, 0]), float(effect[0, 0, 0, 0])
    what = f"multiplies x by {1 + seen:.3g}" if name == "scale" else f"adds {seen:.3g}"
    raise Wrong(f"The {name} does not arrive as it was given, one vector of channels for all places of a frame. A "
                f"{name} of {given:.3g} {what}.")


# ---- temporal attention ------------------------------------------------------------------------------------------


class Mean:
    """Stands in for attention: every token of a sequence becomes a mixture of all of them, other weights for each."""

    def __call__(self, x):
        length = x.shape[1]
        weight = torch.randn(length, length, generator=torch.Generator().manual_seed(length)).to(x) / length
        return torch.einsum("t s, b s d -> b t d", weight, x)


@task(
    "08.4", "temporal_attention(tokens, attention)", "Attention over time is a rearrange", difficulty=3, importance=5,
    minutes=15,
    hints=(
        "Attention knows sequences only, (sequences, length, d). Over time, what is one sequence? How many are there, "
        "and how long is each?",
        "One sequence per clip and place, with one token per frame: (b · n, f, d). The axes have to be *moved* there; "
        "a reshape alone reads the numbers in their old order. Afterwards all of them go back to where they were.",
        "`rearrange(tokens, 'b f n d -> (b n) f d')`, attention, and `rearrange(y, '(b n) f d -> b f n d', b=b)`.",
    ),
)
def temporal_attention(learner):
    for b, f, n, d in ((2, 3, 5, 4), (2, 4, 4, 3), (1, 6, 2, 4)):
        x, attention = learner.draw(b, f, n, d), Spy(Mean())
        y = learner(x, attention)
        asked = learner_asked(learner)
        _check_sequences(asked, b, f, n, d)
        y = tensor(y, x.shape, "bfnd")
        _check_who_hears(learner, x, y, attention)
        _check_order(asked, x)
        due = torch.stack([Mean()(x[:, :, i].double()) for i in range(n)], dim=2)
        if near(y, x.double() + due):
            raise Wrong("The tokens are added to the result. That is the block's business; return what attention says.")
        compare(y, due, "bfnd")
    return "A place hears of itself at every moment, and of nobody else."


def learner_asked(learner):
    """With what attention was called, as a list of tensors."""
    asked = learner.logs.get(1, [])
    if not asked:
        raise Wrong("You never call `attention`.")
    if not all(len(entry) == 1 and isinstance(entry[0], torch.Tensor) and entry[0].dim() == 3 for entry in asked):
        raise Wrong("`attention` takes one tensor of sequences, (sequences, length, d).")
    return [entry[0] for entry in asked]


def _check_sequences(asked, b, f, n, d):
    lengths = {each.shape[1] for each in asked}
    if len(lengths) > 1:
        told = " and ".join(map(str, sorted(lengths)))
        raise Wrong(f"With {f} frames of {n} places, you call attention on sequences of {told} tokens. One look along "
                    "time is asked for, and all its sequences are as long as the clip has frames.")
    if any(each.shape[2] != d for each in asked):
        raise Wrong(f"The last axis of what you give to attention has {asked[0].shape[2]} channels, and a token has "
                    f"{d}: the channels must stay together.")
    total = sum(each.shape[0] * each.shape[1] for each in asked)
    if lengths == {f} and total > b * f * n:
        raise Wrong(f"Attention gets {total / (b * f * n):.3g} times as many tokens as there are: each place looks "
                    "along time once.")
    if lengths == {f} and total < b * f * n:
        raise Wrong(f"Attention gets {total} tokens, and there are {b * f * n}: some places or clips are left out.")
    if lengths == {f}:
        return
    told = f"With {f} frames of {n} places, your sequences are {min(lengths)} tokens long"
    if lengths == {f * n}:
        raise Wrong(f"{told}: that is the whole clip, full attention. Over time, a sequence has one token per frame.")
    if lengths == {n}:
        raise Wrong(f"{told}: that is one frame, spatial attention. Over time, a sequence has one token per frame.")
    if lengths <= {b, b * n, b * f, b * f * n}:
        raise Wrong(f"{told}: clips of the batch have got into one sequence. Clips must not mix.")
    raise Wrong(f"{told}. Over time, a sequence has one token per frame, {f}.")


def _check_order(asked, x):
    """The tokens of a sequence stand in the order of their frames."""
    rows = {tuple(row.flatten().tolist()) for each in asked for row in each}
    some = [x[i, :, n] for i in range(x.shape[0]) for n in range(x.shape[2])]
    if all(tuple(row.flip(0).flatten().tolist()) in rows for row in some):
        raise Wrong("In your sequences, time runs backwards: the last frame stands first.")
    if all(tuple(row.flatten().tolist()) not in rows for row in some) and all(
        sorted(row.flatten().tolist()) in [sorted(other) for other in rows] for row in some
    ):
        raise Wrong("Your sequences hold the right tokens in the wrong order: they must stand as the frames do.")


def _check_who_hears(learner, x, before, attention):
    """Disturbs one token: all frames of its place must move, and nothing else."""
    b, f, n, _ = x.shape
    clip, frame, place = b - 1, f - 2, n - 2
    changed = x.clone()
    changed[clip, frame, place] += 1.0
    after = tensor(learner(changed, attention), x.shape, "bfnd")
    moved = (after - before).abs().amax(dim=-1) > 1e-5  # (b, f, n)
    due = torch.zeros_like(moved)
    due[clip, :, place] = True
    if torch.equal(moved, due):
        return
    told = f"The sequences have the right length, but when place {place} of frame {frame} is disturbed,"
    if moved.any(dim=2).any(dim=1).sum() > 1 or not moved[clip].any():
        raise Wrong(f"{told} other clips of the batch hear of it: clips got mixed.")
    places = moved[clip].any(dim=0).nonzero().flatten().tolist()
    if places != [place]:
        who = f"places {', '.join(map(str, places))} hear" if len(places) > 1 else f"place {places[0]} hears"
        raise Wrong(f"{told} {who} of it, and only place {place} may: frames and places are mixed up on the way there "
                    "or back. Is a reshape used where axes have to be moved?")
    frames = moved[clip, :, place].nonzero().flatten().tolist()
    raise Wrong(f"{told} frames {', '.join(map(str, frames))} hear of it, and all {f} must.")
