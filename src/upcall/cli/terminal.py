"""The terminal that a person looks at: rich's, on which nothing but rich itself gives orders."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from upcall.cli.printing import visible


class VisibleConsole(Console):
    """Shows control characters in what it is given to print (:func:`upcall.cli.printing.visible`)."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
