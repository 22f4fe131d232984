"""The page's own parts as elements: each is one component in the browser, given what it shows as a whole.

A part is sent again only when its content differs from what was sent; the browser then patches what differs in it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nicegui import ui
from nicegui.events import GenericEventArguments

HERE: Final = Path(__file__).parent
PARTS: Final = HERE / "parts"

OnAct = Callable[[dict[str, Any]], None]


def head_html() -> str:
    """Words, theme and style, before anything is drawn."""
    return (
        f"<script>{(PARTS / 'head.js').read_text()}</script>\n"
        f"<style>@layer overrides {{ {(HERE / 'style.css').read_text()} }}</style>"
    )


class Part(ui.element):
    """Shows one value, under one property."""

    shows: str = ""

    def __init__(self, on_act: OnAct | None = None) -> None:
        super().__init__()
        if on_act is not None:
            act = on_act
            self.on("act", lambda event: act(_arguments(event)))

    def show(self, value: Any) -> None:
        if self._props.get(self.shows) != value:
            self._props[self.shows] = value
            self.update()


class TopBar(Part, component=PARTS / "topbar.js"):
    shows = "summary"

    def __init__(self, on_tab: Callable[[str], None]) -> None:
        super().__init__()
        self._props.update({"summary": {"connected": False}, "tabs": [], "active": ""})
        self.on("tab", lambda event: on_tab(str(event.args)))

    def tabs(self, tabs: list[dict[str, str]], active: str) -> None:
        if (self._props["tabs"], self._props["active"]) != (tabs, active):
            self._props.update({"tabs": tabs, "active": active})
            self.update()


class Nodes(Part, component=PARTS / "nodes.js"):
    shows = "nodes"

    def __init__(self, on_act: OnAct, on_output: Callable[[Any], None]) -> None:
        """``on_output``: somebody wants to see what a member writes."""
        super().__init__(on_act)
        self._props["nodes"] = []
        self.on("output", lambda event: on_output(event.args))


class Services(Part, component=PARTS / "services.js"):
    shows = "services"

    def __init__(self) -> None:
        super().__init__()
        self._props["services"] = []


class Operations(Part, component=PARTS / "operations.js"):
    shows = "operations"

    def __init__(self, on_act: OnAct) -> None:
        super().__init__(on_act)
        self._props["operations"] = []


class Events(Part, component=PARTS / "events.js"):
    """Begins with what there is; after that only what is new is sent."""

    shows = "initial"

    def __init__(self, initial: list[dict[str, Any]]) -> None:
        super().__init__()
        self._props["initial"] = initial

    def append(self, events: list[dict[str, Any]]) -> None:
        self.run_method("append", events)


class Confirm(Part, component=PARTS / "confirm.js"):
    """Asks before something is done."""

    def __init__(self, on_confirmed: OnAct) -> None:
        super().__init__()
        self.on("confirmed", lambda event: on_confirmed(_arguments(event)))

    def ask(self, question: dict[str, Any]) -> None:
        self.run_method("ask", question)

    def say(self, text: str, tone: str = "") -> None:
        self.run_method("say", text, tone)


def _arguments(event: GenericEventArguments) -> dict[str, Any]:
    return event.args if isinstance(event.args, dict) else {}
