"""Lesson 14's tools: what is saved is counted exactly, and where nothing is saved nothing may change."""

import random

import benchmark_files
import numpy as np
import pytest
import torch
from tiny_system import save_tiny

from minit2v.arithmetic import Cost, device
from minit2v.attention import attend
from minit2v.clip import Clip
from minit2v.diffusion import euler, guided, sigmas
from minit2v.errors import UserError
from minit2v.evaluation.work import flops_of
from minit2v.lab import distill, parallel, prompts, serving, speed, speed_figures
from minit2v.pipeline import TextToVideo
from minit2v.text import TextFeatures

ASKS = ["a large red ball moves left", "a small blue box circles"]
STEPS = 6


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    return TextToVideo.from_pretrained(save_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def bench(system):
    with torch.no_grad():
        found = speed.Bench(system, ASKS, prompts.noises(system, range(2)))
        found.steps = STEPS
        found.exact = found.walk(found.velocity)
        return found


def due(*steps):
    return frozenset(steps)


# ---- caches


def test_which_steps_are_due():
    assert speed.every(2, 8, first=1, last=0) == due(0, 2, 4, 6)
    assert speed.every(2, 8) == due(0, 1, 3, 5, 7)
    assert speed.every(1, 4) == due(0, 1, 2, 3)
    assert speed.every(9, 9, first=1, last=0) == due(0)
    assert speed.all_but([0, 2], 4) == due(0, 1, 3)


def test_a_velocity_that_is_kept_is_fewer_steps(bench):
    kept = bench.with_velocity(speed.every(2, STEPS, first=1, last=0))
    assert torch.allclose(kept, bench.walk(bench.velocity, STEPS // 2), atol=1e-4)
    assert torch.allclose(bench.with_velocity(range(STEPS)), bench.exact, atol=1e-5)


def test_blocks_that_always_run_change_nothing(bench):
    blocks = bench.system.model.denoiser.blocks
    latents, paid = bench.with_blocks(range(STEPS))
    assert torch.allclose(latents, bench.exact, atol=1e-5) and paid == 1
    assert bench.system.model.denoiser.blocks is blocks


def test_what_the_blocks_added_is_added_again():
    class Add(torch.nn.Module):
        def forward(self, x, amount):
            calls.append(amount)
            return x + amount

    calls = []
    kept = speed.Kept([Add(), Add()], due(2))
    outputs = [kept(torch.zeros(1, 1, 1, 1) + i, torch.tensor(10.0 * i)).item() for i in range(4)]
    assert outputs == [0, 1, 42, 43]  # step 1 adds what step 0 added: nothing; step 3 what step 2 added: 40
    assert [float(c) for c in calls] == [0, 0, 20, 20] and kept.paid == 2


def test_caches_are_paid_for_what_they_run(bench):
    half = speed.every(2, STEPS, first=1, last=0)
    latents, paid = bench.with_blocks(half)
    assert paid == 0.5 and speed.apart(latents, bench.exact) > 0
    assert bench.with_guidance(half)[1] == 0.75
    assert len(bench.skipped([[1, 2], [3, 4]])) == 2


def test_a_watchful_cache_runs_always_or_never(bench):
    assert bench.with_blocks(speed.WhenChanged(0.0))[1] == 1
    latents, paid = bench.with_blocks(speed.WhenChanged(1e9))
    assert paid == pytest.approx(1 / STEPS)
    assert torch.allclose(latents, bench.with_blocks(due(0))[0], atol=1e-5)


def test_guidance_that_is_always_due_is_guidance(bench):
    latents, paid = bench.with_guidance(range(STEPS))
    assert torch.allclose(latents, bench.exact, atol=1e-4) and paid == 1


def test_what_the_prompt_changed_is_taken_again():
    class Says:
        calls = 0

        def __call__(self, x, sigma, text):
            self.calls += len(x)
            return 0 * x + text.pooled[:, :1, None, None, None]

    def told(number):
        return TextFeatures(torch.zeros(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), torch.full((1, 4), number))

    network, text, null = Says(), told(3.0), told(1.0)
    fn = speed.sparingly(network, text, null, 2.0, due(0))
    x = torch.zeros(1, 5, 4, 8, 8)
    for calls in (2, 3, 4):  # guided: 1 + 2 · (3 - 1); then 3 + 1 · 2, which is the same while nothing changes
        assert (fn(x, torch.ones(1, 5)) == 5).all() and network.calls == calls


def test_changes_from_step_to_step(bench):
    bench.added = [torch.ones(1, 1, 2, 3), 2 * torch.ones(1, 1, 2, 3), 2 * torch.ones(1, 1, 2, 3)]
    assert bench.changes() == pytest.approx([1.0, 0.0])


def test_the_bill_is_that_of_the_evaluation(system):
    assert sum(speed.bill(system, ASKS[0]).values()) == flops_of(system, ASKS[0])


def test_apart():
    one = torch.ones(2, 1, 1, 2, 2)
    assert speed.apart(one, one) == 0 and speed.apart(3 * one, one) == pytest.approx(2)


# ---- what is stored


def test_what_is_stored_has_what_the_lesson_shows():
    found = speed.stored()
    program = benchmark_files.load("speed")
    assert found["command"].startswith("python benchmarks/speed.py") and found["n"] >= 16
    for figures in [*found["ways"].values(), found["student"]]:
        assert {"passes", "apart", "right", "asked", "motion", "flicker", "change"} <= set(figures)
        low, high = figures["asked"][1:]
        assert 0 <= low <= figures["asked"][0] <= high <= 1

    class Stub:
        sampling = type("Sampling", (), dict(guidance=2.0, shift=4.0, steps=found["steps"]))

    ways = program.ways(Stub)
    assert set(found["ways"]) == set(ways)
    assert all(found["ways"][name]["passes"] == passes for name, (_, passes) in ways.items())


def test_the_benchmark_measures_what_it_made(system):
    program = benchmark_files.load("speed")
    asks = ["a large red ball moves left on a checkered floor"] * 2
    exact = program.made(system, system.model, program.ways(system)["euler 2"][0], asks)
    rows = program.rows_of(system, exact, asks)
    told = program.summary(rows, rows, exact, exact, 4)
    assert told["apart"] == 0 and told["change"] == [0, 0, 0] and told["passes"] == 4
    said, latents = program.lessons(system, 3)
    assert len(said) == 3 == len(latents)


# ---- students


def test_the_exact_velocity_is_the_posterior_mean():
    x, sigma = torch.linspace(-2, 2, 9), 0.6
    weight = torch.stack([torch.exp(-((x - (1 - sigma) * z) ** 2) / (2 * sigma**2)) for z in (-1, 1)])
    mean = (weight[1] - weight[0]) / weight.sum(0)
    assert torch.allclose(distill.exact_velocity(x, sigma), (x - mean) / sigma, atol=1e-5)


def test_two_steps_in_one_end_where_two_do():
    x, levels = torch.randn(5), (0.8, 0.5, 0.2)
    one = distill.two_in_one(distill.exact_velocity, x, *levels)
    path = distill.walk(distill.exact_velocity, x, torch.tensor(levels))
    assert torch.allclose(x + (0.2 - 0.8) * one, path[-1], atol=1e-5)


def test_a_student_ends_in_a_clip_and_a_regression_between():
    noise = torch.randn(200, generator=torch.Generator().manual_seed(1))
    student = distill.halved(lambda x, sigma: x - x.sign(), 1, batch=128)  # a teacher of straight paths
    ends = distill.walk(student, noise, sigmas(1))[-1]
    assert ((ends - noise.sign()).abs() < 0.3).double().mean() > 0.7
    assert (distill.walk(distill.regressed(128), noise, sigmas(1))[-1].abs() < 0.3).all()


def test_learning_guidance_leaves_the_teacher_alone(system):
    latents = torch.randn(4, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in system.model.state_dict().items()}
    losses = []
    said = (ASKS * 2)[:4]
    student = distill.distill_guidance(system, latents, said, 30, 4, 3e-3, lambda step, loss: losses.append(loss))
    assert all(torch.equal(value, before[name]) for name, value in system.model.state_dict().items())
    texts = zip(student.text.parameters(), system.model.text.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in texts)
    assert losses[0] == pytest.approx(1, abs=1e-3) and min(losses[-5:]) < losses[0]


# ---- devices


def test_shares_of_any_size_merge_to_the_whole():
    q, k, v = torch.randn(3, 2, 3, 7, 8, generator=torch.Generator().manual_seed(0))
    for cuts in ([7], [2, 5], [1, 3, 3]):
        heard = [parallel.heard(q, *part) for part in zip(k.split(cuts, 2), v.split(cuts, 2), strict=True)]
        assert torch.allclose(parallel.merge(*zip(*heard, strict=True)), attend(q, k, v), atol=1e-5)


def test_two_processes_say_what_one_does():
    q, k, v = torch.randn(3, 1, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    made = parallel.on_devices(q, k, v, 2)
    formulas = {"ulysses": device.all_to_all, "ring": device.ring}
    for way, (answer, sent) in made.items():
        assert torch.allclose(answer, attend(q, k, v), atol=1e-5)
        assert sent == formulas[way](1, 6, 32, 2, 4)


def test_adding_up_parts_sends_each_number_there_and_back():
    """Counted, share by share: each device sends its parts of the others' shares, and then its own share to them."""
    tokens, dim, devices, sums = 6, 4, 3, 3
    share = tokens * dim // devices
    sent = sum(share for _ in range(devices - 1)) + (devices - 1) * share
    assert parallel.all_reduce(5, tokens, dim, devices, number=4, sums=sums) == 5 * sums * sent * 4
    assert parallel.all_reduce(5, tokens, dim, 1) == 0


@pytest.mark.parametrize(("heads", "tokens"), [(3, 4), (4, 5)])
def test_what_does_not_divide_is_refused(heads, tokens):
    x = torch.randn(1, heads, tokens, 2)
    with pytest.raises(UserError, match="do not divide by 2 devices"):
        parallel.on_devices(x, x, x)


# ---- serving


def test_a_queue_that_is_hardly_used_makes_nobody_wait():
    asked = np.arange(1, 6) * 10.0
    assert np.allclose(serving.queue(asked, serving.fixed(0.0)), 1)
    assert np.allclose(serving.queue(np.zeros(3), serving.fixed(0.0)), [1, 2, 3])
    assert np.allclose(serving.queue(np.zeros(3), serving.fixed(0.0), most=2), [2, 2, 3])
    assert np.allclose(serving.queue(np.zeros(3), serving.fixed(1.0), most=8), 1)


def test_a_queue_follows_the_formula():
    waits = serving.queue(serving.arrivals(20_000, 0.6), serving.fixed(0.0))
    assert waits.mean() == pytest.approx(serving.by_formula(0.6), rel=0.05)


def test_prices_are_those_of_the_arithmetic():
    start = serving.START
    made = serving.served("wan2.1-t2v-1.3b", start)
    cost = serving.a_pass("wan2.1-t2v-1.3b", 480)
    assert made == device.serve(cost, Cost(), device.DEVICES["h100"], device.Serving(50, 2))
    rungs = serving.ladder("wan2.1-t2v-1.3b", [("fewer", {"steps": 15}), ("one pass", {"passes": 1})])
    prices = [each.price for _, each in rungs]
    assert prices[0] == made.price and prices[1] == made.price * 15 / 50


@pytest.mark.parametrize("model", ["wan2.1-t2v-1.3b", "wan2.1-t2v-14b"])
def test_every_position_of_the_sliders_has_a_price(model):
    dice = random.Random(0)
    explorer = serving.Explorer(model)
    for _ in range(8):
        choices = {name: dice.choice(options) for name, options in serving.CHOICES.items()}
        page = explorer.page(choices)
        assert "money for a clip" in page and "bound" in page
    assert "as at first" in repr(explorer) and len(explorer.still.alt) > 100
    assert explorer.widget is explorer.widget


# ---- pictures


def test_every_figure_has_words(bench):
    found = speed.stored()
    clips = [Clip(bench.system.decode(bench.exact[:1])[0], ASKS[0])]
    pictures = [
        speed_figures.quality(found),
        speed_figures.rivals({"Euler": [(0.1, 0.5), (0.5, 0.1)]}, {"a cache": (0.5, 0.2)}, 1.4),
        speed_figures.which_steps([range(1, 4)], [0.2], [0.1, 0.2], sigmas(6, 4)),
        speed_figures.paths({"a": torch.randn(2, 4)}, ["ends"]),
        speed_figures.batches((1, 2), {"ours": (1, 1)}, (1.0, 0.9)),
        speed_figures.shared_out(80, 6),
        speed_figures.waiting((0.2, 0.8), {"alone": (1.1, 3)}, (1.1, 3)),
        speed_figures.falling([("before", 0.3), ("after", 0.1)]),
        speed_figures.steps_slider({1: clips, 2: clips}).still,
    ]
    assert all(len(picture.alt) > 40 and picture.png[:4] == b"\x89PNG" for picture in pictures)


def test_nothing_was_forgotten_in_the_guided_way(bench):
    """The bench's own walk is the pipeline's."""
    system = bench.system
    request = system.request(ASKS, [0, 1], steps=STEPS)
    assert torch.allclose(system.denoise(request), bench.exact, atol=1e-5)
    text, null = system.model.read(ASKS), system.model.text.null(2)
    assert torch.allclose(euler(guided(system.model, text, null, 2.0), bench.noise, sigmas(STEPS, 4)), bench.exact,
                          atol=1e-4)  # fmt: skip
