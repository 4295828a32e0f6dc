"""Lesson 10, training: the loss of a batch, the average that follows the weights, and batches that can be had again.

One file for each task; what the loss asks the denoiser has a file of its own, `lesson10_question`.
"""

from minit2v.exercises import lesson10_average, lesson10_batches, lesson10_loss

__all__ = ["lesson10_average", "lesson10_batches", "lesson10_loss"]
