"""One seeded fault for each lesson: a line of the package gone wrong, which one of its checked cells must notice.

`FAULTS[lesson]()` puts the fault into the running process, before the lesson's first cell. A checked cell that prints
the same as before proves nothing. `python tests/seeded_faults.py LESSON` says which cell notices first (add "clean" to
run without the fault: then none may).
"""

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"


def _start_here():
    """A VAE that takes any number of frames: "legal" is then every number, and 16 is not refused."""
    from minit2v import pipeline

    pipeline.check_frames = lambda frames, temporal=4: None


def _frame_tape():
    """Flow that forgets the camera: of a clip that is panned, motion no longer explains the change."""
    from dataclasses import replace

    from minit2v.world import render

    each = render.flow
    render.flow = lambda staged: each(replace(staged, camera=0 * staged.camera))


def _vae():
    """Norms that take the size over all frames and places, as a GroupNorm does: the first latent hears of the last."""
    from minit2v import vae

    size = {"dim": (1, 2, 3, 4), "keepdim": True}
    vae.Norm.forward = lambda self, x: x * self.weight * (x.square().mean(**size) + 1e-6).rsqrt()


def _text_and_guidance():
    """A text encoder that is not told where a word stands: it reads a prompt as a bag of words."""
    import torch

    from minit2v import text

    text.sinusoidal = lambda positions, dim: torch.zeros(len(positions), dim)


def _denoising():
    """The velocity with its sign turned round: data minus noise."""
    from minit2v.diffusion import FlowMatching

    FlowMatching.velocity = staticmethod(lambda data, noise: data - noise)


def _spacetime_transformer():
    """One noise level for the whole clip, the mean of its frames': a frame that is given looks as noisy as the rest."""
    from minit2v.dit import Modulation

    each = Modulation.forward
    Modulation.forward = lambda self, level, pooled: each(self, level.mean(1, keepdim=True).expand_as(level), pooled)


def _image_to_video():
    """Known frames that are merely put back at the end: until then they are noise, and nobody can look at them."""
    from minit2v import diffusion

    each = diffusion.start
    diffusion.start = lambda noise, schedule, known: each(noise, schedule, None)


def _failure_lab():
    """A temporal strength that nobody reads: with mixing switched off, the clips are as healthy as before."""
    from minit2v.dit import Block

    Block.attend = lambda self, x, rotation, temporal_strength: self.attention(x, rotation)


def _temporal_unet():
    """A clip folded so that its columns are the frames: temporal kernels run over places, and every shape is right."""
    from minit2v import unet

    unet.PICTURES["temporal"] = "b c (h w) f"


def _speed():
    """Guidance that calls the network twice in a step: the clips are right, and only a count of calls tells."""
    from minit2v import pipeline
    from minit2v.diffusion import guide

    def guided(network, text, null, scale, rescale=0.0, condition=None):
        return lambda x, sigma: guide(network(x, sigma, text, condition), network(x, sigma, null, condition), scale)

    pipeline.guided = guided


def _tiny_model():
    """Channels that count the more, the less the decoder sees of them: the weights of the loss turned upside down."""
    from minit2v import tasks

    each = tasks.visibility
    tasks.visibility = lambda vae, world, clips=32: (worth := 1 / each(vae, world, clips)) / worth.mean()


def _long_clips():
    """A window that is handed the oldest of the frames that are kept, in place of the last ones."""
    import numpy as np

    from minit2v.pipeline import TextToVideo

    each = TextToVideo.piece

    def piece(self, request, number, past):
        known = request.windows[number].known
        return each(self, request, number, past if past is None else np.roll(past, -known, axis=1))

    TextToVideo.piece = piece


def _real_systems():
    """A speed figure that finds everything at the right pace: photographs and clips played backwards pass it."""
    from minit2v import metrics

    metrics.speed_ratio = lambda track, meaning, world=None: 1.0


FAULTS = {
    "00_start_here": _start_here,
    "02_frame_tape": _frame_tape,
    "04_vae": _vae,
    "05_text_and_guidance": _text_and_guidance,
    "06_denoising": _denoising,
    "08_spacetime_transformer": _spacetime_transformer,
    "09_temporal_unet": _temporal_unet,
    "12_image_to_video": _image_to_video,
    "11_failure_lab": _failure_lab,
    "14_speed": _speed,
    "10_train_a_tiny_model": _tiny_model,
    "13_long_clips": _long_clips,
    "15_real_systems": _real_systems,
}


def noticed(lesson, faulty=True):
    """Id of the first checked cell that no longer prints what is stored; None if all of them do. In this process."""
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    os.chdir(FOLDER)
    if faulty:
        FAULTS[lesson]()
    shell = InteractiveShell.instance()
    for cell in nbformat.read(f"{lesson}.ipynb", as_version=4).cells:
        if cell.cell_type != "code":
            continue
        with capture_output() as got:
            shell.run_cell(cell.source)
        now = got.stdout.strip(), [output.data.get("text/plain", "") for output in got.outputs]
        if cell.source.startswith("# NBVAL_CHECK_OUTPUT") and now != stored(cell):
            return cell.id
    return None


def stored(cell):
    """What a cell printed, and what else it showed as text."""
    streams = [output.text for output in cell.outputs if output.output_type == "stream"]
    data = [output.data.get("text/plain", "") for output in cell.outputs if output.output_type != "stream"]
    return "".join(streams).strip(), data


if __name__ == "__main__":
    print(noticed(sys.argv[1], faulty="clean" not in sys.argv[2:]))
