"""Lesson 07, what attention costs: who looks at whom, counted."""

from fractions import Fraction

from minit2v.exercises.judging import Wrong, growth, number
from minit2v.exercises.registry import task

SQUARES = {"full": (2, 2), "spatial": (1, 2), "temporal": (2, 1)}  # the powers of frames and of places
LOOKS = {
    "full": "every token looks at every token of the clip",
    "spatial": "a token looks at the tokens of its own frame, and that in every frame",
    "temporal": "a token looks at its own place in all frames, and that at every place",
}


@task(
    "07.1", "scores(layout, frames, places)", "Who looks at whom", difficulty=2, importance=5, minutes=10,
    hints=(
        "Count in two steps: how many tokens ask, and how many does each of them look at?",
        "There are frames · places tokens, and all of them ask. In the layout \"full\" each looks at all; in "
        "\"spatial\" at one frame's; in \"temporal\" at one place's.",
        "full: (frames · places)². spatial: frames · places². temporal: places · frames².",
    ),
)
def scores(learner):
    for layout, (time, space) in SQUARES.items():
        def counted(layout=layout, **sizes):
            return learner(layout, sizes["frames"], sizes["places"])

        try:
            growth(counted, dict(frames=6, places=10), dict(frames=time, places=space), f'scores of "{layout}"')
        except Wrong as wrong:
            found, tokens, seen = number(counted(frames=6, places=10)), 60, 6 ** (time - 1) * 10 ** (space - 1)
            told = f'{wrong} In "{layout}", {LOOKS[layout]}.'
            if 2 * found in (tokens * (seen - 1), tokens * (seen + 1)):
                told = 'You count each pair of tokens once. "A looks at B" and "B looks at A" are two scores.'
            raise Wrong(told) from None
        for frames, places in ((16, 1024), (1, 7), (5, 64)):
            due, found = frames**time * places**space, number(counted(frames=frames, places=places))
            if found != due:
                diagonal = {due - frames * places: "a token looks at itself as well"}
                half = {frames * places * (due // (frames * places) + 1) // 2: "A looks at B, and B at A: two scores"}
                times = Fraction(found) / due
                why = f"{float(times):g} times as many as one head of one layer computes"
                why = {**half, **diagonal}.get(found, why)
                raise Wrong(f'For {frames} frames of {places} places, "{layout}" has {due:,} scores, and you count '
                            f"{found:,}: {why}.")
    return "Time squared, space squared, or both: the layout decides which."


@task(
    "07.2", "saving(frames, places)", "What factorising saves", difficulty=3, importance=5, minutes=10,
    hints=(
        "Compare one full layer with what takes its place: not one layer, but two.",
        "With T frames of P places: which of the three counts of 07.1 stands above the fraction, which two below it?",
        "(T · P)² / (T · P² + P · T²). Shortened, that is T · P / (T + P).",
    ),
)
def saving(learner):
    for frames, places in ((16, 1024), (64, 4096), (13, 1350), (5, 16), (1, 64), (30, 1)):
        found = number(learner(frames, places), "saving")
        due = Fraction(frames * places, frames + places)
        if abs(found - due) <= 1e-9 * due:
            continue
        told = f"For {frames} frames of {places} places you say {float(found):,.6g} times"
        full, spatial, temporal = (frames * places) ** 2, frames * places**2, places * frames**2
        others = {
            Fraction(full, spatial): "that compares with a spatial layer alone. The temporal layer has to be paid as "
                                     "well",
            Fraction(full, temporal): "that compares with a temporal layer alone. The spatial layer has to be paid as "
                                      "well",
            Fraction(full, spatial) * Fraction(full, temporal): "that divides by both layers one after the other; "
            "their scores add up",
            Fraction(frames + places, frames * places): "that is the share that is left: turn the fraction over",
            2 * due: "that counts one of the two layers, on average; one full layer is replaced by both",
            due * full: "that is a number of scores; divide by those of the two layers",
            Fraction(full - spatial - temporal): "that is how many scores are saved; asked is how many times fewer "
                                                 "there are",
            Fraction(int(due)): "the fraction is cut off: divide by /, not by //",
        }
        why = next((text for value, text in others.items() if abs(found - value) <= 1e-9 * abs(value)), None)
        if why is None and found > frames:
            why = "more than T times is impossible: the spatial layer alone costs a T-th of the full one"
        if why is None:
            why = "divide the scores of one full layer by those of a spatial and a temporal layer together"
        raise Wrong(f"{told}: {why}.")
    return "16 frames of 32 × 32 places: 15.75 times, not a thousand. The number of frames is a bound."


@task(
    "07.3", "windowed_scores(frames, places, window)", "Through a window", difficulty=4, importance=3, minutes=20,
    hints=(
        "First forget the places, and count ordered pairs of frames at most `window` apart. Draw the square of frames "
        "× frames: which band of it is left?",
        "A frame in the middle sees 2w + 1 frames. At both ends of the clip some of them do not exist. And a window "
        "wider than the clip is as wide as the clip.",
        "A loop will do: `sum(abs(i - j) <= window for i in range(frames) for j in range(frames))`, times places². As "
        "a formula: T(2w + 1) − w(w + 1), with w at most T − 1.",
    ),
)
def windowed_scores(learner):
    cases = [(16, 64, 2), (8, 4, 1), (9, 5, 3), (5, 3, 0), (4, 2, 3), (4, 2, 9), (1, 6, 2)]
    for frames, places, window in cases:
        pairs = sum(abs(i - j) <= window for i in range(frames) for j in range(frames))
        found, due = number(learner(frames, places, window), "number of scores"), pairs * places**2
        if found != due:
            raise Wrong(_through(frames, places, window, found, pairs))
    return "In the middle 2w + 1, less at the ends, and never more than the clip has."


def _through(frames, places, window, found, pairs):
    told = f"For {frames} frames of {places} places and a window of {window}, you count {found:,}"
    band = frames * (2 * window + 1)
    looks_back = sum(0 <= i - j <= window for i in range(frames) for j in range(frames))
    others = {
        frames**2: "so all pairs of frames: the window has no effect",
        band: "which lets the first and the last frame see frames that do not exist: at the ends of the clip there is "
        "less to see",
        looks_back: "which counts one direction of time; a frame sees as far ahead as back",
        pairs - frames: "which leaves out that a frame sees itself",
        sum(abs(i - j) < window for i in range(frames) for j in range(frames)): f"as many as through a window of "
        f"{window - 1}: a frame that is exactly {window} away is seen as well",
        2 * window + 1: "which is what one frame in the middle sees; every frame of the clip looks",
        frames * window: "which leaves out one side of the window, and the frame itself",
        frames * 2 * window: "which leaves out that a frame sees itself, and the ends of the clip",
    }
    units = {places**2: "", places: " Every place looks at every place of a frame that it sees: places enter squared.",
             1: " The places are missing: each pair of frames is a pair for every two places."}  # fmt: skip
    if window >= frames and found != pairs * places and found != pairs:
        return f"{told}. The window is wider than the clip: then all {frames} frames see each other, and no more."
    for unit, more in units.items():
        if found == pairs * unit:
            return f"{told}.{more}"
        for count, why in others.items():
            if found == count * unit and count != pairs:
                return f"{told}, {why}.{more}"
    for other in range(frames):
        if found == sum(abs(i - j) <= other for i in range(frames) for j in range(frames)) * places**2:
            return f"{told}: as many as through a window of {other}. How far may a frame look, to either side?"
    if found > frames**2 * places**2:
        return f"{told}: more than without any window. Frames outside of the clip must not be counted."
    if pairs < found / places**2 < band:
        return f"{told}: some of the frames that it sees do not exist. Is the window cut off at both ends of the clip?"
    which = "many" if found > pairs * places**2 else "few"
    return f"{told}, too {which}. Draw the square of {frames} × {frames} frames and color in the band."
