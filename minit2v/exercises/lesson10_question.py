"""10.1, what the denoiser is asked: of how much data and noise x is made, and which levels it is told."""

import weakref

import torch

from minit2v.exercises.judging import WORDS, Wrong, in_words, near, said, tensor


class Says:
    """Stands in for a denoiser: answers with the numbers it was given, and keeps a log of what it was asked."""

    def __init__(self, answer):
        self.answer, self.log, self.at = answer, [], 0

    def __call__(self, x, level):
        clips = [(self.at + i) % len(self.answer) for i in range(len(x))]
        self.at += len(x)
        said, mark = 1 * self.answer[clips].requires_grad_(), Mark()
        if said.grad_fn is not None:
            said.grad_fn.metadata["mark"] = mark  # it lives as long as some result can be traced back to this answer
        kept = level.detach().clone() if isinstance(level, torch.Tensor) else level
        self.log.append((x.detach().clone(), kept, torch.is_grad_enabled(), weakref.ref(mark)))
        return said

    @property
    def asked(self):
        """(x, level, whether gradients were on, whether a gradient finds the way back to this answer)."""
        return [(x, level, on, mark() is not None) for x, level, on, mark in self.log]


class Mark:
    """Something that can be watched by a weak reference."""


SIZES = 3, 4, 4, 3, 4  # b, f, c, h, w: a level on the wrong axes fits as well, so that its effect can be seen
COUNTED = torch.tensor([[True, True, False, False], [False, True, True, False], [True, False, False, True]])


def levels(learner, b, f):
    """Random noise levels, (b, f), between 0.1 and 0.9."""
    return 0.1 + 0.8 * torch.rand(b, f, generator=learner.generator)


def ask(learner, answer, data=0.0, noise=0.0, level=None, weight=None, counted=None):
    """The losses (b,), float64, and what the denoiser was asked. What is not given is 0, or counts all the same."""
    b, f, c = answer.shape[:3]
    level = torch.full((b, f), 0.3) if level is None else level
    weight = torch.ones(c) if weight is None else weight
    counted = torch.ones(b, f, dtype=torch.bool) if counted is None else counted
    data, noise = (torch.as_tensor(each).expand(answer.shape).contiguous() for each in (data, noise))
    value = learner(Says(answer), data, noise, level, weight, counted)
    if isinstance(value, torch.Tensor) and b > 1 and value.numel() == 1:
        raise Wrong(f"One number comes back for a batch of {b} clips: the clips are averaged, too. The loss of each "
                    "clip is asked for, (b,).")
    if isinstance(value, torch.Tensor) and value.shape == (b, f):
        raise Wrong("The losses of the frames come back, (b, f). Each clip has one loss: the mean over those of its "
                    "frames that count.")
    if isinstance(value, torch.Tensor) and b > 1 and value.dim() == 1 and len(value) == int(counted.sum()) != b:
        raise Wrong(f"{len(value)} numbers come back, one for each frame that counts. The loss of each of the {b} "
                    "clips is asked for: the mean over its own frames.")
    return tensor(value, (b,), "b", "loss"), learner.logs.get(0, [])


def check_question(learner):
    """What the denoiser is asked: at which levels, and of how much data and noise x is made at every place."""
    level, zero = levels(learner, *SIZES[:2]), torch.zeros(SIZES)
    seen = {}
    for name, data, noise in (("neither", 0.0, 0.0), ("data", 1.0, 0.0), ("noise", 0.0, 1.0)):
        _, asked = ask(learner, zero, data, noise, level, counted=COUNTED)
        seen[name] = _question(asked, SIZES)
        if name == "neither":
            _check_level(asked, level)
    if not near(seen["neither"], zero):
        own = "you draw noise of your own. Take the one that is given" if learner.dice else "something is added"
        raise Wrong(f"Where data and noise are both 0, the denoiser must see 0. It does not: {own}.")
    _explain_mixture(seen["data"], seen["noise"], level.double()[:, :, None, None, None].expand(SIZES))


def _question(asked, sizes):
    """All x that the denoiser was asked about, in one tensor, float64."""
    if not asked:
        raise Wrong("The denoiser is never asked.")
    if not all(on for _, _, on, _ in asked):
        raise Wrong("The denoiser is asked where gradients are switched off (no_grad): from such a loss nothing can be "
                    "learned.")
    if not any(traced for *_, traced in asked):
        raise Wrong("The loss is cut off from the denoiser's answer: no gradient finds the way back, and nothing can "
                    "be learned. Where is it detached, or made a plain number?")
    x = [each for each, *_ in asked]
    if sum(map(len, x)) > sizes[0]:
        raise Wrong(f"The denoiser is asked about {sum(map(len, x))} clips, and there are {sizes[0]}: it is asked more "
                    "often than once.")
    if any(each.shape[1:] != sizes[1:] for each in x) or sum(map(len, x)) != sizes[0]:
        raise Wrong(f"The denoiser is asked about {' and '.join(str(tuple(each.shape)) for each in x)}; the clips are "
                    f"{tuple(sizes)}.")
    return torch.cat(x).double()


def _check_level(asked, level):
    told = "The denoiser has to be told the noise levels as they are given, (b, f)"
    if not all(isinstance(each, torch.Tensor) and each.dim() == 2 for _, each, *_ in asked):
        shapes = ", ".join(said(each) for _, each, *_ in asked)
        raise Wrong(f"{told}; yours hears {shapes}.")
    found = torch.cat([each for _, each, *_ in asked]).double()
    if found.shape != level.shape:
        raise Wrong(f"{told}; yours hears a tensor of shape {tuple(found.shape)}.")
    if near(found, 1 - level):
        raise Wrong(f"{told}; yours hears 1 − level: 1 is pure noise, and not clean data.")
    if near(found, level):
        return
    off = (found - level).abs() > 1e-4
    factor = float((found * level).sum() / level.double().square().sum())
    if near(found, factor * level):
        raise Wrong(f"{told}; yours hears {factor:.4g} times as much. Levels are shares of noise, from 0 to 1.")
    if near(found, found[:, :1].expand_as(found)):
        raise Wrong(f"{told}; yours hears one level for all frames of a clip. Each frame has its own.")
    if not (off & COUNTED).any():
        i, j = _worst(found - level)
        raise Wrong(f"{told}; yours hears {float(found[i, j]):.3g} for frames that do not count, and only there. They "
                    "are as noisy as `level` says, like all others.")
    for other, words in ((level.flip(1), "the frames' levels in reverse order"), (level.sqrt(), "their root"),
                         (level.square(), "their square"), (level[:1].expand_as(level), "those of clip 0 for all")):
        if near(found, other):
            raise Wrong(f"{told}; yours hears {words}.")
    i, j = _worst(found - level)
    raise Wrong(f"{told}; for clip {i} and frame {j} that is {float(level[i, j]):.3f}, and yours hears "
                f"{float(found[i, j]):.3f}.")


def _worst(off):
    """(clip, frame) at which a difference (b, f) is largest."""
    return divmod(int(off.abs().argmax()), off.shape[1])


def _explain_mixture(data, noise, level):
    """Raises `Wrong` unless x is (1 - level) · data + level · noise, at every place."""
    one, zero = torch.ones_like(level), torch.zeros_like(level)
    if near(noise, level) and near(data, 1 - level):
        return
    cases = [
        (1 - level, level, "data and noise are exchanged: level is the share of the noise, and 1 is pure noise"),
        (zero, one, "the denoiser sees clean data, without any noise"),
        (one, zero, "the denoiser sees nothing but noise"),
        (level, one, "the noise is added, and the data keeps its full size; it has to shrink to 1 − level"),
        (one, 1 - level, "the data shrinks, and the noise keeps its full size; its share is the level"),
        (one, one, "both are added up in full size; level does not play a part"),
    ]
    for due_noise, due_data, words in cases:
        if near(noise, due_noise) and near(data, due_data):
            raise Wrong(f"What the denoiser sees is mixed wrongly: {words}.")
    inside = [axis for axis, i in (("c", 2), ("h", 3), ("w", 4)) if not near(noise.amax(i), noise.amin(i))]
    if inside:
        raise Wrong(f"Within one frame, the share of noise differs between {many(inside)}: the levels lie along the "
                    "wrong axes. They belong to clips and frames; give them axes for the rest.")
    if near(noise.square() + data.square(), one) and not near(noise, one):
        raise Wrong("The squares of the two shares sum to 1: that is the mixture of DDPM. In flow matching the shares "
                    "themselves do: 1 − level and level.")
    share = noise[:, :, 0, 0, 0]  # (b, f)
    alike = [axis for axis, i in (("b", 0), ("f", 1)) if near(share.amax(i), share.amin(i))]
    if alike:
        raise Wrong(f"All {many(alike)} get the same share of noise. Each has a level of its own in `level`.")
    off = ((noise - level).abs() + (data - 1 + level).abs())[:, :, 0, 0, 0]  # (b, f)
    i, j = _worst(off)
    a, b, s = (float(each[i, j, 0, 0, 0]) for each in (data, noise, level))
    only = "in frames that do not count, and only there, " if not (off * COUNTED > 1e-4).any() else ""
    raise Wrong(f"What the denoiser sees is mixed wrongly: {only}at clip {i}, frame {j}, level {s:.3f}, it is "
                f"{in_words({'data': a, 'noise': b})}; due is {in_words({'data': 1 - s, 'noise': s})}.")


def many(axes):
    """The names of axes, in words: "rows and columns"."""
    return " and ".join(WORDS[axis][1] for axis in axes)
