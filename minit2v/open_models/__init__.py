"""Published open video models: what each of them costs, computed from its configuration alone.

    >>> from minit2v.open_models import figures, find
    >>> figures(find("Wan2.1-T2V-14B")).parameters
    14288491584

A data file per model says what is published (`card`); one function per architecture says what its layers are
(`cross_attention`, `joint_attention`, `factorised`, `unets`); `figures` is what follows. No torch, no network.
"""

from minit2v.open_models.card import OpenModel, Published, Sampling
from minit2v.open_models.figures import ARCHITECTURES, Figures, figures, forward
from minit2v.open_models.shelf import find, names

__all__ = ["ARCHITECTURES", "Figures", "OpenModel", "Published", "Sampling", "figures", "find", "forward", "names"]
