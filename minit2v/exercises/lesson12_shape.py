"""12.4, crop and pad: which part of a picture, in which shape."""

import torch

from minit2v.exercises.judging import Wrong, near, tensor
from minit2v.exercises.registry import task


@task(
    "12.4", "shaped(picture, height, width, fit)", "Make any picture fit", difficulty=3, importance=3, minutes=20,
    hints=(
        "Nothing is scaled here. Cropping asks for the largest part, padding for the smallest whole, of the shape "
        "height : width. Which side of the picture stays as it is: in a picture that is too wide, and in one too tall?",
        "For a picture (h, w): h · width / height columns go with all its rows, w · height / width rows with all its "
        "columns. The crop takes the smaller of each and what there is; the pad the larger.",
        "`limit = min if fit == 'crop' else max`; `high, wide = limit(h, w * height // width), limit(w, h * width // "
        "height)`. Crop: `top, left = (h - high) // 2, (w - wide) // 2` and a slice. Pad: `torch.full((high, wide, 3), "
        "0.5)`, and put the picture into its middle.",
    ),
)
def shaped(learner):
    for (h, w), (high, wide) in (((6, 10), (4, 4)), ((12, 6), (5, 5)), ((8, 24), (4, 6)), ((12, 12), (4, 6)),
                                 ((4, 6), (8, 12))):  # fmt: skip
        picture = 2 + torch.arange(float(h * w)).view(h, w, 1).expand(-1, -1, 3) * torch.tensor([1.0, 1.001, 1.002])
        for fit in ("crop", "pad"):
            box = _box(h, w, high, wide, fit)
            told = f"A picture of {h} × {w}, made {high} : {wide} by '{fit}', "
            y = learner(picture.clone(), high, wide, fit)
            y = _of_shape(y, (*box, 3), picture, (high, wide), told, fit)
            (_check_crop if fit == "crop" else _check_pad)(y, picture.double(), told)
    return "What is shown is the middle, in the right shape, and no pixel was stretched."


def _of_shape(value, due, picture, asked, told, fit):
    if isinstance(value, torch.Tensor) and value.dim() == 3 and tuple(value.shape) != due:
        if tuple(value.shape) == (3, *due[:2]):
            raise Wrong(f"{told}comes out with the colors first, {tuple(value.shape)}. They stand last here: "
                        "(h, w, 3).")
        _explain_shape(value, due[:2], picture, asked, told, fit)
    return tensor(value, due, "hwc")


def _explain_shape(value, due, picture, asked, told, fit):
    """Height and width are not those that are due."""
    found, (h, w), (high, wide) = tuple(value.shape[:2]), picture.shape[:2], asked
    told = f"{told}comes out as {found[0]} × {found[1]}"
    other = "pad" if fit == "crop" else "crop"
    if found == _box(h, w, high, wide, other):
        raise Wrong(f"{told}: that is what '{other}' means. A crop is never larger than "
                    "the picture, a pad never smaller.")
    if 0 in found:
        raise Wrong(f"{told}: nothing is left. Where nothing is to be cut off, a slice that ends at -0 ends at 0.")
    if found == asked:
        raise Wrong(f"{told}. Those are not pixels here, but a shape: take as much of the picture as has this shape, "
                    "and leave the scaling to others.")
    if found == (h, w):
        if not near(value, picture):
            raise Wrong(f"{told}, as large as it was, and with other pixels: nothing is painted over or scaled here. "
                        f"The picture itself gets another size, {due[0]} × {due[1]}.")
        too, long, across = ("wide", "columns", "rows") if h * wide < w * high else ("tall", "rows", "columns")
        more = f"{long} have to go" if fit == "crop" else f"{across} have to be added"
        raise Wrong(f"{told}, as it was; {due[0]} × {due[1]} is due. It is too {too} for that shape: {more}.")
    if found in ((due[1], due[0]), _box(h, w, wide, high, fit)):
        raise Wrong(f"{told}: height and width are exchanged.")
    if found == (2 * due[0] - h, 2 * due[1] - w):
        raise Wrong(f"{told}: twice as much is {'cut off' if fit == 'crop' else 'added'} as has to be. Half of that "
                    "belongs on each side.")
    if found == (h + due[1] - w, w + due[0] - h):
        raise Wrong(f"{told}: the bars are at the wrong sides, where rows are due there are columns, or the other way "
                    "round. Does `F.pad` count from the last axis?")
    if found[0] == found[1] and high != wide:
        raise Wrong(f"{told}: that is a square, and {high} : {wide} is asked for.")
    if found[0] * wide != found[1] * high:
        raise Wrong(f"{told}, which is not {high} : {wide}; {due[0]} × {due[1]} is due.")
    raise Wrong(f"{told}: the right shape, but {'smaller' if found[0] < due[0] else 'larger'} than it has to be; "
                f"{due[0]} × {due[1]} is due.")


def _box(h, w, high, wide, fit):
    """Height and width that a picture (h, w) gets in the shape high : wide."""
    limit = min if fit == "crop" else max
    return limit(h, w * high // wide), limit(w, h * wide // high)


def _place(part, whole):
    """Where the top left pixel of `part` stands in `whole` (h, w, 3), if each of its pixels is one of those."""
    h, w = part.shape[:2]
    for top, left in ((whole - part[0, 0]).abs().amax(dim=-1) < 1e-4).nonzero().tolist():
        same = whole[top : top + h, left : left + w]
        if same.shape == part.shape and near(same, part, 1e-6):
            return top, left
    return None


def _check_crop(y, picture, told):
    due = tuple((a - b) // 2 for a, b in zip(picture.shape[:2], y.shape[:2], strict=True))
    found = _place(y, picture)
    if found is None and _place(y.transpose(0, 1), picture):
        raise Wrong(f"{told}comes out lying on its side: height and width are exchanged.")
    if found is None and any(_place(y.flip(axes), picture) for axes in ((0,), (1,), (0, 1))):
        raise Wrong(f"{told}is mirrored, or stands on its head. A crop only leaves something out.")
    if found is None:
        if not all(bool(((picture - pixel).abs().amax(dim=-1) < 1e-4).any()) for pixel in y.flatten(0, 1)):
            raise Wrong(f"{told}holds values that the picture does not have. A crop only leaves something out.")
        raise Wrong(f"{told}has its pixels in another order, or with gaps between them. A crop is one piece.")
    if found != due:
        raise Wrong(f"{told}begins at row {found[0]}, column {found[1]}. The middle is asked for: as much is cut off "
                    f"on one side as on the other, so it begins at row {due[0]}, column {due[1]}.")


def _check_pad(y, picture, told):
    h, w = picture.shape[:2]
    due = (y.shape[0] - h) // 2, (y.shape[1] - w) // 2
    found = _place(picture, y)
    if found is None:
        raise Wrong(f"{told}does not show the whole picture in one piece. Padding adds bars and changes no pixel.")
    if found != due:
        raise Wrong(f"{told}has the picture at row {found[0]}, column {found[1]}, and not in the middle, row {due[0]}, "
                    f"column {due[1]}: there are bars on both sides.")
    bars = torch.ones(y.shape[:2], dtype=torch.bool)
    bars[due[0] : due[0] + h, due[1] : due[1] + w] = False
    if bars.any() and not near(y[bars], torch.full_like(y[bars], 0.5)):
        if not near(y[bars], y[bars].mean().expand_as(y[bars])):
            raise Wrong(f"{told}has bars that show something: edges that are repeated, or mirrored. Gray, 0.5, is "
                        "asked for, everywhere.")
        raise Wrong(f"{told}has bars of {float(y[bars].mean()):.3g}. Gray, 0.5, is asked for: to a model that knows -1 "
                    "to 1 that is 0, the least it can be told.")
