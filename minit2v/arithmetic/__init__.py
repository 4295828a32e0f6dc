"""The arithmetic of video models: clip → latents → tokens → scores → FLOPs → bytes → time → money.

Standard library only, exact integers, nothing allocated. The chapter's section 4, "trace a 4-second clip through the
pipeline", is the example that everything here continues.
"""

from minit2v.arithmetic import device, memory, models
from minit2v.arithmetic.clip import ClipShape, LatentShape, TokenGrid, VAEShape, compression
from minit2v.arithmetic.layers import Cost, attention, convolution, convolved, linear, norm, numbers
from minit2v.arithmetic.scores import KINDS, Scores, frame_pairs, pairs, saving, turns

__all__ = [
    "KINDS", "ClipShape", "Cost", "LatentShape", "Scores", "TokenGrid", "VAEShape", "attention", "compression",
    "convolution", "convolved", "device", "frame_pairs", "linear", "memory", "models", "norm", "numbers", "pairs",
    "saving", "turns",
]  # fmt: skip
