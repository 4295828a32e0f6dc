"""Answers to lesson 11, the failure lab."""

import math

import numpy as np
import torch

from minit2v.exercises.bank import right, wrong

# ---- 11.1 progress(position, asked, seen)


def centered(path, seen):
    return path[seen] - path[seen].mean(dim=0)


@right("11.1")
def least_squares(position, asked, seen):
    p, a = centered(position, seen), centered(asked, seen)
    return (p * a).sum() / (a * a).sum()


@right("11.1")
def one_column(position, asked, seen):
    p, a = centered(position, seen).reshape(-1, 1), centered(asked, seen).reshape(-1, 1)
    return torch.linalg.lstsq(a, p).solution.item()


@right("11.1")
def with_numpy(position, asked, seen):
    p, a = (np.asarray(path)[np.asarray(seen)] for path in (position, asked))
    a = a - a.mean(axis=0)
    return float(np.vdot(a, p - p.mean(axis=0)) / np.vdot(a, a))


@wrong("11.1", "Take the mean place away")
def where_it_is(position, asked, seen):
    p, a = position[seen], asked[seen]
    return (p * a).sum() / (a * a).sum()


@wrong("11.1", "lost the direction")
def lengths_of_paths(position, asked, seen):
    def length(path):
        return path[seen].diff(dim=0).norm(dim=-1).sum()

    return length(position) / length(asked)


@wrong("11.1", "lost the direction")
def spreads(position, asked, seen):
    return centered(position, seen).norm() / centered(asked, seen).norm()


@wrong("11.1", "a correlation")
def correlation(position, asked, seen):
    p, a = centered(position, seen), centered(asked, seen)
    return (p * a).sum() / (p.norm() * a.norm()).clamp(min=1e-9)


@wrong("11.1", "upside down")
def the_other_way_round(position, asked, seen):
    p, a = centered(position, seen), centered(asked, seen)
    return (p * a).sum() / (p * p).sum().clamp(min=1e-9)


@wrong("11.1", "have no say")
def from_end_to_end(position, asked, seen):
    p, a = position[seen], asked[seen]
    way = a[0] - a[a.shape[0] // 2] if torch.equal(a[0], a[-1]) else a[-1] - a[0]
    return ((p[-1] - p[0]) * way).sum() / (way * way).sum()


@wrong("11.1", "is not seen")
def all_frames(position, asked, seen):
    return least_squares(position, asked, torch.ones_like(seen))


@wrong("11.1", "choose frames, do not weigh")
def weighed(position, asked, seen):
    weight = seen[:, None].float()
    p, a = ((path - (path * weight).sum(0) / weight.sum()) * weight for path in (position, asked))
    return (p * a).sum() / (a * a).sum()


@wrong("11.1", "goes down gets")
def any_direction(position, asked, seen):
    p, a = centered(position, seen), centered(asked, seen)
    return (p.sum(dim=1) * a.sum(dim=1)).sum() / (a.sum(dim=1) ** 2).sum()


@wrong("11.1", "counted from that one")
def from_the_first_place(position, asked, seen):
    p, a = position[seen] - position[seen][0], asked[seen] - asked[seen][0]
    return (p * a).sum() / (a * a).sum()


# ---- 11.2 diagnose(figures, bounds, failures)

HEALTHY, UNKNOWN = "nothing is wrong", "unknown"


def bells_of(figures, bounds):
    bells = {}
    for name, value in figures.items():
        low, high = bounds[name]
        if value < low:
            bells[name] = "low"
        elif value > high:
            bells[name] = "high"
    return bells


def named(bells, failures, fits=None):
    fits = fits or (lambda signs: all(bells.get(name) == end for name, end in signs.items()))
    found = [name for name in failures if fits(failures[name])]
    return max(found, key=lambda name: len(failures[name])) if found else UNKNOWN if bells else HEALTHY


@right("11.2")
def bells_then_names(figures, bounds, failures):
    return named(bells_of(figures, bounds), failures)


@right("11.2")
def with_sets(figures, bounds, failures):
    ringing = {(name, "low") for name, value in figures.items() if value < bounds[name][0]}
    ringing |= {(name, "high") for name, value in figures.items() if value > bounds[name][1]}
    if not ringing:
        return HEALTHY
    fitting = [(len(signs), name) for name, signs in failures.items() if set(signs.items()) <= ringing]
    return sorted(fitting)[-1][1] if fitting else UNKNOWN


@wrong("11.2", "rings low")
def upper_bounds_only(figures, bounds, failures):
    return named({name: "high" for name, value in figures.items() if value > bounds[name][1]}, failures)


@wrong("11.2", "two different signs")
def any_end(figures, bounds, failures):
    bells = bells_of(figures, bounds)
    return named(bells, failures, lambda signs: all(name in bells for name in signs))


@wrong("11.2", "with most signs")
def the_first_that_fits(figures, bounds, failures):
    bells = bells_of(figures, bounds)
    for name, signs in failures.items():
        if all(bells.get(figure) == end for figure, end in signs.items()):
            return name
    return UNKNOWN if bells else HEALTHY


@wrong("11.2", "no reason against")
def exactly_these(figures, bounds, failures):
    bells = bells_of(figures, bounds)
    return named(bells, failures, lambda signs: signs == bells)


@wrong("11.2", "One sign of two is missing")
def one_sign_will_do(figures, bounds, failures):
    bells = bells_of(figures, bounds)
    return named(bells, failures, lambda signs: any(bells.get(name) == end for name, end in signs.items()))


@wrong("11.2", "rings no bell")
def nan_is_out_of_bounds(figures, bounds, failures):
    bells = {}
    for name, value in figures.items():
        if not bounds[name][0] <= value <= bounds[name][1]:
            bells[name] = "low" if value < bounds[name][0] else "high"
    return named(bells, failures)


@wrong("11.2", "still within bounds")
def on_the_bound(figures, bounds, failures):
    bells = {}
    for name, value in figures.items():
        low, high = bounds[name]
        if value <= low or value >= high:
            bells[name] = "low" if value <= low else "high"
    return named(bells, failures)


@wrong("11.2", "as a string")
def all_that_fit(figures, bounds, failures):
    bells = bells_of(figures, bounds)
    return [name for name, signs in failures.items() if all(bells.get(k) == end for k, end in signs.items())]


@wrong("11.2", "no failure fits")
def never_unknown(figures, bounds, failures):
    found = named(bells_of(figures, bounds), failures)
    return HEALTHY if found == UNKNOWN else found


# ---- 11.3 trend(knob, effects, picks)


def ranks(x):
    return x.argsort().argsort().double()


def rho(x, y):
    return float(torch.corrcoef(torch.stack([x.double(), y.double()]))[0, 1])


def draws_of(knob, effects, picks):
    return torch.tensor([rho(ranks(knob), ranks(effects[:, pick].mean(dim=1))) for pick in picks])


def middle(draws, share=0.95):
    ends = torch.tensor([(1 - share) / 2, (1 + share) / 2])
    return draws.quantile(ends.to(draws)).tolist()


@right("11.3")
def by_ranks(knob, effects, picks):
    return (rho(ranks(knob), ranks(effects.mean(dim=1))), *middle(draws_of(knob, effects, picks)))


@right("11.3")
def in_numpy(knob, effects, picks):
    def spearman(means):
        ranks = [np.argsort(np.argsort(values)) for values in (knob, means)]
        return np.corrcoef(ranks)[0, 1]

    knob, effects = knob.numpy(), effects.double().numpy()
    draws = [spearman(effects[:, pick].mean(axis=1)) for pick in picks.numpy()]
    return spearman(effects.mean(axis=1)), *np.quantile(draws, [0.025, 0.975])


@right("11.3")
def by_the_squares_of_differences(knob, effects, picks):
    def spearman(means):
        off = (knob[:, None] > knob).sum(dim=1) - (means[..., None] > means[..., None, :]).sum(dim=-1)
        return 1 - 6 * (off.double() ** 2).sum(dim=-1) / (len(knob) * (len(knob) ** 2 - 1))

    draws = spearman(effects[:, picks].mean(dim=-1).T)  # (draws,)
    low, high = draws.quantile(torch.tensor([0.025, 0.975]).double())
    return spearman(effects.mean(dim=1)), low, high


@wrong("11.3", "correlation of values")
def of_values(knob, effects, picks):
    draws = torch.tensor([rho(knob, effects[:, pick].mean(dim=1)) for pick in picks])
    return (rho(knob, effects.mean(dim=1)), *middle(draws))


@wrong("11.3", "argsorted once more")
def sorted_once(knob, effects, picks):
    def places(means):
        return rho(knob.argsort(), means.argsort())

    draws = torch.tensor([places(effects[:, pick].mean(dim=1)) for pick in picks])
    return (places(effects.mean(dim=1)), *middle(draws))


@wrong("11.3", "sign is wrong")
def falling_ranks(knob, effects, picks):
    found, low, high = by_ranks(knob, effects, picks)
    return -found, -high, -low


@wrong("11.3", "ends of your band are exchanged")
def high_before_low(knob, effects, picks):
    found, low, high = by_ranks(knob, effects, picks)
    return found, high, low


@wrong("11.3", "from the least to the largest")
def all_of_them(knob, effects, picks):
    draws = draws_of(knob, effects, picks)
    return by_ranks(knob, effects, picks)[0], draws.min(), draws.max()


@wrong("11.3", "middle 95 %")
def ninety_percent(knob, effects, picks):
    return (by_ranks(knob, effects, picks)[0], *middle(draws_of(knob, effects, picks), 0.8))


@wrong("11.3", "take quantiles of the draws")
def normal_band(knob, effects, picks):
    draws, found = draws_of(knob, effects, picks), by_ranks(knob, effects, picks)[0]
    return found, found - 1.96 * draws.std(), found + 1.96 * draws.std()


@wrong("11.3", "same ones in every setting")
def other_clips_in_each_setting(knob, effects, picks):
    s = len(knob)
    rows = torch.arange(s)[:, None]
    draws = []
    for i in range(len(picks)):
        mixed = torch.stack([picks[(i + k) % len(picks)] for k in range(s)])
        draws.append(rho(ranks(knob), ranks(effects[rows, mixed].mean(dim=1))))
    return (by_ranks(knob, effects, picks)[0], *middle(torch.tensor(draws)))


@wrong("11.3", "of the draws")
def mean_of_the_draws(knob, effects, picks):
    draws = draws_of(knob, effects, picks)
    return (draws.mean(), *middle(draws))


@wrong("11.3", "take the mean")
def medians(knob, effects, picks):
    def spearman(clips):
        return rho(ranks(knob), ranks(clips.median(dim=1).values))

    draws = torch.tensor([spearman(effects[:, pick]) for pick in picks])
    return (spearman(effects), *middle(draws)) if not math.isnan(float(draws[0])) else (0.0, 0.0, 0.0)


@wrong("11.3", "nothing of your own")
def clips_of_its_own(knob, effects, picks):
    picks = torch.randint(effects.shape[1], picks.shape)
    return (by_ranks(knob, effects, picks)[0], *middle(draws_of(knob, effects, picks)))
