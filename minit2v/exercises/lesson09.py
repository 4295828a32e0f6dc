"""Lesson 09, the temporal U-Net: a silent start, temporal convolution and attention, and the way through the U."""

from itertools import pairwise

import torch
import torch.nn.functional as F

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, pair, tensor
from minit2v.exercises.registry import task

# ---- a silent start ----------------------------------------------------------------------------------------------


class Dice:
    """Random numbers of spread 1, of the shape that is asked for."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, *shape):
        shape = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], tuple | list | torch.Size) else shape
        self.seed += 1
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.seed))


@task(
    "09.1", "begin_branch(width, kernel, random)", "A layer that says nothing yet", difficulty=2, importance=5,
    minutes=15,
    hints=(
        "The branch is added to what the image model has computed. What must come out of it at first, whatever goes "
        "in, if the image model shall stay what it is, to the last bit?",
        "One layer of zeros is enough for silence. Think of the gradient: a layer learns from what comes in *and* from "
        "what the other layer does with it. Which of the two may be 0, and what must the other one be?",
        "The first one as `random(width, width, kernel)`, perhaps scaled down; the last one as "
        "`torch.zeros(width, width, kernel)`. In the first step the last one wakes up, in the second the first.",
    ),
)
def begin_branch(learner):
    for width, kernel in ((4, 3), (6, 5), (3, 1)):
        shape = (width, width, kernel)
        found = pair(learner(width, kernel, Dice(learner.whole(0, 1000))), ("first", "last"))
        first, last = (
            tensor(each, shape, ("out", "in", "kernel"), f"{name} layer's weight")
            for each, name in zip(found, ("first", "last"), strict=True)
        )
        x, target = learner.draw(2, width, 7).double(), learner.draw(2, width, 7).double()
        _check_silence(_branch(x, first, last), x)
        _check_waking(first, last, x, target)
    return "Silent at the first step, and by the second one every weight has a gradient."


def _branch(x, first, last):
    """What is added to x (b, c, f): two convolutions along time, with zeros around."""
    return F.conv1d(F.silu(F.conv1d(x, first, padding="same")), last, padding="same")


def _check_silence(y, x):
    loud = float(y.abs().max())
    if loud == 0:
        return
    if loud < 0.1 * float(x.abs().max()):
        raise Wrong(f"Your branch is quiet, but not silent: it adds up to {loud:.1g}. At step 0 the inflated model has "
                    "to be the image model bit for bit, so exactly 0 must come out.")
    raise Wrong(f"Your branch is not silent: with nothing learned it adds up to {loud:.2g} to everything, and the "
                "image model behind it is spoiled from the first step on. Exactly 0 must come out at first.")


def _check_waking(first, last, x, target):
    """Two steps of gradient descent: by the second all weights have a gradient, and channels learn different things."""
    first, last = first.clone().requires_grad_(), last.clone().requires_grad_()
    for _ in range(2):
        gradients = torch.autograd.grad((_branch(x, first, last) - target).square().sum(), (first, last))
        still = [name for name, g in zip(("first", "last"), gradients, strict=True) if not g.any()]
        if len(still) == 2:
            raise Wrong("Your branch is silent for ever: neither layer gets a gradient. The first one learns only "
                        "through the last one's weights, the last one only from what the first one says, and both are "
                        "0. One of them must not be.")
        first, last = ((w - 0.01 * g).detach().requires_grad_() for w, g in zip((first, last), gradients, strict=True))
    if still:
        raise Wrong(f"After one step, the {still[0]} layer still gets no gradient: it will never learn.")
    if any((g == 0).all(dim=(1, 2)).any() for g in gradients):
        raise Wrong("Some output channels get no gradient in the second step: a part of the branch stays dead.")
    weight, gradient = (each[0].detach() for each in ((first, last), gradients))
    if len(weight) > 1 and near(weight, weight[:1].expand_as(weight), 1e-6):
        raise Wrong("All channels of your first layer begin alike, so they get the same gradient and stay alike for "
                    "ever: the branch has a single channel's worth. Random numbers tell them apart.")
    if len(gradient) > 1 and near(gradient, gradient[:1].expand_as(gradient), 1e-9):
        raise Wrong("All channels of the first layer get the same gradient, and learn one and the same thing.")


# ---- temporal convolution ----------------------------------------------------------------------------------------


@task(
    "09.2", "temporal_conv(x, weight, bias)", "A convolution that looks along time", difficulty=3, importance=5,
    minutes=20,
    hints=(
        "Every frame becomes a sum over its neighbors in time: weight's first tap times the frame before, the middle "
        "one times the frame itself, the last one times the frame behind. Before the clip and after it lie zeros.",
        "A library knows pictures, not clips. To it, a clip can be *one* picture: rows are frames, columns are places, "
        "and the kernel is k rows tall and one column wide. The axes must be moved there, not reshaped.",
        "`F.conv2d(rearrange(x, 'b f c h w -> b c f (h w)'), weight[..., None], bias, padding=(k // 2, 0))`, and back. "
        "Or pad with zeros, and sum k slices of frames, each times `weight[:, :, tap]`.",
    ),
)
def temporal_conv(learner):
    for (b, f, c, h, w), out, k in (((2, 7, 3, 2, 4), 3, 3), ((2, 7, 3, 2, 4), 4, 3), ((3, 5, 3, 3, 3), 3, 3),
                                    ((1, 6, 2, 3, 2), 5, 5)):  # fmt: skip
        x, weight, bias = learner.draw(b, f, c, h, w), learner.draw(out, c, k), learner.draw(out)
        shape = (b, f, out, h, w)
        y = _of_shape(learner(x, weight, bias), shape, k)
        _check_who_hears(learner, x, weight, bias, y)
        _check_nothing_more(learner, x, weight, bias, shape)
        _check_bias(tensor(learner(x, torch.zeros_like(weight), bias), shape, "bfchw"), bias, k)
        _check_taps(learner, x, weight)
        _check_ends(y, _convolved(x, weight, bias), k)
        compare(y, _convolved(x, weight, bias), "bfchw")
    return "A frame hears of its neighbors in time, at its own place, and of zeros beyond the clip's ends."


def _of_shape(y, shape, k):
    if isinstance(y, torch.Tensor) and y.dim() == 5 and y.shape[1] == shape[1] - k + 1 and k > 1:
        raise Wrong(f"Of {shape[1]} frames only {y.shape[1]} come out: those at the ends are lost. Pad with {k // 2} "
                    "frames of zeros on either side.")
    return tensor(y, shape, "bfchw")


def _convolved(x, weight, bias):
    padded = F.pad(x.double(), (0, 0, 0, 0, 0, 0, weight.shape[2] // 2, weight.shape[2] // 2))
    windows = padded.unfold(1, weight.shape[2], 1)  # (b, f, c, h, w, k)
    return torch.einsum("bfchwk,ock->bfohw", windows, weight.double()) + bias.double()[:, None, None]


def _check_nothing_more(learner, x, weight, bias, shape):
    """Without a bias: no weights make nothing, and twice the clip makes twice the result."""
    none = torch.zeros_like(bias)
    if not near(empty := tensor(learner(x, 0 * weight, none), shape, "bfchw"), 0 * empty):
        if empty.shape == x.shape and near(empty, x):
            raise Wrong("With all weights 0, the clip itself comes out: the input is added. That is the business of "
                        "the branch in which the convolution stands.")
        raise Wrong("With all weights 0 and no bias, something comes out that is not 0: the weights are changed before "
                    "they are used, by a softmax perhaps, or something is added.")
    once, twice = (tensor(learner(each, weight, none), shape, "bfchw") for each in (x, 2 * x))
    if not near(twice, 2 * once):
        raise Wrong("With the clip twice as bright, the result is not twice as large: there is something else than "
                    "sums of products, such as an activation. A convolution is linear.")


def _check_bias(y, bias, k):
    due, w = bias.double()[:, None, None].expand_as(y), y.shape[-1]
    if near(y, due):
        return
    inside = slice(k // 2, y.shape[1] - k // 2)
    if near(y[:, inside], due[:, inside]):
        raise Wrong("Inside the clip all is right, and in the first and last frames the bias is missing, or more than "
                    "that: zeros belong around what goes in, and not around what comes out.")
    if near(y, torch.zeros_like(y)):
        raise Wrong("With all weights 0 the bias remains, and yours gives 0: the bias is left out.")
    if w == len(bias) and near(y, bias.double().expand_as(y)):
        raise Wrong("The bias is added along the last axis, the columns: a broadcast from the right. It belongs to the "
                    "channels, one number for each.")
    raise Wrong("With all weights 0, every channel must be its own bias everywhere, and yours is not: the bias meets "
                "the wrong axis, or counts more than once.")


def _check_who_hears(learner, x, weight, bias, before):
    """Disturbs one place of one frame: the same place in the k frames around it must move, and nothing else."""
    (b, f, _, h, w), half = x.shape, weight.shape[2] // 2
    clip, frame, row, column = b - 1, max(half, f // 2 - 1), 0, w - 1  # not in the midst: forwards or backwards, seen

    def moves(clip, frame):
        changed = x.clone()
        changed[clip, frame, :, row, column] += 1.0
        after = tensor(learner(changed, weight, bias), before.shape, "bfchw")
        return (after - before).abs().amax(dim=2) > 1e-5  # (b, f, h, w)

    moved, told = moves(clip, frame), f"When one place of frame {frame} is disturbed,"
    if moved[:clip].any():
        raise Wrong(f"{told} other clips of the batch hear of it: clips got mixed.")
    spilt = [moves(0, f - 1), moves(clip, 0)] if b > 1 else []
    if any(each[1 - i :][: b - 1, half : f - half].any() for i, each in enumerate(spilt)):
        raise Wrong(f"When frame {f - 1} of the first clip is disturbed, or frame 0 of the last one, frames in the "
                    "midst of other clips hear of it: clips got mixed. Axes that were folded together come apart in "
                    "the same order.")
    if spilt and (spilt[0][1:].any() or spilt[1][:clip].any()):
        raise Wrong("The end of one clip hears of the beginning of the next: they were put in one row. Other clips of "
                    "the batch are none of its business, and beyond its ends lie zeros.")
    places = moved[clip].any(dim=0)
    if int(places.sum()) != 1 or not places[row, column]:
        if not places.any():
            raise Wrong(f"{told} nothing moves at all.")
        if int(places.sum()) == 1:
            raise Wrong(f"{told} another place moves, and not its own: rows and columns got mixed. Axes that were "
                        "folded together come apart in the same order.")
        raise Wrong(f"{told} {_count(int(places.sum()))} of {h * w} move, and only its own may: a kernel along time "
                    "has no width and no height. Either it runs along another axis, or the axes were reshaped where "
                    "they must be moved.")
    heard = moved[clip, :, row, column].nonzero().flatten().tolist()
    due = [t for t in range(f) if abs(t - frame) <= half]
    if heard == due:
        return
    if heard == [t for t in range(f) if abs(f - 1 - t - frame) <= half]:
        raise Wrong(f"{told} frames {_listed(heard)} move: the frames come out in reverse order.")
    if heard == [t for t in range(frame, min(f, frame + 2 * half + 1))]:
        raise Wrong(f"{told} frames {_listed(heard)} move: a frame hears of the past only, as in a causal VAE. Here it "
                    "looks both ways: pad by half the kernel on either side.")
    if heard == [t for t in range(max(0, frame - 2 * half), frame + 1)]:
        raise Wrong(f"{told} frames {_listed(heard)} move: a frame hears of the future only. Pad by half the kernel on "
                    "either side.")
    gaps = {b - a for a, b in pairwise(heard)}
    if len(heard) <= 2 * half + 1 and frame in heard and len(gaps) == 1 and gaps != {1}:
        raise Wrong(f"{told} frames {_listed(heard)} move, and those between them do not: the taps lie apart. They "
                    "belong to neighboring frames.")
    far = " Some lie out of its reach: were axes reshaped where they must be moved?" if set(heard) - set(due) else ""
    raise Wrong(f"{told} frames {_listed(heard)} move, and frames {_listed(due)} should: a kernel of {weight.shape[2]} "
                f"reaches half its length to either side.{far}")


def _count(number):
    return f"{number} places" if number > 1 else "1 place"


def _listed(frames):
    return ", ".join(map(str, frames)) or "none"


def _check_taps(learner, x, weight):
    """A clip that is 0 but for one frame reads the kernel out: what the frames around it become."""
    (f, c), (out, _, k) = x.shape[1:3], weight.shape
    half, frame, lone = k // 2, f // 2, torch.zeros_like(x[:1])
    read = torch.zeros(out, c, k, dtype=torch.float64)
    for channel in range(c):
        lone[:] = 0
        lone[0, frame, channel] = 1.0
        y = tensor(learner(lone, weight, torch.zeros(out)), (1, f, out, *x.shape[3:]), "bfchw")
        for tap in range(k):
            t = frame + half - tap
            if 0 <= t < f:
                read[:, channel, tap] = y[0, t, :, 0, 0]
    seen = [tap for tap in range(k) if 0 <= frame + half - tap < f]
    weight = weight.double()
    if near(read[..., seen], weight[..., seen]):
        return
    if near(read[..., seen], weight.flip(2)[..., seen]):
        raise Wrong("Your kernel runs backwards in time: the first tap belongs to the frame *before*, and with you it "
                    "meets the one behind.")
    if out == c and near(read[..., seen], weight.transpose(0, 1)[..., seen]):
        raise Wrong("Input and output channels are exchanged: weight is (out, in, kernel), and it goes unnoticed here "
                    "because there are as many of both.")
    if near(read[..., seen], read[..., seen[:1]].expand(-1, -1, len(seen))):
        raise Wrong("All taps count the same: each frame around has to meet a tap of its own.")
    factor = float((read * weight)[..., seen].sum() / weight[..., seen].square().sum())
    if out == c and near(read, read * torch.eye(c)[..., None]) and not near(read, torch.zeros_like(read)):
        raise Wrong("Every channel hears of itself alone. Each of the new channels is a sum over all channels that "
                    "come in: weight is (out, in, kernel).")
    if near(read[..., seen], factor * weight[..., seen], 1e-3):
        raise Wrong(f"Every tap counts {factor:.3g} times as much as its weight says: the frames around are summed up, "
                    "each with its tap, and nothing is divided or multiplied.")
    raise Wrong("The frames around are heard, but not through their own taps: frame t + j − k // 2 belongs to "
                "`weight[:, :, j]`.")


def _check_ends(y, due, k):
    half, f = k // 2, y.shape[1]
    inside = slice(half, f - half)
    if near(y[:, inside], due[:, inside]) and not near(y, due):
        raise Wrong("Inside the clip all is right, and at its ends it is not: beyond the first and the last frame lie "
                    "zeros. Yours finds something else there (frames that are repeated, mirrored, or taken from the "
                    "other end).")


# ---- temporal attention ------------------------------------------------------------------------------------------


@task(
    "09.3", "temporal_attention(q, k, v, table)", "Attention along time that knows how far apart", difficulty=4,
    importance=4, minutes=25,
    hints=(
        "Every place of the picture has a sequence of its own, as long as the clip has frames: fold batch, rows and "
        "columns together, and leave frames and channels alone. Then it is attention as always, plus one number.",
        "Scores are (…, f, f), query frame by key frame: q · k / √d, and then the table's entry for key frame minus "
        "query frame is added. Distance 0 stands in the table's middle; what is farther than the table reaches takes "
        "its outermost entry. The softmax runs over the keys.",
        "`far = len(table) // 2`, `t = torch.arange(f)`, `apart = (t[None, :] - t[:, None]).clamp(-far, far) + far`; "
        "scores = `q @ k.transpose(-1, -2) / d**0.5 + table[apart]`, with q, k and v as (b · h · w, f, d).",
    ),
)
def temporal_attention(learner):
    for (b, f, h, w, d), far in (((2, 5, 2, 3, 4), 2), ((1, 4, 3, 2, 6), 5), ((2, 3, 3, 3, 3), 1)):
        q, k, v = (learner.draw(b, f, h, w, d) for _ in range(3))
        table = learner.draw(2 * far + 1)
        y = tensor(learner(q, k, v, table), v.shape, "bfhwd")
        _check_place(learner, q, k, v, table, y)
        _check_effect(learner, q, k, table)
        _check_table(_weights(learner, 0 * q, 0 * k, table), table, far, d)
        _check_own(learner, q, k, 0 * table)
        _check_scores(_weights(learner, q, k, 0 * table), q, k)
        compare(y, _attended(q, k, v, table), "bfhwd")
    return "Every place looks along its own time, and what counts is how many frames lie between."


def _attended(q, k, v, table):
    weights = _mixed(q, k, table)
    return torch.einsum("bhwts,bshwd->bthwd", weights, v.double())


def _mixed(q, k, table):
    scores = torch.einsum("bthwd,bshwd->bhwts", q.double(), k.double()) / q.shape[-1] ** 0.5
    return (scores + _relative(table.double(), q.shape[1])).softmax(dim=-1)


def _relative(table, f, late=0):
    """The table's entries (query, key); late: by how much a distance is taken for a larger one."""
    far, t = len(table) // 2, torch.arange(f)
    return table[(t[None, :] - t[:, None] + late).clamp(-far, far) + far]  # (query, key)


def _weights(learner, q, k, table):
    """The weights of one place, (b, query, key): read off with values that are 1 in one frame and else 0."""
    b, f, h, w, d = q.shape
    found = []
    for frame in range(f):
        v = torch.zeros(b, f, h, w, d)
        v[:, frame] = 1.0
        found.append(tensor(learner(q, k, v, table), v.shape, "bfhwd")[:, :, h - 1, 0, 0])
    return torch.stack(found, dim=-1)


def _check_place(learner, q, k, v, table, before):
    """Disturbs the values of one place in one frame: all frames of that place must move, and nothing else."""
    b, f, h, _, _ = v.shape
    clip, frame, row, column = b - 1, 1, h - 1, 0
    changed = v.clone()
    changed[clip, frame, row, column] += 3.0
    after = tensor(learner(q, k, changed, table), v.shape, "bfhwd")
    moved = (after - before).abs().amax(dim=-1) > 1e-6  # (b, f, h, w)
    told = f"When the value at one place of frame {frame} is disturbed,"
    if moved[:clip].any():
        raise Wrong(f"{told} other clips of the batch hear of it: clips got mixed.")
    places = moved[clip].any(dim=0)
    if not places.any():
        raise Wrong(f"{told} nothing moves at all: the values have no effect.")
    if int(places.sum()) > 1 or not places[row, column]:
        frames = int(moved[clip].any(dim=2).any(dim=1).sum())
        if frames == 1:
            raise Wrong(f"{told} {_count(int(places.sum()))} of that frame hear of it and no other frame does: that is "
                        "spatial attention. Along time, a sequence is one place in all frames.")
        raise Wrong(f"{told} {_count(int(places.sum()))} hear of it, and only its own may: places and frames are mixed "
                    "up in the folding. Axes must be moved, not reshaped.")
    heard = moved[clip, :, row, column].nonzero().flatten().tolist()
    weights = _weights(learner, q, k, table) if len(heard) < f else None
    if weights is not None and near(weights, weights.round()) and near(weights.sum(2), torch.ones(b, f)):
        raise Wrong("Each query hears of a single frame, the one with the largest score. It hears of all of them, by a "
                    "softmax of the scores.")
    if len(heard) < f:
        raise Wrong(f"{told} only frames {_listed(heard)} hear of it. All {f} frames look at all {f}: nothing is "
                    "masked here, neither the future nor what the table does not reach.")


def _check_effect(learner, q, k, table):
    """Whether the table is heard where all scores are 0, and where all are 1."""
    f, d = q.shape[1], q.shape[-1]
    silent = _weights(learner, 0 * q, 0 * k, table)
    if not near(silent, torch.full_like(silent, 1 / f)):
        return
    loud = _weights(learner, torch.ones_like(q) / d**0.5, torch.ones_like(k), table)
    if not near(loud, torch.full_like(loud, 1 / f)):
        raise Wrong("The table has no effect where the scores are 0, and has one where they are not: it is multiplied. "
                    "It has to be added to the scores.")
    raise Wrong("The table has no effect: with queries and keys of 0, all frames count the same.")


def _check_own(learner, q, k, table):
    """Disturbs the queries and keys of one place: the weights of another must stay."""
    before = _weights(learner, q, k, table)
    for name, other in (("queries", (q.clone(), k)), ("keys", (q, k.clone()))):
        other[name == "keys"][:, :, 0, -1] += 1.0
        if not near(_weights(learner, *other, table), before):
            raise Wrong(f"When the {name} of one place are disturbed, the weights of another move. Every place is a "
                        "sequence of its own, with weights of its own: only its channels are summed up in the scores.")


def _check_table(found, table, far, d):
    """With queries and keys of 0, the weights come from the table alone: found (b, query, key)."""
    f = found.shape[1]
    due = _relative(table.double(), f).softmax(dim=-1).expand_as(found)
    if near(found, due):
        return
    _check_sums(found)
    if f > 2 and near(found, found[:, :1].expand_as(found)):
        raise Wrong("All queries get the same number for a key: your table goes by the key's own frame. It goes by the "
                    "distance, key frame minus query frame.")
    if _unsigned(found[0]):
        raise Wrong("The distance is taken without its sign: one frame earlier and one frame later have entries of "
                    "their own.")
    for other, told in (
        (table.flip(0), "The distance has the wrong sign: the table's last entries are for keys that come *later* than "
                        "the query, and with you they are for earlier ones. It is key frame minus query frame."),
        (table / d**0.5, "The table is divided by √d together with the scores. It is added afterwards, as it is."),
        (table * d**0.5, "The table is multiplied by √d. It is added to the scaled scores as it is."),
        (-table, "The table is subtracted. It is added to the scores."),
        (torch.cat([table[1:2], table[1:-1], table[-2:-1]]), "The table's outermost entries are never used: distances "
                                                             "are cut off one too early. It reaches to len(table) // "
                                                             "2 on either side."),
        (table.exp(), "The table goes through an exponential before it is added. It is added to the scores as it is."),
        (table.softmax(0), "The table goes through a softmax of its own. It is added to the scores as it is."),
        (table.roll(1), "The table is read one entry off: distance 0 stands in its middle."),
        (table.roll(-1), "The table is read one entry off: distance 0 stands in its middle."),
    ):
        if near(found, _relative(other.double(), f).softmax(dim=-1).expand_as(found)):
            raise Wrong(told)
    for late in (1, -1):
        if near(found, _relative(table.double(), f, late).softmax(dim=-1).expand_as(found)):
            raise Wrong(f"The table is read one entry off: a key at distance 0 gets the entry of distance {late}. "
                        "Distance 0 stands in its middle, at len(table) // 2.")
    if _right_within(found[0], due[0], far):
        raise Wrong("As far as the table reaches all is right, and farther away it is not: such frames take its "
                    "outermost entry. (An index below 0 raises no error: it counts from the other end.)")
    raise Wrong("The weights do not follow from the table: entry i is for keys that come i − len(table) // 2 frames "
                "after the query.")


def _unsigned(found):
    """Whether a frame as far before as another is behind always has the same weight: found (query, key)."""
    inner = [(i, i - n, i + n) for i in range(len(found)) for n in range(1, min(i, len(found) - 1 - i) + 1)]
    return all(near(found[i, before], found[i, behind], 1e-5) for i, before, behind in inner)


def _right_within(found, due, far):
    """Whether weights (query, key) are in the right relation to each other as far as the table reaches, not beyond."""
    t, ratio = torch.arange(len(due)), (found.clamp(min=1e-12) / due).log()
    reached = (t[None, :] - t[:, None]).abs() <= far
    same = [near(row[near_by], row[near_by].mean().expand(int(near_by.sum())))
            for row, near_by in zip(ratio, reached, strict=True)]  # fmt: skip
    return all(same) and not reached.all()


def _check_sums(found):
    rows, columns = found.sum(dim=2), found.sum(dim=1)
    if near(rows, torch.ones_like(rows)):
        return
    if near(columns, torch.ones_like(columns)):
        raise Wrong("The softmax runs over the queries: what one key gives to all queries sums to 1. What one query "
                    "takes from all keys has to.")
    if near(rows, torch.full_like(rows, 2.0)):
        raise Wrong("The weights of a query sum to 2 over the key frames: the values are added once more behind the "
                    "attention. That is not its business.")
    raise Wrong("The weights of a query do not sum to 1 over the key frames: is the softmax missing, or does something "
                "change the weights behind it?")


def _check_scores(found, q, k):
    """Without the table: found (b, query, key) of one place, against softmax(q · k / √d)."""
    _check_sums(found)
    at = (slice(None), slice(None), q.shape[2] - 1, 0)
    q, k = q.double()[at], k.double()[at]
    scores, d = q @ k.transpose(1, 2), q.shape[-1]
    if near(found, (scores / d**0.5).softmax(dim=-1)):
        return
    for other, told in (
        (scores, "The scores are not divided by √d: the wider a head, the sharper it would look."),
        (scores / d, "The scores are divided by d, and √d is due."),
        (scores * d**0.5, "The scores are multiplied by √d; they must be divided."),
        (scores.transpose(1, 2) / d**0.5, "Queries and keys are exchanged: row t of the scores belongs to the *query* "
                                          "of frame t."),
        (q @ q.transpose(1, 2) / d**0.5, "The queries ask themselves: the keys have no effect."),
        (k @ k.transpose(1, 2) / d**0.5, "The keys ask themselves: the queries have no effect."),
        (0 * scores, "Queries and keys have no effect: all frames count the same."),
    ):
        if near(found, other.softmax(dim=-1)):
            raise Wrong(told)
    if near(found, (scores / q.shape[1] ** 0.5).softmax(dim=-1)):
        raise Wrong("The scores are divided by the root of the number of frames; √d, of the channels, is due.")
    raise Wrong("Without the table, the weights must be softmax(q · k / √d) over the key frames of one place, and they "
                "are not.")


# ---- the way through the U ---------------------------------------------------------------------------------------


class Layer:
    """Stands in for the layers of a U-Net: every scale does something else, and a skip counts half."""

    def __call__(self, x, scale, skip=None):
        y = (1.5 + scale) * x.roll(1, dims=-1) + 0.1 * scale
        if skip is None:
            return y
        if skip.shape != x.shape:  # judged by what it was asked: nothing stops here
            skip = F.interpolate(skip.flatten(0, 1).movedim(-1, 1), size=x.shape[2:4]).movedim(1, -1).view(x.shape)
        return y + 0.5 * skip


def halve(x):
    """Half the rows and columns: the mean of each 2 × 2 places, of x (b, f, h, w, c)."""
    return x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(3, 5))


def double(x):
    """Twice the rows and columns."""
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


@task(
    "09.4", "through_the_u(x, layer, halve, double, scales)", "Down, up, and across", difficulty=3, importance=4,
    minutes=20,
    hints=(
        "Three parts: down, where each scale's layer runs and then everything gets smaller; the middle; and up, where "
        "everything gets larger and each scale's layer runs again. Something must be kept on the way down.",
        "What is kept is what the layer *says*, before it is halved. On the way up the last one kept is needed first: "
        "a list with `append` and `pop`.",
        "Down: `x = layer(x, s)`, `skips.append(x)`, `x = halve(x)`. Middle: `layer(x, scales)`. Up, with s from "
        "scales − 1 to 0: `x = layer(double(x), s, skips.pop())`.",
    ),
)
def through_the_u(learner):
    for (b, f, h, w, c), scales in (((2, 3, 8, 4, 3), 2), ((1, 2, 8, 8, 4), 3), ((2, 2, 2, 4, 3), 1)):
        x, layer = learner.draw(b, f, h, w, c), Spy(Layer())
        y = learner(x, layer, Spy(halve), Spy(double), scales)
        _check_calls(learner.logs.get(1, []), x, scales)
        due = _through(x, scales)
        _check_end(y, due, x)
        compare(tensor(y, x.shape, "bfhwc"), due, "bfhwc")
    return "Every scale runs on its way down and on its way up, and hands across what it has seen."


def _check_end(y, due, x):
    """The result is what the last layer said, and nothing else."""
    y = tensor(y, x.shape, "bfhwc")
    shares = mixture(y, {"what the last layer said": due, "x": x.double()})
    if shares and abs(float(shares["x"])) > 1e-3:
        raise Wrong(f"The result is {in_words(shares)}. All layers are right; return what the last one says, without "
                    "the input: the skips carry what is needed of it.")


def _through(x, scales):
    x, skips, layer = x.double(), [], Layer()
    for scale in range(scales):
        x = layer(x, scale)
        skips.append(x)
        x = halve(x)
    x = layer(x, scales)
    for scale in reversed(range(scales)):
        x = layer(double(x), scale, skips.pop())
    return x


def _check_calls(asked, x, scales):
    """What `layer` was asked, call by call: the scale, the size of what it got, and which skip."""
    if not asked:
        raise Wrong("You never call `layer`.")
    calls = [(*call, None)[:3] for call in asked]  # (x, scale, skip)
    order = [call[1] for call in calls]
    due = [*range(scales), scales, *reversed(range(scales))]
    if order != due:
        raise Wrong(f"With {scales} scales above the middle, the layers run at the scales {_listed(order)}; due are "
                    f"{_listed(due)}: down, the middle once, and up again.")
    for place, (given, scale, _) in enumerate(calls):
        rows, way = x.shape[2] >> scale, "down" if place < scales else "up"
        if given.shape[2] != rows:
            verb = "halve" if given.shape[2] > rows else "double"
            where = f"On the way {way}" if place != scales else "In the middle"
            raise Wrong(f"{where}, the layer at scale {scale} gets {given.shape[2]} rows, and {rows} are due: "
                        f"`{verb}` is missing, or comes at the wrong moment.")
    if any(skip is not None for *_, skip in calls[: scales + 1]):
        raise Wrong("On the way down and in the middle there is no skip yet: `layer(x, scale)` alone.")
    if any(skip is None for *_, skip in calls[scales + 1 :]):
        raise Wrong("A layer on the way up gets no skip: all that is fine would have to pass through the narrow "
                    "middle. Hand it what its twin on the way down said.")
    _check_skips(calls, scales)


def _check_skips(calls, scales):
    """Of each skip: whose it is, and whether it is what that layer said or what it was given."""
    layer = Layer()
    said = [layer(given, scale) for given, scale, _ in calls[: scales + 1]]
    for given, scale, skip in calls[scales + 1 :]:
        if skip.shape == said[scale].shape and near(skip, said[scale]):
            continue
        whose = next((s for s, each in enumerate(said) if skip.shape == each.shape and near(skip, each)), None)
        if given.shape == said[scale].shape and near(given, said[scale]):
            raise Wrong(f"At scale {scale}, what comes from below and the skip are exchanged: `layer(x, s, skip)`.")
        if whose is not None:
            raise Wrong(f"The layer at scale {scale} gets the skip of scale {whose}: the skip that was kept last is "
                        "needed first.")
        if skip.shape == said[scale].shape and near(skip, calls[scale][0]):
            raise Wrong(f"The skip at scale {scale} is what its twin was *given*. It should be what the twin *said*: "
                        "keep it behind the layer, not before it.")
        if any(skip.shape == each.shape and near(skip, each) for each in map(halve, said[:-1])):
            raise Wrong(f"The skip at scale {scale} has been halved: the fine detail that it should save is gone. Keep "
                        "it before halving.")
        if skip.shape == given.shape and near(skip, given):
            raise Wrong(f"The skip at scale {scale} is what comes from below, so nothing is handed across.")
        share = mixture(skip, {"it": said[scale]}) if skip.shape == said[scale].shape else None
        changed = f": it is {float(share['it']):.3g} times that" if share else ""
        raise Wrong(f"The skip at scale {scale} is not what its twin on the way down said{changed}. It is handed over "
                    "as it is.")
    _check_ways_up(calls, scales)


def _check_ways_up(calls, scales):
    layer = Layer()
    before = layer(*calls[scales][:2])
    for given, scale, skip in calls[scales + 1 :]:
        if not near(given, double(before)):
            if near(given, double(before) + skip):
                raise Wrong("You add the skip yourself, and the layer merges it once more: hand it over, and no more.")
            raise Wrong(f"On the way up, the layer at scale {scale} must get what came from below, doubled, and gets "
                        "something else.")
        before = layer(given, scale, skip)
