"""A shelf of failures: switches on trained weights, the clips that they make, what catches each and what is blind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from minit2v import attention, diffusion, dit, pipeline, recipes, vae
from minit2v.clip import Clip
from minit2v.exercises.plugs import exchanged
from minit2v.lab import faults
from minit2v.lab.inspectors import INSPECTORS
from minit2v.request import Given
from minit2v.world.captions import parse
from minit2v.world.render import render
from minit2v.world.scenes import scene

# What everybody has to draw. Nothing in it is hard: whatever goes wrong is the failure's doing.
PROMPTS = (
    "a large red ball moves right on a checkered floor",
    "a large blue box moves left in front of a brick wall",
)
SEEDS = (1, 2)
STEPS = 8


# ---- failures ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """One thing gone wrong. looks: what a viewer sees. cause, fix: in a sentence. right: the package's own lines;
    wrong: those that stand in their place. places: system -> [(module, class or object; name; what stands there)].
    settings: of `generate`, where it is no line but a number that is wrong. catches: an inspector that rings; blind:
    one that does not. given: made around a picture. late: only what happens after denoising differs."""

    part: str
    looks: str
    cause: str
    fix: str
    catches: str
    blind: str
    right: tuple = ()
    wrong: tuple = ()
    places: Callable = lambda system: []
    settings: dict = field(default_factory=dict)
    given: bool = False
    late: bool = False


def _positions(rotary, sinusoidal):
    return dict(
        wrong=(rotary, sinusoidal), right=(dit.DiT.positions,),
        places=lambda system: [(dit, "rotary_3d", rotary), (dit, "sinusoidal_3d", sinusoidal)],
    )  # fmt: skip


def _swap(where, name: str, wrong, right=None):
    """One function of a module or class in place of another."""
    return dict(wrong=(wrong,), right=(right or getattr(where, name),), places=lambda system: [(where, name, wrong)])


FAILURES = {
    # ---- time
    "temporal mixing off": Failure(
        "time", "the subject is somewhere else every half second, and fades in between",
        "tokens attend within their own frame only", "let attention run over the whole clip",
        "flicker", "frame by frame", right=(dit.Block.attend,),
        places=lambda system: [(system, "temporal_strength", 0.0)],
    ),
    "no positions in time": Failure(
        "time", "everything is right, and nothing moves",
        "all frames get frame 0's positions: none knows when it is", "rotate and add by all three axes",
        "speed", "flicker", **_positions(faults.timeless_rotary, faults.timeless_sinusoidal),
    ),
    "time counted backwards": Failure(
        "time", "everything moves, the wrong way",
        "positions in time run from the end", "count from the first frame; test with a clip that moves right",
        "speed", "flicker", **_positions(faults.backward_rotary, faults.backward_sinusoidal),
    ),
    "frame files sorted as words": Failure(
        "time", "the clip hops to and fro",
        "frame 10 comes before frame 2", "sort by number, or pad the names with zeros",
        "jerk", "frame by frame", late=True, **_swap(pipeline, "to_frames", faults.frames_unsorted, vae.to_frames),
    ),
    "groups back to front": Failure(
        "time", "motion trembles four frames at a time",
        "the order within each latent frame's group is turned round", "unfold with names: (f n), n inner",
        "jerk", "as asked", late=True,
        **_swap(pipeline, "to_frames", faults.frames_back_to_front, vae.VAE.reconstruct),
    ),
    "a frozen clip": Failure(
        "time", "one picture",
        "the first frame is written again and again", "index by t; and never trust a consistency figure alone",
        "speed", "drift", late=True, **_swap(pipeline, "to_frames", faults.frames_frozen, vae.to_frames),
    ),
    # ---- attention
    "reshape for rearrange": Failure(
        "attention", "the background stands, the subject is gone",
        "the way back from the sequence mixes frames and places up", "rearrange, with the same names both ways",
        "frame by frame", "flicker",
        **_swap(attention.SpacetimeAttention, "forward", faults.reshaped),
    ),
    "rows and columns mixed up": Failure(
        "attention", "the subject is cut up and woven together again",
        "positions run down the columns, tokens along the rows", "one order, (h w), everywhere",
        "frame by frame", "likeness", **_positions(faults.columns_first_rotary, faults.columns_first_sinusoidal),
    ),
    "fp16 overflow": Failure(
        "attention", "a black or a white picture",
        "e to a large score is infinite in fp16, and ∞ / ∞ is no number", "subtract the row's maximum; sum in fp32",
        "burnt", "flicker", **_swap(attention, "attend", faults.half_softmax),
    ),
    # ---- text
    "the prompt is lost": Failure(
        "text", "a fine clip of something else",
        "guidance scale 0: only the null prompt is left", "check what happens to the prompt at scale 1",
        "as asked", "flicker", right=(diffusion.guide,), settings={"guidance": 0.0},
    ),
    "guidance far too strong": Failure(
        "text", "burnt colors, confetti around the subject",
        "what the prompt changes is exaggerated twelvefold", "2 to 5, and rescaled guidance above",
        "burnt", "mud", right=(diffusion.guide, diffusion.rescale_guidance), settings={"guidance": 12.0},
    ),
    "prompt and null swapped": Failure(
        "text", "whatever was asked for is avoided",
        "v_text and v_null the wrong way round", "one order, and a test at scale 1",
        "as asked", "likeness", **_swap(diffusion, "guide", faults.guide_swapped),
    ),
    "padding read as words": Failure(
        "text", "a washed-out blob where the subject should be",
        "the mask is dropped, and forty padding tokens speak, too", "hand the mask on; a prompt alone = in a batch",
        "frame by frame", "burnt", **_swap(recipes.PromptedDenoiser, "read", faults.read_padding),
    ),
    # ---- denoising
    "one step only": Failure(
        "denoising", "soft ghosts",
        "the first sketch is the mean of many clips, and is taken for the clip", "more steps, or a distilled model",
        "mud", "speed", right=(diffusion.euler,), settings={"steps": 1},
    ),
    "the sign of the velocity": Failure(
        "denoising", "noise that grows",
        "data - noise where noise - data is meant", "one convention, written down, and a test of the loss at 0",
        "flicker", "seam", **_swap(pipeline, "guided", faults.guided_uphill, diffusion.FlowMatching.velocity),
    ),
    "noise level on the wrong scale": Failure(
        "denoising", "the subject wastes away",
        "the network is told 0.9 where it learned 900", "one place that scales, beside the embedding",
        "frame by frame", "flicker", **_swap(dit, "sinusoidal", faults.sinusoidal_small, dit.Modulation.forward),
    ),
    "the last step is missing": Failure(
        "denoising", "pale, as behind gauze",
        "the schedule ends before noise level 0", "steps + 1 levels, the last of them 0",
        "contrast", "as asked", settings={"steps": 4},
        **_swap(pipeline, "sigmas", faults.stopped_early, diffusion.sigmas),
    ),
    "weights not loaded": Failure(
        "denoising", "colored blobs",
        "strict=False, and the names have changed: all blocks stay random", "load strictly; say what is missing",
        "frame by frame", "burnt", wrong=(faults.half_loaded,),
        places=lambda system: [(system.model, "denoiser", faults.half_loaded(system.model))],
    ),
    # ---- pictures
    "the picture is held too firmly": Failure(
        "picture", "the picture, and little motion",
        "the first frame shines through the noise of all others", "start from noise alone; noise on the picture",
        "speed", "flicker", given=True, **_swap(diffusion, "start", faults.start_on_the_picture),
    ),
    "the first frame is not the picture": Failure(
        "picture", "the first frame is grainy",
        "it is handed on as the network saw it, noise and all", "put the given latents back at the end",
        "drift", "as asked", given=True, settings={"noise": 0.6}, **_swap(diffusion, "finish", faults.finish_nothing),
    ),
    # ---- decoding
    "frames decoded alone": Failure(
        "decoder", "gray flashes, four times a clip",
        "each latent frame is decoded without the memory of those before", "hand the decoder's memory on",
        "flicker", "as asked", late=True, **_swap(vae.VAE, "decode", faults.decode_alone),
    ),
    "tiles without overlap": Failure(
        "decoder", "a cross in the middle",
        "tiles are decoded apart and put side by side", "let them overlap, and blend",
        "seam", "as asked", late=True, **_swap(vae.VAE, "decode", faults.decode_tiles),
    ),
    "a norm that leaks time": Failure(
        "decoder", "brightness and grain breathe",
        "the norm takes its size over all frames, the future among them", "norms per pixel, or per frame",
        "flicker", "as asked", late=True, **_swap(vae.Norm, "forward", faults.norm_over_time),
    ),
    "red and blue exchanged": Failure(
        "decoder", "red is blue",
        "RGB handed to something that wants BGR", "say the order in the name; test with a red picture",
        "frame by frame", "flicker", late=True, **_swap(pipeline, "to_frames", faults.frames_bgr, vae.to_frames),
    ),
    "the wrong range": Failure(
        "decoder", "dark, hard, as if at night",
        "[-1, 1] taken for [0, 1]", "state the range where pixels change hands",
        "burnt", "as asked", late=True, **_swap(pipeline, "to_frames", faults.frames_half_range, vae.to_frames),
    ),
}  # fmt: skip

# These change every clip, too, and hardly ring a bell: what finds them is a test of values.
SILENT = {
    "times not shifted": [(pipeline, "sigmas", faults.unshifted)],
    "uniform noise for Gaussian": [(pipeline, "draw_noise", faults.uniform_noise)],
    "one noise for all frames": [(pipeline, "draw_noise", faults.one_noise)],
    "one velocity for six steps": [(diffusion.SAMPLERS, "euler", faults.euler_cached)],
}


# ---- the bench ---------------------------------------------------------------------------------------------


class Bench:
    """Runs failures in one system: the same prompts, seeds and steps, healthy and with one thing wrong."""

    def __init__(self, system, prompts: Sequence[str] = PROMPTS, seeds: Sequence[int] = SEEDS, steps: int = STEPS):
        self.system, self.prompts, self.seeds, self.steps = system, list(prompts), list(seeds), steps
        self._made, self._figures = {}, {}
        drawn = [render(scene(parse(p), seed, system.world)) for p, seed in zip(prompts, seeds, strict=True)]
        self.pictures = [frames[:1] for frames in drawn]

    @cached_property
    def latents(self):
        """Of the healthy clips, (b, f, c, h, w)."""
        return self._denoised({})

    @cached_property
    def healthy(self) -> list[Clip]:
        """The clips with nothing wrong."""
        return self._clips(self.latents)

    def _denoised(self, settings: dict, given: bool = False):
        settings = {"steps": self.steps, **settings}
        noise = settings.pop("noise", 0.0)
        around = [Given(picture, noise=noise) for picture in self.pictures] if given else ()
        request = self.system.request(self.prompts, self.seeds, given=around, **settings)
        return self.system.denoise(request)

    def _clips(self, latents) -> list[Clip]:
        videos = self.system.decode(latents)
        about = dict(fps=self.system.world.fps, world=self.system.world)
        return [Clip(v, p, seed=s, **about) for v, p, s in zip(videos, self.prompts, self.seeds, strict=True)]

    def made(self, name: str = "healthy") -> list[Clip]:
        """The clips with that failure; "healthy", or "healthy, from a picture", without any."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> list[Clip]:
        if name.startswith("healthy"):
            return self._clips(self._denoised({}, given=True)) if "picture" in name else self.healthy
        if name in SILENT:
            with exchanged(SILENT[name]):
                return self._clips(self._denoised({}))
        failure = FAILURES[name]
        latents = self.latents if failure.late else None
        with exchanged(failure.places(self.system)):
            return self._clips(self._denoised(failure.settings, failure.given) if latents is None else latents)

    def beside(self, name: str) -> list[Clip]:
        """The healthy clips that a failure's are to be compared with."""
        return self.made("healthy, from a picture" if name in FAILURES and FAILURES[name].given else "healthy")

    def changed(self, name: str) -> float:
        """Share of the pixel values that are more than a gray level off those of the healthy clips."""
        pairs = zip(self.made(name), self.beside(name), strict=True)
        return float(np.mean([(np.abs(a.frames.astype(int) - b.frames) > 1).mean() for a, b in pairs]))

    def figures(self, name: str = "healthy") -> dict[str, float]:
        """What every inspector measures in the clips with that failure."""
        if name not in self._figures:
            clips = self.made(name)
            found = {key: one.over([one.measure(clip) for clip in clips]) for key, one in INSPECTORS.items()}
            self._figures[name] = {key: float(value) for key, value in found.items()}
        return self._figures[name]

    def ringing(self, name: str = "healthy") -> list[str]:
        """The inspectors that ring."""
        found = self.figures(name)
        return [key for key, one in INSPECTORS.items() if one.rings(found[key])]

    def leaking(self, amount: float) -> list[Clip]:
        """Clips from a picture that shines through the noise of all frames, so far as `amount` says; 0: not at all."""
        leak = partial(faults.start_on_the_picture, amount=amount)
        with exchanged([(diffusion, "start", leak)]):
            return self._clips(self._denoised({}, given=True))

    def says(self, name: str) -> str:
        """A line: did the clips change, and do they ring, the inspector that is to catch it and the blind one?"""
        one, ringing = FAILURES[name], self.ringing(name)
        told = [f"{key}: {'rings' if key in ringing else 'silent'}" for key in (one.catches, one.blind)]
        return f"{name:<35} changed: {self.changed(name) > 0.01}   {told[0]:<23} {told[1]}"

    def reconstructs(self, name: str) -> bool:
        """Whether a clip of the world, encoded and decoded with that failure, comes back as without it."""
        frames = render(scene(parse(self.prompts[0]), self.seeds[0], self.system.world))
        own = self.system.decode(self.system.encode([frames]))
        with exchanged(FAILURES[name].places(self.system)):
            now = self.system.decode(self.system.encode([frames]))
        return bool((np.abs(now.astype(int) - own) <= 1).all())
