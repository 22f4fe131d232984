"""One browser's page: the parts, kept true to the shared picture for as long as the browser is there."""

import asyncio
import time
from collections import OrderedDict
from typing import Any, Final

import structlog
from nicegui import Client as Browser
from nicegui import ui

from upcall.protocol.errors import UpcallError
from upcall.protocol.operator import Event
from upcall.web import panels
from upcall.web.actions import Asked, asked
from upcall.web.elements import Confirm, Events, Nodes, Operations, Services, TopBar, head_html
from upcall.web.live import Live
from upcall.web.output import Output
from upcall.web.sessions import Session
from upcall.web.tabs import Tab, TabContext, Tabs

QUESTIONS_MAX: Final = 10
CLUSTER: Final = "cluster"
log = structlog.get_logger(__name__)


class Page:
    """Built within a page function of NiceGUI."""

    def __init__(self, live: Live, tabs: Tabs, session: Session) -> None:
        self._live, self._tabs, self._session = live, tabs, session
        self._questions: OrderedDict[int, Asked] = OrderedDict()
        self._number = 0
        self._active = CLUSTER
        self._built: set[str] = set()
        self._waiting_tasks: set[asyncio.Task[None]] = set()
        self._browser: Browser = ui.context.client
        ui.add_head_html(head_html())
        ui.query(".nicegui-content").classes("u-page")
        self._bar = TopBar(self._choose)
        with ui.element("main").classes("u-main") as self._cluster:
            with ui.element("div").classes("u-left"):
                self._nodes = Nodes(self._act, lambda member: self._output.open(member))
                self._services = Services()
            with ui.element("div").classes("u-right"):
                self._operations = Operations(self._act)
                self._events = Events([panels.event(one) for one in live.events])
        self._panes = {
            tab.name: ui.element("main").classes("u-main u-pane").style("display: none") for tab in tabs.found
        }
        self._confirm = Confirm(self._confirmed)
        self._output = Output(live, session.token)
        self._changed()
        self._browser.on_delete(live.listen(self._changed, self._happened))
        session.opened(self._browser.id)
        self._browser.on_delete(lambda: session.closed(self._browser.id))

    # -- from the picture to the browser ----------------------------------------------------------------------------

    def _changed(self) -> None:
        live = self._live
        with self._browser:
            self._bar.show(panels.summary(live.status, connected=live.connected, trouble=live.trouble))
            self._show_tabs()
            if live.status is None:
                return
            self._nodes.show(panels.nodes(live.status))
            self._services.show(panels.services(live.status, time.time()))
            self._operations.show(panels.operations(live.status.operations, live.ended))

    def _happened(self, events: list[Event]) -> None:
        with self._browser:
            self._events.append([panels.event(one) for one in events])

    # -- tabs -------------------------------------------------------------------------------------------------------

    def _offered(self) -> list[Tab]:
        return [tab for tab in self._tabs.found if tab.offered(self._live.status)]

    def _show_tabs(self) -> None:
        offered = self._offered()
        if self._active != CLUSTER and self._active not in {tab.name for tab in offered}:
            self._choose(CLUSTER)
        shown = [{"name": CLUSTER, "label": "Cluster"}, *({"name": tab.name, "label": tab.label} for tab in offered)]
        self._bar.tabs(shown, self._active)

    def _choose(self, name: str) -> None:
        known = {tab.name: tab for tab in self._offered()}
        if name != CLUSTER and name not in known:
            return
        self._active = name
        if name in known and name not in self._built:
            self._built.add(name)
            with self._panes[name]:
                try:
                    known[name].build(TabContext(self._live, self._live.client))
                except Exception as error:
                    log.error("tab failed", tab=name, error=repr(error))
                    ui.label(f"This tab failed: {error}").classes("u-none")
        self._cluster.style("display: none" if name != CLUSTER else "display: grid")
        for pane, element in self._panes.items():
            element.style("display: block" if pane == name else "display: none")
        self._show_tabs()

    # -- what a person does -----------------------------------------------------------------------------------------

    def _act(self, message: dict[str, Any]) -> None:
        question = asked(message)
        if question is None:
            return
        self._number += 1
        self._questions[self._number] = question
        while len(self._questions) > QUESTIONS_MAX:
            self._questions.popitem(last=False)
        self._confirm.ask(question.question(self._number))

    def _confirmed(self, message: dict[str, Any]) -> None:
        values = message.get("values")
        question = self._questions.pop(message.get("id", 0), None)
        if question is None or not isinstance(values, dict):
            return
        task = asyncio.ensure_future(self._do(question, values))
        self._waiting_tasks.add(task)
        task.add_done_callback(self._waiting_tasks.discard)

    async def _do(self, question: Asked, values: dict[str, Any]) -> None:
        try:
            path, body = question.call(values)
            answer = await self._live.client.call("POST", path, body, token=self._session.token)
        except UpcallError as error:
            words, tone = str(error), "bad"
        else:
            words, tone = (
                f"{question.verb} of {question.words}: {answer.get('id', '')} {answer.get('state', 'asked')}",
                "good",
            )
        self._live.refresh()
        with self._browser:
            self._confirm.say(words, tone)
