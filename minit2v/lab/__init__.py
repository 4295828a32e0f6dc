"""What notebooks show: pictures with descriptions, players, source code, sliders, and the stages of the factory.

Everything stands in the page itself: no script, font or picture comes from elsewhere. Nothing is told by color alone.
"""

from minit2v.lab.cost import explorer
from minit2v.lab.factory import Trace, trace
from minit2v.lab.page import Figure, Html, show_source
from minit2v.lab.players import contact_sheet, measurements, player, step_slider

__all__ = [
    "Figure", "Html", "Trace", "contact_sheet", "explorer", "measurements", "player", "show_source", "step_slider",
    "trace",
]  # fmt: skip
