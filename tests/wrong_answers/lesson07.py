"""Answers to lesson 07, what attention costs."""

from fractions import Fraction
from itertools import product

from minit2v.exercises.bank import right, wrong

# ---- 07.1 scores(layout, frames, places)


@right("07.1")
def three_formulas(layout, frames, places):
    return {"full": (frames * places) ** 2, "spatial": frames * places**2, "temporal": places * frames**2}[layout]


@right("07.1")
def who_asks_times_who_answers(layout, frames, places):
    if layout == "full":
        seen = frames * places
    elif layout == "spatial":
        seen = places
    else:
        seen = frames
    return frames * places * seen


@wrong("07.1", '"spatial", a token looks at the tokens of its own frame')
def exchanged(layout, frames, places):
    return {"full": (frames * places) ** 2, "temporal": frames * places**2, "spatial": places * frames**2}[layout]


@wrong("07.1", '"full", every token')
def full_without_square(layout, frames, places):
    return {"full": frames * places, "spatial": frames * places**2, "temporal": places * frames**2}[layout]


@wrong("07.1", "`frames` doubled")
def one_frame_only(layout, frames, places):
    return {"full": (frames * places) ** 2, "spatial": places**2, "temporal": places * frames**2}[layout]


@wrong("07.1", "`places` doubled")
def one_place_only(layout, frames, places):
    return {"full": (frames * places) ** 2, "spatial": frames * places**2, "temporal": frames**2}[layout]


@wrong("07.1", "once")
def pairs_once(layout, frames, places):
    tokens, seen = frames * places, {"full": frames * places, "spatial": places, "temporal": frames}[layout]
    return tokens * (seen - 1) // 2


@wrong("07.1", "`frames` doubled")
def factorised_for_full(layout, frames, places):
    spatial, temporal = frames * places**2, places * frames**2
    return {"full": spatial + temporal, "spatial": spatial, "temporal": temporal}[layout]


# ---- 07.2 saving(frames, places)


@right("07.2")
def by_the_scores(frames, places):
    return (frames * places) ** 2 / (frames * places**2 + places * frames**2)


@right("07.2")
def shortened(frames, places):
    return Fraction(frames * places, frames + places)


@right("07.2")
def counted_in_loops(frames, places):
    full = frames * places * frames * places
    parts = sum(places * places for _ in range(frames)) + sum(frames * frames for _ in range(places))
    return full / parts


@wrong("07.2", "temporal layer has to be paid")
def against_spatial_alone(frames, places):
    return (frames * places) ** 2 / (frames * places**2)


@wrong("07.2", "spatial layer has to be paid")
def against_temporal_alone(frames, places):
    return (frames * places) ** 2 / (places * frames**2)


@wrong("07.2", "turn the fraction over")
def the_share_left(frames, places):
    return (frames + places) / (frames * places)


@wrong("07.2", "their scores add up")
def a_thousand_times(frames, places):
    return frames * places


@wrong("07.2", "replaced by both")
def layer_for_layer(frames, places):
    return 2 * frames * places / (frames + places)


@wrong("07.2", "cut off")
def whole_division(frames, places):
    return frames * places // (frames + places)


@wrong("07.2", "how many scores are saved")
def a_difference(frames, places):
    return (frames * places) ** 2 - frames * places**2 - places * frames**2


# ---- 07.3 windowed_scores(frames, places, window)


@right("07.3")
def in_a_loop(frames, places, window):
    return sum(abs(i - j) <= window for i, j in product(range(frames), repeat=2)) * places**2


@right("07.3")
def by_the_formula(frames, places, window):
    w = min(window, frames - 1)
    return (frames * (2 * w + 1) - w * (w + 1)) * places**2


@right("07.3")
def frame_by_frame(frames, places, window):
    seen = [min(frames - 1, t + window) - max(0, t - window) + 1 for t in range(frames)]
    return sum(seen) * places * places


@wrong("07.3", "frames that do not exist")
def forgets_the_ends(frames, places, window):
    return frames * (2 * window + 1) * places**2


@wrong("07.3", "one direction of time")
def looks_back_only(frames, places, window):
    return sum(0 <= i - j <= window for i, j in product(range(frames), repeat=2)) * places**2


@wrong("07.3", "places enter squared")
def places_once(frames, places, window):
    return sum(abs(i - j) <= window for i, j in product(range(frames), repeat=2)) * places


@wrong("07.3", "sees itself")
def not_itself(frames, places, window):
    return sum(0 < abs(i - j) <= window for i, j in product(range(frames), repeat=2)) * places**2


@wrong("07.3", "wider than the clip")
def no_bound(frames, places, window):
    return (frames * (2 * window + 1) - window * (window + 1)) * places**2


@wrong("07.3", "no effect")
def without_the_window(frames, places, window):
    return frames**2 * places**2


@wrong("07.3", "exactly 2 away")
def less_than_the_window(frames, places, window):
    return sum(abs(i - j) < window for i, j in product(range(frames), repeat=2)) * places**2
