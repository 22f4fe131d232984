"""The life of one task on this machine: a table, nothing else.

The rules, which the table below spells out:

* A task is brought up in two stages that take time: *fetching* (artifacts, blobs) and *starting* (sandbox, volumes,
  their preparation, the process). Each ends with success or with ``failed``; a wish to end cancels it first.
* ``running`` means alive and not yet ready. It becomes ``ready`` by its readiness check, and then swings between
  ``ready`` and ``unready`` with its health check. One that is not ready when its start deadline passes is ``unready``
  too, and is asked on: a store that replays a long log comes late, and is as welcome.
* The agent judges; it never acts on its judgement. Whether what is unhealthy or late is restarted is an operation, and
  those are the master's: a running task enters ``ending`` by the master's ``end``, and in no other way.
* ``ending`` starts with SIGTERM and goes on to SIGKILL when the grace is over. Nothing leaves it but proof of death.
* ``ended`` is final, and is said only when nothing of the task is left.
* ``vanished`` (the shim died and with it the task) is like any other end, with its own reason.

``step`` gives the next state and what is to be done; None where an event means nothing in a state (a check that
answers late, a second wish to end), which is always harmless.
"""

from typing import Final, Literal, NamedTuple

State = Literal["placed", "fetching", "starting", "running", "ready", "unready", "ending", "ended"]

Event = Literal["launch", "fetched", "started", "passed", "failed", "late", "end", "grace_over", "exited"]
"""``passed`` and ``failed`` come from checks while the task runs; before that, ``failed`` is the bring-up's."""

Effect = Literal["fetch", "start", "cancel", "await_ready", "watch_health", "terminate", "kill", "settle"]
"""``cancel``: stop the bring-up, which answers with ``failed`` or ``exited``. ``watch_health``: see to it that it is
watched; nothing, where it is already. ``settle``: the task is over; stop its checks, free its groups."""


class Step(NamedTuple):
    state: State
    effects: tuple[Effect, ...] = ()


TABLE: Final[dict[State, dict[Event, Step]]] = {
    "placed": {
        "launch": Step("fetching", ("fetch",)),
        "end": Step("ended", ("settle",)),
    },
    "fetching": {
        "fetched": Step("starting", ("start",)),
        "failed": Step("ended", ("settle",)),
        "end": Step("ending", ("cancel",)),
    },
    "starting": {
        "started": Step("running", ("await_ready",)),
        "failed": Step("ended", ("settle",)),
        "end": Step("ending", ("cancel",)),
    },
    "running": {
        "passed": Step("ready", ("watch_health",)),
        "late": Step("unready"),
        "end": Step("ending", ("terminate",)),
        "exited": Step("ended", ("settle",)),
    },
    "ready": {
        "failed": Step("unready"),
        "end": Step("ending", ("terminate",)),
        "exited": Step("ended", ("settle",)),
    },
    "unready": {
        "passed": Step("ready", ("watch_health",)),
        "end": Step("ending", ("terminate",)),
        "exited": Step("ended", ("settle",)),
    },
    "ending": {
        "started": Step("ending", ("terminate",)),  # It came up in the moment in which the end was asked for.
        "failed": Step("ended", ("settle",)),  # The bring-up, cancelled.
        "grace_over": Step("ending", ("kill",)),
        "exited": Step("ended", ("settle",)),
    },
    "ended": {},
}

RUNS: Final[frozenset[State]] = frozenset({"running", "ready", "unready", "ending"})
"""There may be processes of the task."""


def step(state: State, event: Event) -> Step | None:
    return TABLE[state].get(event)
