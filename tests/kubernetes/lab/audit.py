"""Who calls the API server, and for what: its own audit log, read."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass
class Audit:
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "audit.log"

    def settings(self) -> tuple[str, ...]:
        """Of the API server."""
        policy = self.folder / "audit.yaml"
        rules = {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
        policy.write_text(yaml.safe_dump(rules))
        return (f"--audit-policy-file={policy}", f"--audit-log-path={self.log}", "--audit-log-maxsize=0")

    def requests(self) -> dict[str, dict[str, Any]]:
        """Each once, by its number: a watch is said when it begins and when it ends, anything else when it is over."""
        found: dict[str, dict[str, Any]] = {}
        if self.log.exists():
            for line in self.log.read_text(errors="replace").splitlines():
                try:
                    said = json.loads(line)
                except ValueError:
                    continue  # it is being written
                found.setdefault(said["auditID"], said)
        return found


def by_what(requests: list[dict[str, Any]]) -> Counter[str]:
    """``watch pods``: how many."""
    found: Counter[str] = Counter()
    for one in requests:
        of = one.get("objectRef") or {}
        what = "/".join(word for word in (of.get("resource", one["requestURI"]), of.get("subresource")) if word)
        found[f"{one['verb']} {what}"] += 1
    return found
