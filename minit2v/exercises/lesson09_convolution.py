"""09.2, a convolution along time: who hears of whom, through which tap, and what lies beyond the ends."""

from itertools import pairwise

import torch
import torch.nn.functional as F

from minit2v.exercises.judging import Wrong, compare, near, tensor
from minit2v.exercises.registry import task


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
    factor = float((y * due).sum() / (due * due).sum())
    if near(y, factor * due):
        raise Wrong(f"With all weights 0, every channel must be its own bias everywhere, and yours is {factor:.3g} "
                    "times that: it is added once, not more than once, and not taken away.")
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
        raise Wrong(f"{told} {count(int(places.sum()))} of {h * w} move, and only its own may: a kernel along time "
                    "has no width and no height. Either it runs along another axis, or the axes were reshaped where "
                    "they must be moved.")
    heard = moved[clip, :, row, column].nonzero().flatten().tolist()
    due = [t for t in range(f) if abs(t - frame) <= half]
    if heard == due:
        return
    if heard == [t for t in range(f) if abs(f - 1 - t - frame) <= half]:
        raise Wrong(f"{told} frames {listed(heard)} move: the frames come out in reverse order.")
    if heard == [t for t in range(frame, min(f, frame + 2 * half + 1))]:
        raise Wrong(f"{told} frames {listed(heard)} move: a frame hears of the past only, as in a causal VAE. Here it "
                    "looks both ways: pad by half the kernel on either side.")
    if heard == [t for t in range(max(0, frame - 2 * half), frame + 1)]:
        raise Wrong(f"{told} frames {listed(heard)} move: a frame hears of the future only. Pad by half the kernel on "
                    "either side.")
    gaps = {b - a for a, b in pairwise(heard)}
    if len(heard) <= 2 * half + 1 and frame in heard and len(gaps) == 1 and gaps != {1}:
        raise Wrong(f"{told} frames {listed(heard)} move, and those between them do not: the taps lie apart. They "
                    "belong to neighboring frames.")
    far = " Some lie out of its reach: were axes reshaped where they must be moved?" if set(heard) - set(due) else ""
    raise Wrong(f"{told} frames {listed(heard)} move, and frames {listed(due)} should: a kernel of {weight.shape[2]} "
                f"reaches half its length to either side.{far}")


def count(number):
    """So many places, in words."""
    return f"{number} places" if number > 1 else "1 place"


def listed(frames):
    """Numbers in a row, in words."""
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
