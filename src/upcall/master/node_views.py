"""What people see of nodes: how each one is, what it has, and who is there."""

from upcall.master.operation_views import because
from upcall.master.task_views import TaskViews
from upcall.protocol import operator as view
from upcall.protocol.errors import NotFound
from upcall.protocol.nearest import choice, nearest
from upcall.substrate.interface import NodeExpected, NodeObserved

AT_THEIR_END = ("finished", "failed")
"""They do not run, and nobody waits for them to."""


class NodeViews(TaskViews):
    """Of all nodes, with their members."""

    def nodes(self) -> list[view.NodeView]:
        tasks: dict[str, list[view.TaskView]] = {}
        for task in self.tasks():
            if task.state not in AT_THEIR_END:
                tasks.setdefault(task.node, []).append(task)
        return [self._node(name, seen, tasks.get(name, [])) for name, seen in self._core.known_nodes().items()]

    def node(self, name: str) -> view.NodeView:
        for node in self.nodes():
            if node.name == name:
                return node
        known = list(self._core.known_nodes())
        raise NotFound(f"no node {name!r}{nearest(name, known)}", where="node", expected=choice(known, "a node"))

    def _node(self, name: str, seen: NodeObserved | NodeExpected, here: list[view.TaskView]) -> view.NodeView:
        described = seen.description
        if isinstance(seen, NodeExpected):
            state, reason = "silent", "it has not registered yet since the master's start"
        else:
            state, reason = seen.state, seen.reason
        drain = self._core.state.ledger.maintenance(name)
        shown: str = state
        if state == "up" and drain is not None:
            shown = "drained" if drain.state == "done" else "draining"
            reason = f"{drain.id}{because(drain)}"
        elif state == "up" and isinstance(seen, NodeObserved) and seen.closed:
            shown, reason = "cordoned", seen.closed
        return view.NodeView(
            name=name,
            state=shown,
            reason=reason,
            zone=self._core.zone(name),
            attributes=dict(described.attributes) if described else {},
            cpus=described.cpus if described else 0.0,
            memory_mib=described.memory_mib if described else 0,
            disk_mib=described.disk_mib if described else 0,
            disk_used_mib=sum(task.disk_used_mib for task in here),
            memory_reserved_mib=sum(task.memory_mib for task in here),
            memory_used_mib=sum(task.memory_used_mib for task in here),
            cpu_used=sum(task.cpu_used for task in here),
            members=sorted(task.member for task in here),
            features=list(self._machines.features(name)),
        )
