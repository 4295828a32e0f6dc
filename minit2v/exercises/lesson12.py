"""Lesson 12, image to video: noise levels per frame, a step around a picture, channels beside the noise, crop and pad,
whose error it is.

One file for each task.
"""

from minit2v.exercises import lesson12_channels, lesson12_error, lesson12_levels, lesson12_shape, lesson12_step

__all__ = ["lesson12_channels", "lesson12_error", "lesson12_levels", "lesson12_shape", "lesson12_step"]
