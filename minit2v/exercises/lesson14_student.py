"""14.3, a student's target: one velocity for the teacher's two."""

from minit2v.exercises.judging import Spy, Wrong, compare, in_words, mixture, near, tensor
from minit2v.exercises.lesson14_cache import Field, asked_of
from minit2v.exercises.registry import task


@task(
    "14.3", "two_in_one(velocity_fn, x, here, middle, there)", "What a student is asked", difficulty=4, importance=5,
    minutes=15,
    hints=(
        "First let the teacher walk, with two Euler steps, and note where he ends. Only then ask: which single "
        "velocity leads there in one step?",
        "Step one goes from `here` to `middle` with the velocity at x. Step two begins where step one ended, and asks "
        "there again, at the level `middle`. One step of the student is (there − here) · velocity.",
        "`half = x + (middle - here) * velocity_fn(x, here)`, `end = half + (there - middle) * velocity_fn(half, "
        "middle)`, and the answer is `(end - x) / (there - here)`.",
    ),
)
def two_in_one(learner):
    for here, middle, there in ((0.9, 0.6, 0.1), (1.0, 0.9, 0.5), (0.5, 0.25, 0.0)):
        x = learner.draw(2, 3, 4)
        y = tensor(learner(Spy(Field()), x, here, middle, there), x.shape, "bnd")
        asked = asked_of(learner)
        first = Field()(x.double(), here)
        half = x.double() + (middle - here) * first
        _check_teacher(asked, x, half, here, middle, there)
        second = Field()(half, middle)
        share = (here - middle) / (here - there)
        due = share * first + (1 - share) * second
        if not near(y, due):
            _explain_student(y, x, half, first, second, share, (here, middle, there))
            compare(y, due, "bnd")
    return "One step of the student ends where two of the teacher do, however long the two are."


def _check_teacher(asked, x, half, here, middle, there):
    if len(asked) != 2:
        times = {0: "never", 1: "once"}.get(len(asked), f"{len(asked)} times")
        raise Wrong(f"The teacher takes two steps, so he is asked twice. You ask him {times}.")
    (x1, level1), (x2, level2) = sorted(asked, key=lambda each: -each[1])
    if near(level1, here, 1e-5) and near(level2, there, 1e-5) and not near(middle, there, 1e-5):
        raise Wrong("The second time you ask at the level `there`, where the second step ends. It begins at `middle`.")
    if near(level1, level2, 1e-5):
        raise Wrong(f"You ask the teacher twice at the level {level1:.2f}. His second step begins at `middle`.")
    if not (near(level1, here, 1e-5) and near(level2, middle, 1e-5)):
        raise Wrong(f"You ask the teacher at the levels {level1:.2f} and {level2:.2f}; his steps begin at {here:.2f} "
                    f"and {middle:.2f}.")
    if not near(x1, x):
        raise Wrong("The first question has to be asked at x itself.")
    if near(x2, half, 1e-4):
        return
    if near(x2, x):
        raise Wrong("Both times you ask at x. The second step begins where the first one has ended: walk there first.")
    if near(x2, 2 * x.double() - half, 1e-4):
        raise Wrong("The first step goes in the wrong direction: to `middle` it is (middle − here) · velocity, and "
                    "that is negative.")
    step = mixture(x2.double() - x.double(), {"step": half - x.double()})
    if step is not None:
        raise Wrong(f"The first step is {float(step['step']):.3g} times as long as it should be: from `here` to "
                    "`middle`.")
    raise Wrong("The second question is asked at a place to which the teacher's first step does not lead.")


def _explain_student(y, x, half, first, second, share, levels):
    here, middle, there = levels
    shares = mixture(y, {"first": first, "second": second})
    if shares is None:
        end = half + (there - middle) * second
        if near(y, end):
            raise Wrong("You return where the teacher ends. Asked is the velocity that leads there in one step.")
        if near(y, (half + (there - middle) * second) / (there - here)):
            raise Wrong("You divide the end by the length of the step. It is the way from x to the end that has to be "
                        "divided.")
        raise Wrong("The result is no mixture of the teacher's two velocities: is x itself in it?")
    a, b = float(shares["first"]), float(shares["second"])
    told = f"Yours is {in_words({'first velocity': a, 'second velocity': b})}; due is {share:.3g} and {1 - share:.3g}."
    if near(a + b, 1.0, 1e-3) and near(a, 0.5, 1e-3):
        raise Wrong(f"Both velocities count the same, and the two steps are not equally long. {told}")
    if near(a + b, 1.0, 1e-3) and near(a, 1 - share, 1e-3):
        raise Wrong(f"The weights are exchanged: the first velocity counts by the length of the second step. {told}")
    if near(a + b, -1.0, 1e-3):
        raise Wrong(f"The sign is wrong: the way from `here` to `there` is there − here, and that is negative. {told}")
    if near(abs(a + b), here - there, 1e-3):
        raise Wrong(f"You return the way from x to the teacher's end. A velocity is that way, divided by there − here. "
                    f"{told}")
    first_way, second_way, whole = (a * (there - here), b * (there - here), there - here)  # along each velocity
    if abs(a) < 1e-3 or abs(b) < 1e-3:
        which, end = ("first", "begins at x") if abs(a) < 1e-3 else ("second", "ends where the second step does")
        raise Wrong(f"The {which} step is missing in the result: the way that is asked for {end}. {told}")
    if near(a / b, share / (1 - share), 1e-3):
        divisor = whole / (a + b)
        names = {middle - here: "that is the first step alone", there - middle: "that is the second step alone",
                 -here: "that would be the way down to level 0"}  # fmt: skip
        why = next((f": {words}" for value, words in names.items() if abs(value - divisor) < 1e-3), "")
        raise Wrong(f"The way from x to the teacher's end is right, and divided by {divisor:.3g}{why}. One step of the "
                    f"student is there − here, {whole:.3g}. {told}")
    if abs(a - b) < 1e-3:
        raise Wrong(f"Both velocities count the same, and the two steps are not equally long. {told}")
    if abs(a + b) < 1e-3:
        raise Wrong(f"The velocities are subtracted from each other. Both lead on, one after the other: their ways are "
                    f"added. {told}")
    if near(a / b, here / middle, 1e-3):
        raise Wrong(f"The velocities are weighted by the levels at which they are asked. They count by the lengths of "
                    f"their steps. {told}")
    if abs(second_way - whole) < 1e-3:
        raise Wrong(f"The second step goes all the way from `here` to `there`. It begins at `middle`: there − middle. "
                    f"{told}")
    if abs(first_way - whole) < 1e-3:
        raise Wrong(f"The first step goes all the way from `here` to `there`. It ends at `middle`: middle − here. "
                    f"{told}")
    raise Wrong(f"The two velocities have the wrong weights. {told}")
