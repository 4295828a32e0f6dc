"""Parts of a page that one can use: sliders over a figure, a game. Each is built when it is first asked for, and most
have a still picture for pages that cannot run anything."""

from __future__ import annotations

from functools import cached_property

from minit2v.lab.page import Figure


class Live:
    """`widget` is live; `still`, if it is not None, is shown below it, and remains where the page cannot run."""

    still: Figure | None = None

    @cached_property
    def widget(self):
        """The ipywidget."""
        return self.build()

    def build(self):
        """Makes the widget."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)
        if self.still is not None:
            display(self.still)


class Sliders(Live):
    """One slider for each of `choices`, {name: options}, over what `page({name: value})` says, as HTML; arrow keys move
    them. They stand at `start`, {name: value}, at first. `sliders` has them by name once the widget is built."""

    choices: dict
    start: dict

    def page(self, choices: dict) -> str:
        """What is shown for one position of the sliders, as HTML."""
        raise NotImplementedError

    def build(self):
        import ipywidgets

        style = {"description_width": "90px"}
        self.sliders = {
            name: ipywidgets.SelectionSlider(options=options, value=self.start[name], description=name, style=style)
            for name, options in self.choices.items()
        }
        view = ipywidgets.HTML(self.page(self.start))

        def update(_):
            view.value = self.page({name: slider.value for name, slider in self.sliders.items()})

        for slider in self.sliders.values():
            slider.observe(update, "value")
        columns = "repeat(auto-fit, minmax(320px, 1fr))"
        grid = ipywidgets.GridBox(list(self.sliders.values()), layout={"grid_template_columns": columns})
        return ipywidgets.VBox([grid, view])
