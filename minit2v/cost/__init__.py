"""What a clip costs, line by line: `minit2v cost`. Nothing is run, so nothing is too large to ask about.

>>> from minit2v.cost import Setup, lines
>>> figures = {line.path: line.value for line in lines(Setup())}  # the chapter's worked example
>>> figures["scores.temporal.clip"]
4026531840

`setup` is the question, `lines` the answer, `published` the answer for published models, `page` how it looks.
"""

from minit2v.cost.lines import Line, lines
from minit2v.cost.page import as_json, comparison, ratios, table
from minit2v.cost.published import listing, model_lines
from minit2v.cost.setup import Setup

__all__ = ["Line", "Setup", "as_json", "comparison", "lines", "listing", "model_lines", "ratios", "table"]
