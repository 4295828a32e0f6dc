"""The arithmetic of video models: clip → latents → tokens → scores → FLOPs → bytes → time → money.

Standard library only, exact integers, nothing allocated. The chapter's section 4, "trace a 4-second clip through the
pipeline", is the example that everything here continues.
"""

from minit2v.arithmetic.layers import Cost, attention, convolution, convolved, linear, norm, numbers

__all__ = ["Cost", "attention", "convolution", "convolved", "linear", "norm", "numbers"]
