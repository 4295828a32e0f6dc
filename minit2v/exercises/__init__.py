"""Exercises: tasks, checks that know a wrong answer, hints, and plugging an answer into the trained model.

>>> from minit2v.exercises import check, hint, plug_in
>>> check("04.1", causal_pad)
"""

from minit2v.exercises.checking import Verdict, check, hint
from minit2v.exercises.plugs import plug_in

__all__ = ["Verdict", "check", "hint", "plug_in"]
