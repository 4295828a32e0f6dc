"""One seeded fault for each lesson: a line of the package gone wrong, which one of its checked cells must notice.

`FAULTS[lesson]()` puts the fault into the running process, before the lesson's first cell. A checked cell that prints
the same as before proves nothing.
"""


def _start_here():
    """A VAE that takes any number of frames: "legal" is then every number, and 16 is not refused."""
    from minit2v import pipeline

    pipeline.check_frames = lambda frames, temporal=4: None


def _denoising():
    """The velocity with its sign turned round: data minus noise."""
    from minit2v.diffusion import FlowMatching

    FlowMatching.velocity = staticmethod(lambda data, noise: data - noise)


def _spacetime_transformer():
    """One noise level for the whole clip, the mean of its frames': a frame that is given looks as noisy as the rest."""
    from minit2v.dit import Modulation

    each = Modulation.forward
    Modulation.forward = lambda self, level, pooled: each(self, level.mean(1, keepdim=True).expand_as(level), pooled)


def _real_systems():
    """A speed figure that finds everything at the right pace: photographs and clips played backwards pass it."""
    from minit2v import metrics

    metrics.speed_ratio = lambda track, meaning, world=None: 1.0


FAULTS = {
    "00_start_here": _start_here,
    "06_denoising": _denoising,
    "08_spacetime_transformer": _spacetime_transformer,
    "15_real_systems": _real_systems,
}
