"""Lesson 09, the temporal U-Net: a silent start, temporal convolution and attention, and the way through the U.

One file for each task.
"""

from minit2v.exercises import lesson09_attention, lesson09_convolution, lesson09_start, lesson09_way

__all__ = ["lesson09_attention", "lesson09_convolution", "lesson09_start", "lesson09_way"]
