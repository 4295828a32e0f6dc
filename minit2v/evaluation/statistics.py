"""How sure is a figure? Bands by resampling the clips, and whether two things rise together."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import spearmanr

DRAWS = 2000  # resamples


def resampled(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """Means of values (…, n) over n clips drawn anew with replacement, the same ones in every row: (…, DRAWS).

    nan is left out. Source: the bootstrap (Efron 1979). Clips of one prompt are not independent: average them first.
    """
    values = np.asarray(values, dtype=np.float64)
    which = np.random.default_rng(seed).integers(values.shape[-1], size=(DRAWS, values.shape[-1]))
    drawn, seen = np.nan_to_num(values)[..., which], np.isfinite(values)[..., which]  # (…, DRAWS, n)
    count = seen.sum(axis=-1)
    return np.where(count, drawn.sum(axis=-1) / np.maximum(count, 1), np.nan)


def band(draws: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled figures; (nan, nan) if there are none."""
    draws = draws[np.isfinite(draws)]
    return tuple(map(float, np.quantile(draws, [0.025, 0.975]))) if draws.size else (math.nan, math.nan)


def rank_correlation(xs, ys) -> float:
    """Spearman's ρ: 1 if ys rise wherever xs do, -1 if they fall; nan if either never changes."""
    xs, ys = (np.asarray(values, dtype=np.float64) for values in (xs, ys))
    if np.ptp(xs) == 0 or np.ptp(ys) == 0 or not np.isfinite(ys).all():
        return math.nan
    return float(spearmanr(xs, ys).statistic)


def rank_band(xs, values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The band of Spearman's ρ between xs (s,) and the means of values (s, n), by resampling the n clips."""
    return band(np.array([rank_correlation(xs, means) for means in resampled(values, seed).T]))
