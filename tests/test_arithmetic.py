"""The chapter's arithmetic, to the digit, against counts that list every token instead of multiplying."""

import random
from collections import Counter
from fractions import Fraction
from itertools import product

import pytest

from minit2v import arithmetic as a
from minit2v.errors import UserError

# ---- counting without formulas -----------------------------------------------------------------------------


def listed(sizes):
    """How many there are, one by one."""
    return sum(1 for _ in product(*map(range, sizes)))


def frame_count(seconds, fps):
    """Pictures taken at 0, 1/fps, 2/fps, … before the clip ends."""
    count = 0
    while Fraction(count) / fps < seconds:
        count += 1
    return count


def latent_starts(frames, time, causal):
    """Groups of frames that become one latent frame, made by walking over the frames."""
    if not causal:
        return [list(range(t, t + time)) for t in range(0, frames, time)]
    groups = [[0]]
    for t in range(1, frames):
        if (t - 1) % time == 0:
            groups.append([])
        groups[-1].append(t)
    return groups


def tokens_of(frames, height, width, patch):
    """The set of cubes that the latents fall into."""
    return {(t // patch[0], y // patch[1], x // patch[2]) for t, y, x in product(*map(range, (frames, height, width)))}


def looks(kind, a, b, window=None):
    """Whether token a may look at token b."""
    near = window is None or abs(a[0] - b[0]) <= window
    return {"full": near, "windowed": near, "spatial": a[0] == b[0], "temporal": a[1:] == b[1:] and near}[kind]


def pair_count(kind, tokens, window=None):
    """Every ordered pair of tokens, asked one by one."""
    if kind == "factorised":
        return pair_count("spatial", tokens) + pair_count("temporal", tokens, window)
    return sum(looks(kind, a, b, window) for a in tokens for b in tokens)


def class_pairs(tokens, same):
    """Ordered pairs of tokens that share `same`, without listing the pairs: for long sequences."""
    return sum(n * n for n in Counter(map(same, tokens)).values())


# ---- the chapter -------------------------------------------------------------------------------------------


def test_worked_example():
    clip = a.ClipShape.lasting(4, 16, 512, 512)
    latents = a.VAEShape(1, 8, 8, 4).latents(clip)
    grid = latents.tokens((1, 1, 1))
    assert clip == a.ClipShape(64, 512, 512) and clip.values == 50_331_648
    assert latents == a.LatentShape(64, 4, 64, 64) and latents.values == 1_048_576
    assert a.compression(clip, latents, 2) == (48, 24) and a.compression(clip, latents, 4)[1] == 12
    assert (grid.frames, grid.places, grid.tokens) == (64, 4096, 262_144)
    assert a.frame_pairs(64) == 4096
    scores = a.Scores("temporal", grid, heads=8, layers=1, steps=30)
    assert 8 * a.frame_pairs(64) == 32_768
    assert scores.head == 16_777_216
    assert scores.layer == scores.step == 134_217_728
    assert scores.clip == 4_026_531_840
    tokens = tokens_of(64, 64, 64, (1, 1, 1))
    assert len(tokens) == grid.tokens
    assert 8 * class_pairs(tokens, lambda token: token[1:]) == scores.layer
    assert class_pairs(tokens, lambda token: token[0]) == a.pairs("spatial", grid) == 1_073_741_824
    assert len(tokens) ** 2 == a.pairs("full", grid) == 68_719_476_736


def test_exercise():
    clip = a.ClipShape.lasting(2, 12, 384, 384)
    assert clip.frames == 24 == frame_count(2, 12)
    latents = a.VAEShape(1, 8, 8, 4).latents(clip)
    assert (latents.height, latents.width, latents.channels) == (48, 48, 4)
    assert latents.values == 221_184 == listed((24, 48, 48, 4))


def test_what_the_example_leaves_out():
    grid, dim = a.TokenGrid(64, 64, 64), 512
    temporal, spatial = (a.Scores(kind, grid, 8, 1).layer for kind in ("temporal", "spatial"))
    assert (spatial, spatial // temporal) == (8_589_934_592, 64)
    work = a.attention(64, 64, dim, sequences=grid.places)  # temporal
    projections = a.linear(grid.tokens, dim, 3 * dim) + a.linear(grid.tokens, dim, dim)
    assert Fraction(projections.flops, work.flops) == Fraction(2 * dim, grid.frames) == 16
    assert a.Scores("temporal", grid, 8, 1, steps=30, passes=2).clip == 2 * 4_026_531_840


# ---- variants ----------------------------------------------------------------------------------------------


def draw(seed):
    """A small clip with everything drawn, and legal."""
    rng = random.Random(seed)
    patch = (rng.choice((1, 1, 2)), rng.choice((1, 2)), rng.choice((1, 2)))
    vae = a.VAEShape(rng.choice((1, 2, 4)), rng.choice((4, 8, 16)), rng.choice((4, 8)), rng.randint(1, 24))
    if rng.random() < 0.3:
        vae = a.VAEShape(vae.time, vae.height, vae.width, vae.channels, causal=False)
    latent = [cut * rng.randint(1, 4) for cut in patch]
    frames = (latent[0] - 1) * vae.time + 1 if vae.causal else latent[0] * vae.time
    fps = rng.choice((8, 12, 16, 24, Fraction(30000, 1001)))
    clip = a.ClipShape.lasting(frames / Fraction(fps), fps, latent[1] * vae.height, latent[2] * vae.width)
    assert frame_count(frames / Fraction(fps), fps) == clip.frames == frames
    return rng, clip, vae, patch


@pytest.mark.parametrize("seed", range(100))
def test_variants(seed):
    rng, clip, vae, patch = draw(seed)
    latents = vae.latents(clip)
    groups = latent_starts(clip.frames, vae.time, vae.causal)
    rows, columns = len({y // vae.height for y in range(clip.height)}), len({x // vae.width for x in range(clip.width)})
    assert sum(map(len, groups)) == clip.frames
    assert (latents.frames, latents.height, latents.width) == (len(groups), rows, columns)
    assert latents.values == listed((len(groups), vae.channels, rows, columns))
    if clip.values < 200_000:
        assert clip.values == listed((clip.frames, clip.height, clip.width, 3))
    assert a.compression(clip, latents)[0] * latents.values == clip.values
    tokens = tokens_of(latents.frames, latents.height, latents.width, patch)
    grid = latents.tokens(patch)
    assert grid.tokens == len(tokens) and grid.frames == len({token[0] for token in tokens})
    heads, layers, steps, passes, window = (rng.randint(1, n) for n in (16, 9, 50, 2, 5))
    for kind in a.KINDS:
        reach = window if kind == "windowed" else rng.choice((None, window))
        if kind == "spatial":
            reach = None
        scores = a.Scores(kind, grid, heads, layers, steps, passes, reach)
        assert scores.head == pair_count(kind, tokens, reach)
        assert scores.layer == heads * scores.head
        order = [a.KINDS[kind][i % len(a.KINDS[kind])] for i in range(layers)]
        each = {layout: pair_count(layout, tokens, reach) for layout in set(order)}
        assert scores.step == sum(each[layout] for layout in order for _ in range(heads) for _ in range(passes))
        assert scores.clip == sum(scores.step for _ in range(steps))
        assert {name: order.count(name) for name in a.KINDS[kind]} == a.turns(kind, layers)


# ---- the saving --------------------------------------------------------------------------------------------


def test_factorised_saves_sixteen_times_and_not_a_thousand():
    grid = a.TokenGrid(16, 32, 32)
    assert a.saving(grid) == Fraction(16 * 1024, 16 + 1024) == Fraction(1024, 65)
    assert float(a.saving(grid)) == pytest.approx(15.75, abs=0.01)
    full, factorised = (a.Scores(kind, grid, heads=8, layers=12).step for kind in ("full", "factorised"))
    assert Fraction(full, factorised) == 2 * a.saving(grid)  # layer for layer, half of them each
    for t, h, w in product((1, 5, 64), (1, 7), (3, 32)):
        assert a.saving(a.TokenGrid(t, h, w)) < min(t, h * w) + 1e-9  # it can never be more than either


# ---- bad input ---------------------------------------------------------------------------------------------

BAD = [0, -1, 2.5, "x", "", None, True, float("nan"), float("inf"), "1e999999999", "9" * 5000, [3], "1/0"]


@pytest.mark.parametrize("value", BAD)
def test_sizes_are_whole_and_positive(value):
    for make in (
        lambda: a.ClipShape(value, 64, 64),
        lambda: a.ClipShape(64, value, 64),
        lambda: a.VAEShape(1, 8, value),
        lambda: a.VAEShape(channels=value),
        lambda: a.LatentShape(5, 4, 8, 8).tokens((1, value, 2)),
        lambda: a.TokenGrid(5, 4, value),
        lambda: a.Scores("full", a.TokenGrid(1, 1, 1), value, 1),
        lambda: a.ClipShape.lasting(value, 16, 8, 8) if value != 2.5 else a.ClipShape(value, 1, 1),
    ):
        with pytest.raises(UserError) as error:
            make()
        assert "\n" not in str(error.value) and len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: a.VAEShape(4, 8, 8).latents(a.ClipShape(64, 64, 64)), "64 frames are not 4n.1.*61 or 65"),
        (lambda: a.VAEShape(4, 8, 8).latents(a.ClipShape(3, 64, 64)), "nearest are 1 or 5"),
        (lambda: a.VAEShape(4, 8, 8, causal=False).latents(a.ClipShape(17, 64, 64)), "frames 17 .* 4.*16 or 20"),
        (lambda: a.VAEShape().latents(a.ClipShape(4, 60, 64)), "height 60 does not divide .* 8; .* 56 or 64"),
        (lambda: a.VAEShape().latents(a.ClipShape(4, 64, 4)), "width 4 does not divide .* 8; .*: 8"),
        (lambda: a.LatentShape(5, 4, 9, 8).tokens((1, 2, 2)), "latent height 9 does not divide .* 2; .* 8 or 10"),
        (lambda: a.LatentShape(5, 4, 9, 8).tokens((2, 2)), "give three"),
        (lambda: a.ClipShape.lasting("2.03", 24, 64, 64), "no whole number; the nearest is 49 frames"),
        (lambda: a.Scores("factorized", a.TokenGrid(1, 1, 1), 1, 1), "did you mean 'factorised'"),
        (lambda: a.Scores("windowed", a.TokenGrid(1, 1, 1), 1, 1), "needs a window"),
    ],
)
def test_errors_name_the_fix(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_huge_clips_are_exact_and_take_no_memory():
    n = 10**30
    clip = a.ClipShape(8 * n, 8 * n, 8 * n)
    latents = a.VAEShape(1, 8, 8, 4).latents(clip)
    grid = latents.tokens((1, 2, 2))
    assert latents.values == 32 * n**3 and grid.tokens == 2 * n**3
    assert a.Scores("full", grid, n, n, n, 2).clip == 8 * n**9
    assert a.Scores("factorised", grid, 1, n).step == n // 2 * (8 * n * (n * n // 4) ** 2 + n * n // 4 * (8 * n) ** 2)
    assert a.frame_pairs(n, 1) == 3 * n - 2
