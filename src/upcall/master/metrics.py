"""``/metrics`` for Prometheus: read from the state when asked, so counting costs nothing in between."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from upcall.master.views import Views
from upcall.protocol.operator import ServiceView


class _Collector(Collector):
    def __init__(self, views: Views) -> None:
        self._views = views

    def collect(self) -> Iterator[Metric]:
        nodes = GaugeMetricFamily("upcall_node_up", "1 while the node's agent is heard", labels=["node", "zone"])
        reserved = GaugeMetricFamily(
            "upcall_node_memory_reserved_bytes", "Memory reserved on the node", labels=["node"]
        )
        for node in self._views.nodes():
            nodes.add_metric([node.name, node.zone], float(node.state in ("up", "draining", "drained", "cordoned")))
            reserved.add_metric([node.name], float(node.memory_reserved_mib << 20))
        yield nodes
        yield reserved
        ready = GaugeMetricFamily("upcall_service_members_ready", "Members known ready", labels=["service"])
        wanted = GaugeMetricFamily("upcall_service_members_wanted", "Members wanted", labels=["service"])
        wrong = GaugeMetricFamily(
            "upcall_service_degraded", "Things wrong with it, as its code sees it", labels=["service"]
        )
        services = self._views.services()
        for service in services:
            wrong.add_metric([service.name], len(service.degraded))
            ready.add_metric([service.name], service.ready)
            wanted.add_metric([service.name], service.wanted)
        yield ready
        yield wanted
        yield wrong
        yield from _schedules(services)
        own = ["service", "member"]
        cpu = GaugeMetricFamily("upcall_task_cpu_cores", "Cores used of late", labels=own)
        memory = GaugeMetricFamily("upcall_task_memory_bytes", "Memory used", labels=own)
        disk = GaugeMetricFamily("upcall_task_disk_bytes", "Volumes and sandbox", labels=own)
        bound = GaugeMetricFamily("upcall_task_disk_declared_bytes", "Volumes as declared", labels=own)
        filling = GaugeMetricFamily(
            "upcall_task_disks_filling", "Volumes (and sandbox) nearly full or over", labels=own
        )
        incarnation = GaugeMetricFamily("upcall_member_incarnation", "Of the newest task", labels=own)
        for task in self._views.tasks():
            cpu.add_metric([task.service, task.name], task.cpu_used)
            memory.add_metric([task.service, task.name], task.memory_used_mib * (1 << 20))
            disk.add_metric([task.service, task.name], task.disk_used_mib * (1 << 20))
            bound.add_metric([task.service, task.name], float(task.disk_mib << 20))
            filling.add_metric([task.service, task.name], len(task.filling))
            incarnation.add_metric([task.service, task.name], task.incarnation)
        yield cpu
        yield memory
        yield disk
        yield bound
        yield filling
        yield incarnation
        operations = GaugeMetricFamily("upcall_operations", "Live operations", labels=["kind", "class", "state"])
        counts: dict[tuple[str, str, str], int] = {}
        for operation in self._views.operations():
            key = (operation.kind, operation.klass, operation.state)
            counts[key] = counts.get(key, 0) + 1
        for labels, count in sorted(counts.items()):
            operations.add_metric(list(labels), count)
        yield operations
        yield GaugeMetricFamily("upcall_operations_waiting", "Operations that wait", value=len(self._views.waiting()))
        stuck = self._views.stuck()
        yield GaugeMetricFamily("upcall_operations_stuck", "Live operations that need a person", value=stuck)


def _schedules(services: list[ServiceView]) -> Iterator[Metric]:
    """What is done again and again: for an alarm on what was not done."""
    of = ["service", "schedule"]
    comes = GaugeMetricFamily("upcall_schedule_next_timestamp_seconds", "When it begins next; 0: never", labels=of)
    done = GaugeMetricFamily("upcall_schedule_done_timestamp_seconds", "When it ended well last; 0: never", labels=of)
    late = GaugeMetricFamily("upcall_schedule_late", "1 where none ended well within its time", labels=of)
    failed = GaugeMetricFamily("upcall_schedule_failed", "1 where the last one failed", labels=of)
    for service in services:
        for one in service.schedules:
            names = [service.name, one.name]
            comes.add_metric(names, one.next)
            done.add_metric(names, one.done)
            late.add_metric(names, float(one.late))
            failed.add_metric(names, float(one.outcome == "failed"))
    yield from (comes, done, late, failed)


def exposition(views: Views) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collector(views))
    return generate_latest(registry)
