"""Distillation: a student learns to say at once what its teacher says in several passes.

Two lessons for students. Progressive distillation (Salimans & Ho 2022, arXiv:2202.00512): one step of the student is
two steps of the teacher, again and again; here on the smallest world there is, two clips of one number each, where the
teacher is exact. Guidance distillation (Meng et al. 2023, arXiv:2210.03142): one pass of the student is the teacher
with and without the prompt; here on the trained denoiser.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from minit2v.diffusion import FlowMatching, guided, on_frames, sigmas

# ---- the smallest world: two clips, -1 and +1 ------------------------------------------------------------------------


def exact_velocity(x: Tensor, sigma) -> Tensor:
    """The best velocity if the data are -1 or +1, each as likely: (x - mean) / sigma, with the posterior mean
    tanh((1 - sigma) x / sigma²). x of any shape, sigma a number above 0."""
    return (x - torch.tanh((1 - sigma) * x / sigma**2)) / sigma


def walk(velocity: Callable, noise: Tensor, schedule: Tensor) -> Tensor:
    """Euler's path from noise (b,), all of its points: (moments, b)."""
    path = [noise]
    for here, there in pairwise(schedule):
        path.append(path[-1] + (there - here) * velocity(path[-1], here))
    return torch.stack(path)


def two_in_one(velocity: Callable, x: Tensor, here, middle, there) -> Tensor:
    """The one velocity that leads from `here` to `there` as far as the teacher's two steps, by way of `middle`.

    (x'' - x) / (there - here): the mean of both velocities, each counted by the length of its step.
    """
    half = x + (middle - here) * velocity(x, here)
    end = half + (there - middle) * velocity(half, middle)
    return (end - x) / (there - here)


class Student(nn.Module):
    """A small network that says a velocity from x (b,) and a noise level."""

    def __init__(self, width: int = 64, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
            )

    def forward(self, x: Tensor, sigma) -> Tensor:
        level = torch.as_tensor(sigma, dtype=x.dtype).expand_as(x)
        return self.layers(torch.stack([x, level, (4 * x).tanh()], dim=-1))[..., 0]


def learn(student: Student, question: Callable, steps: int = 300, seed: int = 0) -> float:
    """Trains on question(generator) -> (x, sigma, target), all (b,); the mean loss of the last tenth."""
    dice, losses = torch.Generator().manual_seed(seed), []
    optimizer = torch.optim.Adam(student.parameters(), lr=4e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.enable_grad():
        for _ in range(steps):
            x, sigma, target = question(dice)
            loss = (student(x, sigma) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            losses.append(loss.item())
    return sum(losses[-steps // 10 :]) / len(losses[-steps // 10 :])


def halved(teacher: Callable, steps: int, batch: int = 512, seed: int = 0, start: Student | None = None) -> Student:
    """A student whose `steps` steps are the teacher's 2 · `steps`. It learns on the teacher's own paths."""
    fine, coarse = sigmas(2 * steps).tolist(), sigmas(steps).tolist()
    student = copy.deepcopy(start) if start else Student(seed=seed)

    def question(dice):
        with torch.no_grad():
            path = walk(teacher, torch.randn(batch, generator=dice), torch.tensor(fine))
            which = torch.randint(steps, (batch,), generator=dice)
            x = path[2 * which, torch.arange(batch)]
            asked = torch.stack([
                two_in_one(teacher, path[2 * i], coarse[i], fine[2 * i + 1], coarse[i + 1]) for i in range(steps)
            ])  # (steps, b)
            return x, torch.tensor(coarse)[which], asked[which, torch.arange(batch)]

    learn(student, question, seed=seed)
    return student


def regressed(batch: int = 512, seed: int = 0) -> Student:
    """The control: a student of one step that learns from noise and data that do not belong together, as a denoiser is
    trained, and not from where its teacher's path leads."""
    student = Student(seed=seed)

    def question(dice):
        noise = torch.randn(batch, generator=dice)
        data = 2.0 * torch.randint(2, (batch,), generator=dice) - 1
        return noise, torch.ones(batch), noise - data

    learn(student, question, seed=seed)
    return student


# ---- the trained denoiser: both passes of guidance in one ------------------------------------------------------------


def distill_guidance(system, latents: Tensor, prompts, steps: int, batch: int = 8, rate: float = 2e-4, tell=None):
    """A copy of the system's denoiser, trained to say with one pass what guidance says with two, at the recipe's scale.

    latents (n, f, c, h, w) and prompts (n): training clips, noised anew at every step as in training. The text encoder
    stays. tell(step, loss) hears the loss, as a share of what the prompt alone is off.
    """
    teacher, student = system.model, copy.deepcopy(system.model)
    flow, dice = FlowMatching(shift=system.sampling.shift), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(student.denoiser.parameters(), lr=rate, weight_decay=0.0, betas=(0.9, 0.98))
    for step in range(steps):
        which = torch.randperm(len(latents), generator=dice)[:batch]
        noise = torch.randn(latents[which].shape, generator=dice)
        sigma = flow.sample_sigma(*noise.shape[:2], dice)
        x = flow.add_noise(latents[which], noise, sigma)
        with torch.no_grad():
            text = teacher.read([prompts[i] for i in which.tolist()])
            two = guided(teacher, text, teacher.text.null(batch), system.sampling.guidance)(x, sigma)
            plain = teacher(x, sigma, text)
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 20) * (1 - step / steps)
        with torch.enable_grad():
            gap = (student(x, sigma, text) - two) * on_frames(sigma)  # in the data estimate
            loss = gap.square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.denoiser.parameters(), 1.0)
            optimizer.step()
        if tell:
            tell(step, float(loss.detach() / ((plain - two) * on_frames(sigma)).square().mean()))
    return student.eval()
