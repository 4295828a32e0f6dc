"""How good is a system? Many prompts or pictures, many clips, every figure beside its controls.

`prompts` draws what to ask for, `report` generates, judges and measures; `pictures` does both for image-to-video.
"""

from minit2v.evaluation.pictures import draw_sources, evaluate_pictures
from minit2v.evaluation.prompts import SPLITS, draw_prompts, read_prompts
from minit2v.evaluation.report import evaluate, generate_all, reconstructions

__all__ = [
    "SPLITS", "draw_prompts", "draw_sources", "evaluate", "evaluate_pictures", "generate_all", "read_prompts",
    "reconstructions",
]  # fmt: skip
