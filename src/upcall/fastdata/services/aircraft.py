"""``aircraft``: the outside world as a task, so that a laptop needs no aircraft."""

import hashlib
from typing import Literal

from upcall.fastdata.recordings import lock_bytes
from upcall.fastdata.services import libraries
from upcall.protocol.declaration import Artifact, Declaration, Resources
from upcall.service import Field, Member, Need, Operation, Pod, Service, ServiceOptions, Verdict, accept

CPUS_AT_128_HZ = 0.02
"""Of 20,000 sensors; 0.11 of a core were measured at 1,024 Hz."""
BUFFER_MIB_A_SECOND = 3
"""Packed frames of 20,000 sensors at 128 Hz take about 3 MB a second; noisier ones more."""


GRACE_S = 20
"""At its end, for what is not acknowledged yet."""


class Aircraft(Service):
    """A recorded flight whose 20,000 modelled sensors are read by the wall clock and sent to an ingest."""

    class Options(ServiceOptions):
        flight: Literal["AIB232E", "ELY1747"] = Field("AIB232E", description="the recorded flight")
        seed: int = Field(1, ge=0, le=2**31 - 1, description="of noise and faults")
        rate_hz: Literal[64, 128, 256, 512, 1024] = Field(128, description="samples a second of each sensor")
        blocks: int = Field(20, ge=1, le=20, description="blocks of 1,000 sensors that fly")
        begin_s: int = Field(0, ge=0, le=80_000, description="second of the recording to begin with")
        faults: Literal["none", "steady", "dense"] = Field("steady", description="how many labelled faults")
        buffer_s: int = Field(120, ge=10, le=3600, description="seconds of unacknowledged readings to keep")
        stop_after_s: int = Field(0, ge=0, description="seconds of readings to take, then end; 0: fly on")

    options: Options
    ingest = Need("ingest", endpoint="frames")

    def pods(self) -> list[Pod]:
        return [Pod("aircraft", names=("flight",))]

    def task(self, member: Member) -> Declaration:
        options = self.options
        share = options.rate_hz / 128 * options.blocks / 20
        memory_mib = 160 + int(options.buffer_s * BUFFER_MIB_A_SECOND * share)
        return Declaration(
            command=(
                *("{{python}}", "-m", "upcall.fastdata.aircraft"),
                *("--flight", "{{artifact.flight.file}}", "--ingest", str(self.ingest)),
                *("--token-file", "{{secret.link}}", "--seed", str(options.seed)),
                *("--rate", str(options.rate_hz), "--blocks", str(options.blocks)),
                *("--begin-s", str(options.begin_s), "--faults", options.faults),
                *("--buffer-s", str(options.buffer_s), "--stop-after-s", str(options.stop_after_s)),
                *("--grace-s", str(GRACE_S)),
            ),
            artifacts=(self._recording(),),
            secrets=(self.ingest.secret("link", "{}"),),
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            resources=Resources(cpus=max(0.05, CPUS_AT_128_HZ * share), memory_mib=memory_mib, disk_mib=64),
            restart="never" if options.stop_after_s else "always",
            grace_s=GRACE_S + 5,
        )

    def _recording(self) -> Artifact:
        digest = hashlib.sha256(lock_bytes(self.options.flight)).hexdigest()
        return Artifact(name="flight", kind="wheels", lock=digest)

    @classmethod
    def blobs(cls) -> dict[str, bytes]:
        locks = [lock_bytes(flight) for flight in ("AIB232E", "ELY1747")]
        return {hashlib.sha256(data).hexdigest(): data for data in locks}

    @classmethod
    def libraries(cls) -> bytes:
        return libraries()

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        """What it has not handed over lies in its memory alone: at the end it waits until that is acknowledged, and
        the next start is another flight."""
        return accept()
