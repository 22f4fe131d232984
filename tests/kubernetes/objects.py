"""Objects that tests make."""

from typing import Any

from upcall.substrate.kubernetes.client.kinds import Object


def pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    container = {"name": "main", "image": "example.invalid/nothing:1"}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 5} | spec,
    }


def settings(name: str, **data: str) -> Object:
    return {"metadata": {"name": name}, "data": data}
