"""Lesson 11, the failure lab: a score that no frozen clip wins, from bells to a name, and a trend with its band."""

import math

import torch

from minit2v.exercises.judging import Wrong, near, number, pair, said
from minit2v.exercises.registry import task

# ---- progress ----------------------------------------------------------------------------------------------------


@task(
    "11.1", "progress(position, asked, seen)", "What a frozen clip cannot win", difficulty=3, importance=5,
    minutes=20,
    hints=(
        "Think of clips that should not score: one that stands still, one that trembles on the spot, one that walks "
        "the wrong way, one that walks sideways. What must each of them get? Then find a formula in which they do.",
        "Where the subject starts is no progress, so take the mean place away, of the path measured and of the path "
        "asked for. Then ask which multiple of the path asked for is nearest to the one measured. And leave out what "
        "is not seen *before* anything else: its places are NaN.",
        "`p = position[seen]`, `a = asked[seen]`, each less its mean over frames, and then `(p * a).sum() / (a * "
        "a).sum()`.",
    ),
)
def progress(learner):
    t = 9
    time = torch.arange(t) / 8
    line = 7 * torch.stack([time, torch.zeros(t)], dim=1)
    turn = 2 * math.pi * time / time[-1]
    circle = 9 * torch.stack([turn.sin(), 1 - turn.cos()], dim=1)
    whole, parts = torch.ones(t).bool(), torch.tensor([1, 1, 1, 0, 1, 0, 0, 1, 1]).bool()
    for asked, seen in ((line, whole), (circle, whole), (line, parts), (circle, parts)):
        _check_clips(learner, asked, seen)
        _check_frames(learner, asked, seen)
        _check_idlers(learner, asked, seen)
        position = 0.7 * asked + learner.draw(t, 2)
        hidden = position.clone()
        hidden[~seen] = math.nan
        _due(_scored(learner, hidden, asked, seen), position, asked, seen)
    return "Standing still, trembling and walking sideways get 0, the wrong way less, and a snail what it has walked."


def _scored(learner, position, asked, seen) -> float:
    found = float(number(learner(position, asked, seen), "score"))
    if math.isnan(found):
        why = "Is something divided by how far the subject moves? A frozen one moves by 0."
        if position.isnan().any():
            why = "Where nothing is seen, positions are NaN, and NaN times 0 is NaN: choose frames, do not weigh them."
        raise Wrong(f"Your score is NaN. {why}")
    return found


def _reference(position, asked, seen):
    p, a = (x[seen].double() - x[seen].double().mean(dim=0) for x in (position, asked))
    return float((p * a).sum() / (a * a).sum())


def _due(found, position, asked, seen):
    due = _reference(position, asked, seen)
    if near(found, due, 1e-3):
        return
    p, a = position.double(), asked.double()
    other = (p - p[seen].mean(dim=0))[seen], (a - a.mean(dim=0))[seen]
    why = ""
    if not seen.all() and near(found, float((other[0] * other[1]).sum() / (other[1] ** 2).sum()), 1e-3):
        why = " Take the mean of the path asked for over the same frames as that of the path measured."
    raise Wrong("A path that is 0.7 times the one asked for, and a pixel off here and there, has a score of "
                f"{due:.3f}; yours is {found:.3f}.{why} Least squares: the multiple of the path asked for that is "
                "nearest to the one measured, both less their means.")


def _check_clips(learner, asked, seen):
    """Clips of which everybody knows what they deserve."""

    def score(path):
        return _scored(learner, path + torch.tensor([20.0, -13.0]), asked, seen)

    kind = "a line" if bool((asked[:, 1] == 0).all()) else "a circle"
    frozen, right, back, double = (score(factor * asked) for factor in (0.0, 1.0, -1.0, 2.0))
    if abs(frozen) > 1e-2:
        raise Wrong(f"A clip that stands still, elsewhere in the picture, gets {frozen:.3g}: where the subject is, is "
                    "no progress. Take the mean place away.")
    if near(back, right, 1e-2) and abs(right) > 1e-2:
        raise Wrong(f"Asked for is {kind}. Who walks it backwards gets {back:.3g}, as much as who walks it as asked: "
                    "lengths have lost the direction. It must be less than 0.")
    if near(double, right, 1e-2) and abs(right) > 1e-2:
        raise Wrong(f"Who walks twice as far gets {double:.3g}, as much as who walks as asked: a correlation, or "
                    "something that is cut off at 1. The score says how much: 2.")
    if near(right, 1, 1e-2) and near(double, 0.5, 1e-2):
        raise Wrong("Who walks twice as far gets 0.5: the ratio is upside down. Divide by what was asked for.")
    if not near(right, 1, 1e-2) or not near(double, 2, 1e-2) or not near(back, -1, 1e-2):
        at_home = _scored(learner, asked, asked, seen)
        place = " At another place of the picture it gets another score: take the mean place away, from both paths."
        place = place if near(at_home, 1, 1e-2) else ""
        raise Wrong(f"Asked for is {kind}. As asked, backwards, and twice as far get {right:.3g}, {back:.3g} and "
                    f"{double:.3g}; 1, −1 and 2 are due.{place}")


def _check_idlers(learner, asked, seen):
    """Motion that is none of what was asked for: trembling, and walking sideways."""

    def score(path):
        return _scored(learner, path, asked, seen)

    a = torch.zeros_like(asked)
    a[seen] = asked[seen] - asked[seen].mean(dim=0)
    shake = torch.where(torch.arange(len(a)) % 2 == 0, 3.0, -3.0)[:, None] * torch.ones(1, 2)
    shake = shake - shake[seen].mean(dim=0)
    shake = shake - a * (shake[seen] * a[seen]).sum() / (a[seen] ** 2).sum()
    trembles = score(shake)
    if abs(trembles) > 2e-2:
        raise Wrong(f"A clip that trembles on the spot gets {trembles:.3g}. Its steps add up to a long way, and lead "
                    "nowhere: do not measure the length of the path.")
    if bool((asked[:, 1] == 0).all()):
        aside = score(asked.flip(1))
        if abs(aside) > 2e-2:
            raise Wrong(f"Asked for is a way to the right; a clip that goes down gets {aside:.3g}. Only what goes "
                        "along the path asked for counts.")


def _check_frames(learner, asked, seen):
    """Which frames have how much of a say: the score is linear in the positions."""
    push, due = [], []
    for frame in range(len(asked)):
        moved = torch.zeros_like(asked)
        moved[frame] = 1.0
        push.append(_scored(learner, moved, asked, seen))
        due.append(_reference(moved, asked, seen))
    for frame in (~seen).nonzero().flatten().tolist():
        if abs(push[frame]) > 1e-3:
            raise Wrong(f"Frame {frame} is not seen, and your score depends on what is measured there.")
    order = seen.nonzero().flatten().tolist()
    others = max(abs(push[frame]) for frame in order[1:-1])
    for frame, name in ((order[0], "first"), (order[-1], "last")):
        if abs(push[frame]) > 2 * max(map(abs, due)) and abs(push[frame]) > 2 * others:
            raise Wrong(f"A pixel's error in frame {frame}, the {name} one, moves your score by "
                        f"{abs(push[frame]):.2f}, more than any frame may: all places are counted from that one. Count "
                        "them from the mean place.")
    for axis, name in ((0, "x"), (1, "y")):
        alone = asked * torch.tensor([axis == 0, axis == 1])
        if abs(_reference(alone, asked, seen)) > 0.1 and abs(_scored(learner, alone, asked, seen)) < 1e-3:
            raise Wrong(f"A path that goes along {name} as asked, and not at all along the other axis, gets 0: your "
                        f"score does not look at {name}.")
    idle = [frame for frame in order if abs(push[frame]) < 1e-4 < abs(due[frame])]
    if len(idle) > 1:
        raise Wrong(f"Frames {', '.join(map(str, idle[:6]))} have no say in your score: a clip that jumps in its last "
                    "frame would win. Let all frames count that are seen.")


# ---- diagnosis ---------------------------------------------------------------------------------------------------

HEALTHY, UNKNOWN = "nothing is wrong", "unknown"


@task(
    "11.2", "diagnose(figures, bounds, failures)", "From bells to a name", difficulty=3, importance=4, minutes=20,
    hints=(
        "First the bells, without a thought of failures: which figures are out of their bounds, and at which end? Then "
        "ask of each failure whether everything that it does is to be heard.",
        "A bell rings \"low\" below its lower bound and \"high\" above the upper one; on the bound, and for NaN, it is "
        "silent. A failure fits if *all* of its signs ring; others may ring as well. Of those that fit, the one with "
        "most signs explains most.",
        "`bells = {name: \"low\" if value < bounds[name][0] else \"high\" for … if value < low or value > high}`; then "
        "`fits = [name for name, signs in failures.items() if all(bells.get(f) == end for f, end in signs.items())]`, "
        "and `max(fits, key=lambda name: len(failures[name]))`, if there are any.",
    ),
)
def diagnose(learner):
    nan, inf = math.nan, math.inf
    bounds = {
        "speed": (0.6, 1.5), "flicker": (-inf, 0.7), "drift": (-inf, 1.2), "contrast": (0.8, 1.35), "asked": (0.7, inf),
    }  # fmt: skip
    well = {"speed": 1.0, "flicker": 0.3, "drift": 0.4, "contrast": 1.0, "asked": 0.9}
    failures = {
        "frozen": {"speed": "low"}, "hasty": {"speed": "high"}, "weak mixing": {"flicker": "high"},
        "torn apart": {"flicker": "high", "drift": "high"}, "pale": {"contrast": "low"},
        "burnt": {"contrast": "high", "asked": "low"},
    }  # fmt: skip
    backwards = dict(reversed(list(failures.items())))

    def case(why, due, table=failures, **figures):
        found = learner({**well, **figures}, bounds, table)
        if not isinstance(found, str):
            raise Wrong(f"You return {said(found)}; one name is asked for, as a string.")
        if found != due:
            why = _misread(found, due, table.get(found, {}), _bells({**well, **figures}, bounds)) or why
            told = ", ".join(f"{name} {value:g} (bounds {bounds[name][0]:g} to {bounds[name][1]:g})"
                             for name, value in figures.items()) or "all figures within bounds"
            raise Wrong(f"{told}: you say {found!r}, and {due!r} is due. {why}")

    case(f"Where no bell rings, say {HEALTHY!r}.", HEALTHY)
    case("A figure below its lower bound rings low.", "frozen", speed=0.1)
    case("A figure above its upper bound rings high. The two ends are two different signs.", "hasty", speed=2.0)
    case("A figure above its upper bound rings high.", "weak mixing", flicker=3.0)
    case("On its bound, a figure is still within bounds.", HEALTHY, speed=0.6, flicker=0.7)
    case("NaN is what could not be measured: it rings no bell.", HEALTHY, drift=nan, asked=nan)
    most = "Of the failures whose signs all ring, take the one with most signs: it explains more."
    case(most, "torn apart", flicker=3.0, drift=2.0)
    case(f"{most} In whatever order they are listed.", "torn apart", backwards, flicker=3.0, drift=2.0)
    case("One sign of two is missing, so it cannot be that failure: all of its signs must ring.", UNKNOWN, contrast=1.9)
    case("One sign of two is missing, so it cannot be that failure.", "weak mixing", backwards, flicker=3.0)
    case("Another bell rings as well, and that is no reason against a failure whose own signs all ring.", "pale",
         contrast=0.5, drift=2.0)
    case(f"Bells ring and no failure fits: say {UNKNOWN!r}.", UNKNOWN, drift=2.0)
    case("What is not measured (NaN) is not heard: one sign of two is missing.", "weak mixing", flicker=2.0, drift=nan)
    case("The sign is there, at the other end: contrast rings low, and the failure wants it high.", "pale", backwards,
         contrast=0.3, asked=0.2)
    _check_at_random(learner)
    return "First the bells, then the name: all signs of a failure must ring, and the one that explains most wins."


def _bells(figures, bounds):
    bells = {name: "low" for name, value in figures.items() if value < bounds[name][0]}
    return bells | {name: "high" for name, value in figures.items() if value > bounds[name][1]}


def _misread(found, due, signs, bells):
    """What is wrong with that name, whichever case it came up in; "" if it is the case's own matter."""
    if due == UNKNOWN and found == HEALTHY:
        return f"Bells ring, so something is wrong, though no failure fits: say {UNKNOWN!r}."
    if bells and any(figure not in bells for figure in signs):
        return f"One sign of {len(signs)} is missing there: all signs of a failure must ring.".replace("of 2", "of two")
    if any(bells.get(figure, end) != end for figure, end in signs.items()):
        return "That failure has its sign at the other end: too low and too high are two different signs."
    return ""


def _check_at_random(learner):
    """Other names, other bounds."""
    for _ in range(12):
        names = [f"figure {k}" for k in range(5)]
        bounds = {name: tuple(sorted(learner.draw(2).tolist())) for name in names}
        figures = {name: float(learner.draw(1)) for name in names}
        failures = {}
        for k, size in enumerate((1, 2, 3, 4)):
            failures[f"failure {k}"] = {names[(k + j) % 5]: ("low", "high")[learner.whole(0, 2)] for j in range(size)}
        bells = _bells(figures, bounds)
        fits = [name for name, signs in failures.items() if all(bells.get(f) == end for f, end in signs.items())]
        due = fits[-1] if fits else UNKNOWN if bells else HEALTHY  # they are listed by their number of signs
        found = learner(figures, bounds, failures)
        if found != due:
            raise Wrong(f"With five other figures, of which {bells or 'none'} ring, and failures {failures}, you say "
                        f"{found!r}; {due!r} is due. Is something fixed in your function that should come from its "
                        "arguments?")


# ---- a trend and its band ----------------------------------------------------------------------------------------


@task(
    "11.3", "trend(knob, effects, picks)", "Does it rise, and how sure is that?", difficulty=4, importance=4,
    minutes=25,
    hints=(
        "Two questions, one after the other. Do the means of the settings rise whenever the knob does? And would that "
        "have come out with other clips as well?",
        "Spearman's ρ is the correlation of *ranks*, of the knob's and of the means'. A rank is not what `argsort` "
        "gives: it is that, argsorted once more. For the band, take the clips of one row of picks, the same ones in "
        "every setting, and do all of it again; the band holds the middle 95 %.",
        "`rank = lambda x: x.argsort().argsort().float()`, ρ is `torch.corrcoef(torch.stack([rank(knob), "
        "rank(effects.mean(1))]))[0, 1]`, the draws are the same for `effects[:, pick].mean(1)`, and the band is "
        "`torch.tensor(draws).quantile(torch.tensor([0.025, 0.975]))`.",
    ),
)
def trend(learner):
    s, n, count = 6, 10, 120
    picks = torch.randint(n, (count, n), generator=learner.generator)
    knob = torch.tensor([0.0, 0.1, 0.5, 1.0, 2.5, 6.0])
    _check_rho(learner, knob, n, picks[:20])
    effects = 0.55 * torch.arange(s).float()[:, None] + 2.0 * learner.draw(s, n) + 5 * learner.draw(1, n)
    order = torch.randperm(s, generator=learner.generator)
    for which in (torch.arange(s), order):
        _check_band(learner, knob[which], effects[which], picks)
    return "Ranks, so that the knob's scale does not matter; the same clips in every setting, so that hard ones do not."


def _three(learner, knob, effects, picks):
    found = pair(learner(knob, effects, picks), ("rho", "low", "high"))
    found = [float(number(value, name)) for value, name in zip(found, ("rho", "low", "high"), strict=True)]
    if any(math.isnan(value) for value in found):
        raise Wrong(f"Your (rho, low, high) are {_few(found)}: something is NaN. Is something divided by a spread of "
                    "0?")
    return found


def _few(numbers):
    return ", ".join(f"{x:.3f}" for x in numbers)


def _rho(knob, means):
    ranks = [x.argsort().argsort().double() for x in (knob, means)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def _check_rho(learner, knob, n, picks):
    s = len(knob)
    alike = torch.arange(s).float()[:, None] + 9 * learner.draw(1, n)
    rises, falls = _three(learner, knob, alike, picks), _three(learner, knob, -alike, picks)
    if near(rises[0], -1, 1e-3) and near(falls[0], 1, 1e-3):
        raise Wrong("Where the effect rises with the knob, your ρ is −1: the sign is wrong.")
    curved = _three(learner, knob**3, alike, picks)
    if not near(curved[0], rises[0], 1e-3):
        raise Wrong("The knob's numbers, each to the third power, stand in the same order, and your ρ goes from "
                    f"{rises[0]:.3f} to {curved[0]:.3f}: that is a correlation of values. Take that of their ranks.")
    if not near(curved, rises, 1e-3):
        raise Wrong("The knob's numbers, each to the third power, stand in the same order; your ρ stays as it is, and "
                    f"your band goes from {_few(rises[1:])} to {_few(curved[1:])}: in the draws, too, it is ranks that "
                    "count.")
    if not (near(rises[0], 1, 1e-3) and near(falls[0], -1, 1e-3)):
        raise Wrong(f"Where each clip's effect rises by 1 with every setting, ρ is 1, and yours is {rises[0]:.3f} "
                    f"(falling: {falls[0]:.3f}).")
    for name, found in (("rises", rises), ("falls", falls)):
        if not (near(found[1], found[0], 1e-3) and near(found[2], found[0], 1e-3)):
            raise Wrong(f"Here every single clip's effect {name} with the knob; some clips are just higher than "
                        f"others. Whichever clips one draws, ρ is {found[0]:.0f}, and your band is {_few(found[1:])}. "
                        "Draw clips (not settings), and the same ones in every setting.")
    for _ in range(4):
        effects = learner.draw(s, n) + learner.draw(s, 1)
        order = torch.randperm(s, generator=learner.generator)
        due = _rho(knob, effects.mean(dim=1))
        plain, mixed = (_three(learner, k, e, picks)[0] for k, e in ((knob, effects), (knob[order], effects[order])))
        if not near(plain, mixed, 1e-3):
            raise Wrong(f"The same settings, listed in another order, give another ρ ({mixed:.3f} for {plain:.3f}). A "
                        "rank says how many are smaller. `argsort` says where the smallest stands, the next, and so "
                        "on; argsorted once more, it gives ranks.")
        if not near(plain, due, 1e-3):
            middle = _rho(knob, effects.median(dim=1).values)
            drawn = sum(_rho(knob, effects[:, pick].mean(dim=1)) for pick in picks) / len(picks)
            why = " You take the median over the clips; take the mean." if near(plain, middle, 1e-3) else ""
            why = " Yours is the mean of the draws; take the clips as they are." if near(plain, drawn, 1e-3) else why
            raise Wrong(f"Your ρ is {plain:.3f}, and {due:.3f} is due: the correlation of the knob's ranks with those "
                        f"of the settings' means over clips.{why}")


def _check_band(learner, knob, effects, picks):
    draws = torch.tensor([_rho(knob, effects[:, pick].mean(dim=1)) for pick in picks]).double()
    low, high = draws.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    rho = _rho(knob, effects.mean(dim=1))
    found = _three(learner, knob, effects, picks)
    if not near(found[0], rho, 1e-3):
        mean = near(found[0], float(draws.mean()), 1e-3) or near(found[0], float(draws.median()), 1e-3)
        why = ": that is the mean or median of the draws. ρ is that of the clips as they are" if mean else ""
        raise Wrong(f"Your ρ is {found[0]:.3f}, and {rho:.3f} is due{why}.")
    if near(found[1], high, 1e-3) and near(found[2], low, 1e-3) and high > low:
        raise Wrong("The ends of your band are exchanged: (rho, low, high).")
    fits = near(found[1], low, 2e-2) and near(found[2], high, 2e-2)
    told = f"Your band goes from {found[1]:.3f} to {found[2]:.3f}, and {low:.3f} to {high:.3f} is due"
    spread = float(draws.std())
    if not fits and max(abs(found[1]), abs(found[2])) > 1 + 1e-6:
        raise Wrong(f"{told}: no ρ lies beyond 1. A mean and its standard deviations know nothing of that; take "
                    "quantiles of the draws.")
    middle = (found[1] + found[2]) / 2
    if not fits and (near(middle, rho, 1e-3) or near(middle, float(draws.mean()), 1e-3)):
        raise Wrong(f"{told}: it is as wide to both sides, {(found[2] - found[1]) / 2 / spread:.2f} standard "
                    "deviations each. The draws are lopsided: take their quantiles.")
    lone = _three(learner, knob, effects, torch.full((9, effects.shape[1]), 3))
    due = _rho(knob, effects[:, 3])
    if not (near(lone[1], due, 1e-3) and near(lone[2], due, 1e-3)):
        raise Wrong(f"Where every row of picks names clip 3 alone, each draw has its ρ, {due:.3f}, and your band is "
                    f"{_few(lone[1:])}. Draw what the rows of picks say, clips, and nothing of your own.")
    if fits:
        return
    below, above = (float(x.double().mean()) for x in (draws < found[1] - 1e-6, draws > found[2] + 1e-6))
    inside = float(((draws >= found[1] - 1e-6) & (draws <= found[2] + 1e-6)).double().mean())
    if near(found[1], float(draws.min()), 1e-3) and near(found[2], float(draws.max()), 1e-3):
        raise Wrong(f"{told}: that is from the least to the largest of all draws, and gets wider the more one draws. "
                    "The band holds the middle 95 %.")
    raise Wrong(f"{told}. Of the draws, {below:.1%} lie below your band, {inside:.1%} in it and {above:.1%} above. The "
                "middle 95 % are asked for: quantiles 0.025 and 0.975, of ρ for the clips of each row of picks.")
