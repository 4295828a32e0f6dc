"""12.5, the VAE's error and the model's: three distances, and what they may be taken for."""

import math

from minit2v.exercises.judging import Wrong, number, pair
from minit2v.exercises.registry import task


@task(
    "12.5", "split_error(picture, rebuilt, first)", "The VAE's error, or the model's?", difficulty=1, importance=4,
    minutes=8,
    hints=(
        "Three pictures, and so three distances. On the way from the picture to the clip's first frame lies what the "
        "VAE alone makes of the picture.",
        "An rms distance is the root of the mean of the squared differences. The VAE's part goes from the picture to "
        "`rebuilt`; where does the model's part begin, and where does it end?",
        "`rms = lambda a, b: (a - b).square().mean().sqrt().item()`; return rms(picture, first), rms(picture, "
        "rebuilt), rms(rebuilt, first).",
    ),
)
def split_error(learner):
    for shape in ((4, 6, 3), (2, 5, 3)):
        picture, vae, model = (learner.draw(*shape) for _ in range(3))
        same = _parts(learner, picture, picture, picture)
        if any(abs(part) > 1e-6 for part in same):
            raise Wrong(f"When all three are the same picture there is no error, and you return {_shown(same)}.")
        _check_order(learner, picture, vae, model)
        _check_part(learner, 1, picture, picture + vae, picture + vae, vae,
                    "the clip's first frame is exactly what the VAE makes of the picture")
        _check_part(learner, 2, picture, picture, picture + model, model, "the VAE holds the picture perfectly")
        total, due = _parts(learner, picture, picture + vae, picture + vae + model), (vae + model, vae, model)
        due = tuple(float(part.double().square().mean().sqrt()) for part in due)
        for name, found, wanted in zip(("total", "VAE's part", "model's part"), total, due, strict=True):
            if abs(found - wanted) > 1e-4 * max(1, wanted):
                why = ""
                if name == "model's part" and abs(found - (total[0] - total[1])) < 1e-4:
                    why = " Distances do not subtract: two errors can point the same way, or cancel. Measure it."
                elif name == "model's part" and abs(found**2 - abs(total[0] ** 2 - total[1] ** 2)) < 1e-4:
                    why = " It is no right-angled triangle either: two errors can point the same way. Measure it."
                elif name == "total" and abs(found**2 - total[1] ** 2 - total[2] ** 2) < 1e-4:
                    why = " It is no right-angled triangle: two errors can cancel. Measure it from the picture itself."
                elif name == "total" and abs(found - (total[1] + total[2])) < 1e-4:
                    why = " Distances do not add up: two errors can cancel. Measure it from the picture itself."
                raise Wrong(f"With an error in both, the {name} is {found:.4g}, and {wanted:.4g} is due.{why}")
    return "The VAE's part is what no model behind it could mend; the model's part is what it did beyond that."


def _parts(learner, *pictures):
    found = pair(learner(*pictures), ("total", "vae", "model"))
    return tuple(float(number(part, name)) for part, name in zip(found, ("total", "VAE's part", "model's part"),
                                                                  strict=True))  # fmt: skip


def _shown(parts):
    return "(" + ", ".join(f"{part:.3g}" for part in parts) + ")"


def _check_order(learner, picture, vae, model):
    """Whether the three numbers are right and stand in another order."""
    found = _parts(learner, picture, picture + vae, picture + vae + model)
    due = [float(part.double().square().mean().sqrt()) for part in (vae + model, vae, model)]
    names = ("total", "VAE's part", "model's part")
    order = [next((i for i, value in enumerate(due) if abs(value - each) < 1e-4), -1) for each in found]
    if sorted(order) == [0, 1, 2] and order != [0, 1, 2]:
        moved = [i for i in range(3) if order[i] != i]
        if len(moved) == 2:
            raise Wrong(f"The {names[moved[0]]} and the {names[moved[1]]} are exchanged: the {names[moved[1]]} goes "
                        f"from {WAYS[moved[1]]}.")
        raise Wrong("The three numbers are right and stand in another order: total, the VAE's part, the model's part.")


WAYS = ("the picture to the clip's first frame", "the picture to `rebuilt`", "`rebuilt` to the clip's first frame")


def _check_part(learner, mine, picture, rebuilt, first, error, told):
    """All of the error is one part's: that one and the total must be its rms, the other 0."""
    found, other = _parts(learner, picture, rebuilt, first), 3 - mine
    names = ("total", "VAE's part", "model's part")
    due = float(error.double().square().mean().sqrt())
    if abs(found[other]) > 1e-5 and abs(found[mine]) < 1e-5:
        raise Wrong(f"When {told}, all of the error is the {names[mine]}, and yours says it is the {names[other]}: the "
                    "two are exchanged.")
    if abs(found[other]) > 1e-5:
        raise Wrong(f"When {told}, the {names[other]} is 0, and yours is {found[other]:.3g}.")
    for which in (mine, 0):
        value = found[which]
        if abs(value - due) < 1e-4 * max(1, due):
            continue
        square, absolute = due**2, float(error.double().abs().mean())
        norm, largest = float(error.double().norm()), float(error.double().abs().max())
        if abs(abs(value) - abs(float(error.double().mean()))) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the mean of the differences: what is too bright cancels "
                        "what is too dark. Square first, then take the mean.")
        if abs(value - largest) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the largest difference of all. One pixel must not decide: "
                        "the root of the mean square is asked for.")
        if abs(value - square) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the mean square. Its root is asked for, so that it has "
                        "the unit of the pixels.")
        if abs(value - absolute) < 1e-4:
            raise Wrong(f"The {names[which]} is {value:.4g}, the mean of the absolute differences. The root of the "
                        "mean square is asked for, which minds large errors more.")
        if abs(value - norm) < 1e-3:
            raise Wrong(f"The {names[which]} is {value:.4g}: summed over all pixels, so it grows with the picture. "
                        "Take the mean before the root.")
        if math.isclose(value, 0, abs_tol=1e-6):
            raise Wrong(f"When {told}, the {names[which]} cannot be 0, and yours is.")
        _explain_distance(learner, value, error.double(), names[which])
        raise Wrong(f"When {told}, the {names[which]} is {due:.4g}, the root of the mean squared difference; yours is "
                    f"{value:.4g}, {value / due:.3g} times as much.")


def _explain_distance(learner, value, error, name):
    """What a number that is no rms distance may be: asked of pictures that are brighter, or put in another order."""
    picture = learner.draw(*error.shape)
    if abs(_parts(learner, picture, picture + 0.5, picture + 0.5)[0]) < 1e-4:
        raise Wrong("A picture that is a little brighter everywhere counts as no error: a mean is taken away, as for a "
                    "standard deviation. It is the differences themselves that are squared.")
    turned = picture.flip(0)
    if abs(_parts(learner, picture, turned, turned)[0]) < 1e-4:
        raise Wrong("A picture that stands on its head counts as no error: you compare how large the values of each "
                    "picture are, as a whole. Take the difference pixel by pixel first.")
    for axes, of in (((2,), "pixel"), ((0, 1), "color"), ((0,), "column"), ((1,), "row"), ((0, 2), "column"),
                     ((1, 2), "row")):  # fmt: skip
        if abs(value - float(error.square().mean(axes).sqrt().mean())) < 1e-4:
            raise Wrong(f"The {name} is {value:.4g}: a root for each {of}, and then the mean of the roots. The root "
                        "comes last: of the mean over everything.")
        if abs(value - float(error.square().sum(axes).sqrt().mean())) < 1e-4:
            raise Wrong(f"The {name} is {value:.4g}, the mean of the distances of each {of}. The root of the mean over "
                        "all numbers is asked for.")
    ways = {"the root of the mean of the *absolute* differences. Square them": error.abs().mean().sqrt(),
            "the fourth root of the mean of fourth powers. Squares are asked for": error.pow(4).mean().sqrt().sqrt(),
            "the median of the differences. The mean is asked for": error.abs().median()}
    for words, other in ways.items():
        if abs(value - float(other)) < 1e-4:
            raise Wrong(f"The {name} is {value:.4g}, {words}.")
    for axis, what in ((2, "color"), (0, "row"), (1, "column")):
        for i in range(error.shape[axis]):
            if abs(value - float(error.select(axis, i).square().mean().sqrt())) < 1e-4:
                raise Wrong(f"The {name} is {value:.4g}: that is {what} {i} alone. All numbers of the picture count.")
    due = float(error.square().mean().sqrt())
    scaled = _parts(learner, 2 * picture, 2 * (picture + error), 2 * (picture + error))[0]
    plain = _parts(learner, picture, picture + error, picture + error)[0]
    if plain and abs(scaled / plain - 1) < 1e-3:
        raise Wrong("With all values doubled, your numbers stay the same: they are divided by how large the picture's "
                    "values are. The difference itself is asked for.")
    for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2)):
        left = math.prod(error.shape[i] for i in range(3) if i not in axes) ** 0.5
        if abs(value - due * left) < 1e-3:
            raise Wrong(f"The {name} is {value:.4g}, {left:.3g} times too much: the squares are divided by the number "
                        f"of {' and '.join(('rows', 'columns', 'colors')[i] for i in axes)} only. Take the mean over "
                        "everything.")
    if abs(value - float(error.square().sum(2).mean().sqrt())) < 1e-4:
        raise Wrong(f"The {name} is {value:.4g}: the three colors are added up, and not averaged. The mean is over all "
                    "numbers of the picture.")
