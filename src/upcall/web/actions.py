"""What a person can do on the page: each is a question first, then one call of the operator API.

What the browser sends is a verb, a target and the answers to the question; nothing of it is trusted further than its
place in a path or a model of the API, which checks it.
"""

from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from upcall.client import paths
from upcall.protocol.errors import Invalid
from upcall.protocol.operator import DRAIN_WINDOW_S, Ask, Drain

NAME_CHARACTERS_MAX: Final = 200

REASON: Final = {"name": "reason", "label": "Reason", "value": ""}
MUST_REASON: Final = {**REASON, "label": "Reason (recorded with your name)", "required": True}
WINDOW: Final = {"name": "window_s", "label": "Window in seconds", "type": "number", "value": DRAIN_WINDOW_S, "min": 1}
AFTERWARDS: Final = {
    "name": "on_deadline",
    "label": "When the window is over",
    "value": "hold",
    "choices": [
        ["hold", "hold: keep asking"],
        ["proceed", "proceed: over the answers, not below the minimum"],
        ["force", "force: over both"],
    ],
}


@dataclass(frozen=True)
class Action:
    """A verb: its question in words, its fields, and the call it becomes."""

    title: str
    text: str
    action: str
    path: tuple[str, ...]
    """Its parts; ``{target}`` is what it is about."""
    body: type[BaseModel]
    fields: tuple[dict[str, Any], ...] = (REASON,)
    danger: bool = False


ACTIONS: Final = {
    "drain": Action(
        title="Drain {words}?",
        text="Every service with a member there is asked first. Members are held, with their volumes, until undrain.",
        action="Drain",
        path=("nodes", "{target}", "drain"),
        body=Drain,
        fields=({**REASON, "value": "maintenance"}, WINDOW, AFTERWARDS),
    ),
    "undrain": Action(
        title="Undrain {words}?",
        text="Maintenance is over: the members that were held there start again.",
        action="Undrain",
        path=("nodes", "{target}", "undrain"),
        body=Ask,
        fields=({**REASON, "value": "maintenance is over"},),
    ),
    "restart": Action(
        title="Restart {words}?",
        text="Its service is asked when; it begins as soon as the service accepts.",
        action="Restart",
        path=("tasks", "{target}", "restart"),
        body=Ask,
    ),
    "cancel": Action(
        title="Cancel the {words}?",
        text="What has not begun is taken back; what has goes on.",
        action="Cancel it",
        path=("operations", "{target}", "cancel"),
        body=Ask,
    ),
    "force": Action(
        title="Force the {words}?",
        text="It goes over the service's answer and below its minimum. Data may become unavailable. This is recorded.",
        action="Force it",
        path=("operations", "{target}", "force"),
        body=Ask,
        fields=(MUST_REASON,),
        danger=True,
    ),
}


@dataclass(frozen=True)
class Asked:
    """A question that waits for its answer."""

    verb: str
    target: str
    words: str

    def question(self, number: int) -> dict[str, Any]:
        action = ACTIONS[self.verb]
        return {
            "id": number,
            "title": action.title.format(words=self.words),
            "text": action.text,
            "action": action.action,
            "fields": list(action.fields),
            "danger": action.danger,
        }

    def call(self, values: dict[str, Any]) -> tuple[str, BaseModel]:
        """Path and body of the API call."""
        action = ACTIONS[self.verb]
        names = {str(one["name"]) for one in action.fields}
        given = {key: value for key, value in values.items() if key in names and value not in ("", None)}
        try:
            body = action.body.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise Invalid(str(first["msg"]), where=".".join(map(str, first["loc"]))) from None
        return paths.of(*(part.format(target=self.target) for part in action.path)), body


def asked(message: dict[str, Any]) -> Asked | None:
    """What a browser's message asks for; None for what is none of ours."""
    verb, target, words = message.get("verb"), message.get("target"), message.get("words")
    if verb not in ACTIONS or not isinstance(target, str) or not 0 < len(target) <= NAME_CHARACTERS_MAX:
        return None
    shown = words if isinstance(words, str) and 0 < len(words) <= NAME_CHARACTERS_MAX else target
    return Asked(str(verb), target, shown)
