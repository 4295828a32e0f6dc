"""Lesson 14, speed: answers kept from step to step, batches, two steps in one, and attention that is shared out.

One file for each task.
"""

from minit2v.exercises import lesson14_batch, lesson14_cache, lesson14_merge, lesson14_student

__all__ = ["lesson14_batch", "lesson14_cache", "lesson14_merge", "lesson14_student"]
