"""What people see of tasks: the members that are there, and what is remembered of those that have left."""

from upcall.master import past, whereabouts
from upcall.master import records as r
from upcall.master.core import Core
from upcall.master.streams import Streams
from upcall.master.to_wire import member_state
from upcall.operations.views import MemberView
from upcall.protocol import operator as view
from upcall.protocol.agent import ENDED_KEPT_S
from upcall.protocol.errors import NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.substrate.machines import Machines

GONE = "gone"
"""The state of members that have left."""


KEPT_WORDS = (
    f"what has left is remembered for {ENDED_KEPT_S / 86_400:.0f} days, the last {past.MEMBERS_MAX} members, "
    "until its service is installed again"
)


class TaskViews:
    """Of all members."""

    def __init__(self, core: Core, machines: Machines, streams: Streams) -> None:
        self._core, self._machines, self._streams = core, machines, streams

    def tasks(self, service: str = "") -> list[view.TaskView]:
        return [self._task(member) for member in self._core.state.ledger.members(service)]

    def task(self, name: str) -> view.TaskView:
        """By member (``store.replica-2``) or by task (``store.replica-2.7``)."""
        for task in self.tasks(name.partition(".")[0]):
            if name in (task.member, task.task):
                return task
        everybody = sorted(task.member for task in self.tasks())
        of_service = [member for member in everybody if member.partition(".")[0] == name]
        alike = of_service or [member for member in everybody if member.partition(".")[2] == name]
        what = f"{name!r} is a service, and what is asked for is a member" if of_service else f"no member {name!r}"
        raise NotFound(
            what + ("" if alike else nearest(name, everybody)),
            where="member",
            expected=choice(alike or everybody, "a member"),
        )

    def task_or_past(self, name: str) -> view.TaskView:
        """As :meth:`task`, also of a member that has left."""
        try:
            return self.task(name)
        except NotFound as missing:
            for member, one in self._core.state.past.items():
                if name in (member, one.task):
                    return _of_the_past(member, one)
            said = missing.problem
            raise NotFound(said.message, where=said.where, expected=f"{said.expected}; {KEPT_WORDS}") from None

    def with_logs(self, name: str) -> view.TaskView:
        """Whose logs can be read, as far as is known here."""
        found = self.task_or_past(name)
        if not found.incarnation:
            raise NotFound(f"{found.member} was never started", where=name, expected="a member that was")
        if found.state == GONE and found.node not in self._core.known_nodes():
            raise NotFound(
                f"the logs of {found.task} lay on {found.node or 'a node that is not known'}, which is gone",
                where=name,
                expected=f"`upcall task show {found.member}` for its last lines",
            )
        return found

    def _task(self, member: MemberView) -> view.TaskView:
        state = self._core.state
        member_id = f"{member.service}.{member.name}"
        task = f"{member_id}.{member.incarnation}"
        node, address = whereabouts.of_newest(self._core, member)
        service = state.services.get(member.service)
        declaration = service.declaration(member.name, member.generation) if service else None
        seen = state.seen.get(member_id)
        usage = self._machines.usage(task)
        filling = "; ".join(map(str, usage.filling)) if usage else ""
        shown = member_state(member)
        reason = member.reason
        if shown == "fetching":
            reason = self._machines.progress(task) or reason
        if member.status == "declared" and service and service.unplaced:
            reason = service.unplaced
        reason = "; ".join(filter(None, (reason, filling)))
        return view.TaskView(
            member=member_id,
            service=member.service,
            name=member.name,
            incarnation=member.incarnation,
            task=task,
            state=shown,
            reason=reason,
            node=node,
            zone=self._core.zone(node),
            address=address,
            ports={port.name: port.number for port in declaration.ports} if declaration else {},
            since=seen.since if seen else 0.0,
            cpus=declaration.resources.cpus if declaration else 0.0,
            memory_mib=declaration.resources.memory_mib if declaration else 0,
            cpu_used=usage.cpu_cores if usage else 0.0,
            memory_used_mib=usage.memory_mib if usage else 0.0,
            disk_mib=sum(volume.size_mib for volume in declaration.volumes) if declaration else 0,
            disk_used_mib=usage.disk_mib if usage else 0.0,
            filling=[str(one) for one in usage.filling] if usage else [],
            exit_code=seen.exit_code if seen else None,
            exit_reason=seen.exit_reason if seen else "",
            last_lines=list(seen.last_lines) if seen else [],
            ended=seen.ended if seen else 0,
            ended_at=seen.ended_at if seen else 0.0,
        )


def _of_the_past(member: str, one: r.PastRecord) -> view.TaskView:
    service, _, name = member.partition(".")
    return view.TaskView(
        member=member,
        service=service,
        name=name,
        incarnation=int(one.task.rpartition(".")[2]),
        task=one.task,
        state=GONE,
        reason="it has left",
        node=one.node,
        since=one.ended_at,
        exit_code=one.exit_code,
        exit_reason=one.exit_reason,
        last_lines=list(one.last_lines),
        ended=int(one.task.rpartition(".")[2]),
        ended_at=one.ended_at,
    )
