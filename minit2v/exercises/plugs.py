"""`plug_in`: the learner's function inside the trained model, and what becomes of a clip.

The healthy clip and the learner's have the same prompt, seed, noise and weights; only one function is exchanged. So
whatever differs comes from that function, and how good the weights are does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from minit2v.errors import UserError
from minit2v.exercises import carry, guest, wire
from minit2v.exercises.judging import Wrong, broken, unfinished
from minit2v.exercises.registry import Task, find, tasks
from minit2v.exercises.sandbox import Died, Guest, Limits, TooSlow

PROMPT = "a large red ball moves right"
SHOWN = {"flicker": "levels of 255; 0 is best", "identity_drift": "0 is best", "adherence": "1: as asked"}
SAME = 0.99  # share of the pixels that are within one grey level of the healthy clip's


@dataclass(frozen=True)
class Setting:
    """Which clip is made. What is None is the system's own. picture: a prompt; its first frame begins the clip.
    context: of a clip of more `frames` than those of training, which is made in windows."""

    prompt: str = PROMPT
    seed: int = 0
    steps: int | None = 10
    guidance: float | None = None
    rescale: float = 0.0
    sampler: str = "euler"
    system: str = "sora"
    picture: str | None = None
    frames: int | None = None
    context: int = 0


FROM_PICTURE = Setting(prompt="a large ball moves right", picture=PROMPT)  # which alone says the color
SETTINGS = {
    "06.3": Setting(steps=6, sampler="heun"),
    "06.5": Setting(guidance=3.0),
    "06.6": Setting(guidance=5.0, rescale=0.7),
    "12.1": FROM_PICTURE,
    "12.2": FROM_PICTURE,
    "13.1": Setting("a small red ball bounces on a checkered floor, the camera pans left", frames=29, context=9),
}


@dataclass
class Plugged:
    """The job of making a clip with a function put in place of the model's own."""

    task: Task
    function: object
    setting: Setting

    def __getstate__(self):
        return self.task.id, carry.pack(self.function), self.setting

    def __setstate__(self, state):
        self.task, self.function, self.setting = find(state[0]), carry.unpack(state[1]), state[2]

    def serve(self, receive, send) -> None:
        receive()
        try:
            with exchanged(self.task.plug(self.function)):
                told = {"value": made(self.setting)}
        except BaseException as error:
            told = guest.raised(error, self.function)
        send(wire.pack(told))


class exchanged:
    """For a while, other functions stand in some places: (module, class or dict; name; function) each."""

    def __init__(self, places):
        self.places = places

    def __enter__(self):
        self.own = [(where, name, _put(where, name, function)) for where, name, function in self.places]

    def __exit__(self, *_):
        for place in self.own:
            _put(*place)


def _put(where, name, function):
    if isinstance(where, dict):
        own, where[name] = where[name], function
    else:
        own = getattr(where, name)
        setattr(where, name, function)
    return own


@lru_cache(maxsize=2)
def system(name: str):
    """The trained system, on the CPU: that is where everybody's clip is the same."""
    from minit2v import TextToVideo

    return TextToVideo.from_pretrained(name, device="cpu")


def made(setting: Setting) -> np.ndarray:
    """The clip's frames, uint8 (t, h, w, 3)."""
    from minit2v.request import Sliding

    one = system(setting.system)
    own = one.sampling
    one.sampling = replace(own, rescale=setting.rescale, sampler="euler")  # what stands there may be another one
    try:
        how = dict(steps=setting.steps, guidance=setting.guidance, seed=setting.seed, given=given(setting))
        return one.generate(setting.prompt, setting.frames, sliding=Sliding(setting.context), **how).frames
    finally:
        one.sampling = own


def given(setting: Setting):
    """The picture that the clip begins with, if it has one."""
    from minit2v.request import Given
    from minit2v.world.captions import parse
    from minit2v.world.render import render
    from minit2v.world.scenes import scene

    return Given(render(scene(parse(setting.picture), setting.seed))[:1]) if setting.picture else None


@lru_cache(maxsize=16)
def healthy(setting: Setting) -> np.ndarray:
    """The same clip with the course's own function."""
    from minit2v import diffusion

    with exchanged([(diffusion.SAMPLERS, "euler", diffusion.SAMPLERS[setting.sampler])]):
        return made(setting)


@dataclass(eq=False)
class Comparison:
    """Two clips and their figures. same: the share of the pixel values within one grey level of the healthy clip's."""

    task: Task
    setting: Setting
    frames: np.ndarray
    healthy: np.ndarray
    figures: dict = field(default_factory=dict)  # of both, by name: (yours, healthy)

    @property
    def same(self) -> float:
        """From 0 to 1."""
        return float((np.abs(self.frames.astype(int) - self.healthy) <= 1).mean())

    @property
    def right(self) -> bool:
        """Whether the clip is the healthy one, but for rounding."""
        return self.same >= SAME

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        if self.right:
            return f"✓ {self.task.id} in the model: the clip is the same, on {self.same:.0%} of its pixels."
        return (
            f"✗ {self.task.id} in the model: the clip is another one. {1 - self.same:.0%} of its pixels are more than "
            f"a grey level off. {self._moved()}"
        )

    def _moved(self) -> str:
        told = []
        for name in SHOWN:
            mine, theirs = self.figures[name]
            if abs(mine - theirs) > 0.1 * max(abs(theirs), 0.1) or np.isnan(mine) != np.isnan(theirs):
                told.append(f"{name.replace('_', ' ')} {_number(theirs)} became {_number(mine)}")
        return f"Beside the healthy clip: {'; '.join(told)}." if told else ""

    def _repr_html_(self) -> str:
        from minit2v.lab.drawings import strips
        from minit2v.lab.page import table

        notes = [_note(self.figures, 0), _note(self.figures, 1)]
        about = f"“{self.setting.prompt}”, seed {self.setting.seed}, made twice by the same model."
        picture = strips([self.frames, self.healthy], ["your function", "healthy"], notes, about)
        rows = [[name.replace("_", " "), *map(_number, self.figures[name]), unit] for name, unit in SHOWN.items()]
        return picture._repr_html_() + table(["", "your function", "healthy", ""], rows)._repr_html_()


def _note(figures: dict, which: int) -> str:
    return "\n".join(f"{name.replace('_', ' ')} {_number(figures[name][which])}" for name in SHOWN)


def _number(value: float) -> str:
    return "unreadable" if np.isnan(value) else f"{value:.2f}"


def plug_in(id: str, function, seconds: float = 60.0, setting: Setting | None = None, method=None):
    """Runs a learner's function inside the committed model; shows its clip beside the healthy one. Returns a
    `Comparison`, or None if there is no clip, with a printed reason.

    seconds: the time limit. Raises `UserError` for a task whose function has no place in the model.
    """
    task = find(id)
    if task.plug is None:
        able = ", ".join(each.id for each in tasks() if each.plug)
        raise UserError(f"{id} has no place in the model to be plugged in; these have: {able}")
    setting = setting or SETTINGS.get(id, Setting())
    theirs = healthy(setting)
    try:
        mine = clip_of(task, function, setting, seconds, method)
    except Wrong as found:
        print(f"✗ {id} in the model: {found}")
        return None
    shown = Comparison(task, setting, mine, theirs, _figures(mine, theirs, setting.prompt))
    print(shown)
    return shown


def clip_of(task: Task, function, setting: Setting, seconds: float = 60.0, method=None) -> np.ndarray:
    """The frames that come out with the function in its place. Raises `Wrong` if none do."""
    limits = Limits(seconds, memory=2 * 2**30)
    try:
        with Guest(Plugged(task, function, setting), limits, method) as running:
            told = wire.unpack(running.ask(b""))
    except TooSlow:
        raise Wrong(f"no clip after {seconds:g} seconds. Is something computed far too often?") from None
    except Died as end:
        raise Wrong(f"the process came to its end ({end}), and there is no clip.") from None
    if told.get("raised") == "NotImplementedError":
        raise Wrong(unfinished(task))
    if "raised" in told:
        raise Wrong(f"there is no clip: {broken(told)}.")
    return told["value"]


def _figures(mine: np.ndarray, theirs: np.ndarray, prompt: str) -> dict:
    from minit2v.metrics import measure
    from minit2v.world.captions import parse

    both = [measure(frames, parse(prompt)) for frames in (mine, theirs)]
    return {name: (both[0][name], both[1][name]) for name in SHOWN}
