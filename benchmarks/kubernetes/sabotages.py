"""What must turn the report red, each for its own promise.

Masters, hosts and pods of a test are processes of their own. What is broken in them is a few lines that every Python of
that run carries out when it starts (``sitecustomize``), from a folder that stands first in its path.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.kubernetes.suites import FOLDER


@dataclass(frozen=True)
class Sabotage:
    cell: str
    breaks: str
    """The figure that turns red."""
    lines: str = ""
    drained_by: str = ""
    """Whose consent is played in the place of ours."""

    def folder(self, name: str) -> Path | None:
        """With its lines; none where it has none."""
        if not self.lines:
            return None
        folder = (FOLDER / f"sabotage-{name}").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(self.lines)
        return folder


SABOTAGES: Final[dict[str, Sabotage]] = {
    "claims-too-much": Sabotage(
        "paths",
        "paths_claimed_equals_observed",
        "from upcall.substrate.kubernetes import substrate\nsubstrate.FIRMNESS['kill'] = 'intercepted'\n",
    ),
    "evictions-pass": Sabotage(
        "drain",
        "drain_failed_requests",
        "from upcall.substrate.kubernetes.evictions import serving\n"
        "from upcall.substrate.kubernetes.evictions.judging import Verdict\n"
        "serving.judge = lambda asked, pod, *more: Verdict(True, release=pod is not None and not asked.dry_run)\n",
    ),
    "upcalls-are-readiness": Sabotage("drain", "drain_duration_ratio", drained_by="readiness"),
    "lease-lasts-a-minute": Sabotage(
        "failover", "failover_s", "from upcall.kubernetes.records import leader\nleader.LEASE_S = 60\n"
    ),
    "renews-each-second": Sabotage(
        "idle", "api_calls_per_minute_idle", "from upcall.kubernetes.records import leader\nleader.RENEW_S = 1.0\n"
    ),
    "carries-ballast": Sabotage(
        "idle",
        "control_plane_memory_mib",
        "import sys\nif 'upcall.master' in sys.orig_argv:\n    sys.ballast = b'x' * (200 << 20)\n",
    ),
    "webhook-thinks": Sabotage(
        "webhook",
        "webhook_p99_ms",
        "import time\n"
        "from upcall.substrate.kubernetes.evictions import serving\n"
        "judge = serving.judge\n"
        "serving.judge = lambda *given: time.sleep(0.015) or judge(*given)\n",
    ),
    "looks-at-all-pods": Sabotage(
        "scale",
        "scale_pod_ratio",
        "from upcall.substrate.kubernetes.cache import Cache\n"
        "Cache.pods_of = lambda self, member: [one for one in self.pods.values() if one.member_id == member]\n",
    ),
    "image-knows-the-time": Sabotage(
        "image",
        "image_reproducible",
        "import time\nfrom upcall.image import documents\ndocuments.CREATED = str(time.time())\n",
    ),
}
