"""What a service holds that people name one by one: topics, keyspaces, jobs.

A platform file (``upcall apply -f``) states them beside the service's options::

    contents = (
        Contents("topics", show="topics", key="topic", make="create-topic", change="change-topic", drop="delete-topic"),
    )

Each word is an action of the service. What is wanted of one are arguments of ``make``; what ``show`` gives for it under
the same names is compared with them, entries of maps one by one; what it does not give is not. An argument that is
given empty (``0``, ``""``), where that is its default, is left to the service. What ``show`` gives with ``over`` (a job
that has ended for good) is past: ``upcall export`` leaves it out, for made anew it would run once more.
"""

from dataclasses import dataclass, field
from typing import Any

from upcall.protocol.service import ActionSpec, ContentSpec


@dataclass(frozen=True)
class Contents:
    """One kind of them, by names of actions. The first argument of ``make``, ``change`` and ``drop`` is the name."""

    kind: str
    """As a platform file names it; no other key of a service there."""
    show: str
    """Gives all of them, as a list of maps."""
    make: str
    """Makes one."""
    drop: str
    """Removes one, with all that is in it."""
    change: str = ""
    """Takes those arguments that differ; empty: one that differs is never changed, only dropped and made anew."""
    key: str = "name"
    """Where each that ``show`` gives has its name."""
    show_with: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``show``."""

    def spec(self, actions: dict[str, ActionSpec]) -> ContentSpec:
        """Raises ``TypeError`` where an action is not there, or takes no name."""
        for word in filter(None, (self.show, self.make, self.change, self.drop)):
            if word not in actions:
                raise TypeError(f"contents {self.kind!r} name the action {word!r}, which is none of the service")
        for word in filter(None, (self.make, self.change, self.drop)):
            if not actions[word].arguments.get("properties"):
                raise TypeError(f"contents {self.kind!r}: the action {word!r} takes no name")
        return ContentSpec(
            kind=self.kind, show=self.show, show_with=self.show_with, key=self.key, make=self.make, change=self.change,
            drop=self.drop,
        )  # fmt: skip
