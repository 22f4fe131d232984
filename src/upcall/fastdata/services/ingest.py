"""``ingest``: takes frames from the aircraft, stores them in Kafka, acknowledges only what is stored there."""

from upcall.fastdata.services import libraries
from upcall.protocol.declaration import Check, Declaration, Port, Resources, Secret
from upcall.service import Endpoint, Field, Member, Need, Operation, Pod, Service, ServiceOptions, Verdict, accept

PORT = 7400


class Ingest(Service):
    """Takes frames from an aircraft and stores them in Kafka; acknowledges what Kafka has acknowledged."""

    class Options(ServiceOptions):
        topic: str = Field("frames", max_length=200, description="topic of the frames")
        runs_topic: str = Field("runs", max_length=200, description="compacted topic of the runs")
        dead_topic: str = Field("frames-dead", max_length=200, description="topic of what could not be read")
        cpus: float = Field(0.2, gt=0, le=64, description="share of the cores")
        memory_mib: int = Field(192, ge=128, le=4096, description="memory of the process")

    options: Options
    kafka = Need("kafka", endpoint="client")

    def pods(self) -> list[Pod]:
        link = Endpoint("frames", user="aircraft", secret=self.own_secret("link"))
        return [Pod("receiver", endpoints=[link])]

    def task(self, member: Member) -> Declaration:
        options = self.options
        return Declaration(
            command=("{{python}}", "-m", "upcall.fastdata.ingest"),
            env={
                "UPCALL_INGEST_BOOTSTRAP_SERVERS": str(self.kafka),
                "UPCALL_INGEST_KAFKA_LOGIN_FILE": "{{secret.kafka}}",
                "UPCALL_INGEST_LISTEN": "{{address}}:{{port.frames}}",
                "UPCALL_INGEST_TOKEN_FILE": "{{secret.link}}",
                "UPCALL_INGEST_TOPIC": options.topic,
                "UPCALL_INGEST_RUNS_TOPIC": options.runs_topic,
                "UPCALL_INGEST_DEAD_TOPIC": options.dead_topic,
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            },
            ports=(Port(name="frames", number=PORT),),
            secrets=(Secret(name="link", ref=self.own_secret("link")), self.kafka.secret("kafka")),
            resources=Resources(cpus=options.cpus, memory_mib=options.memory_mib, disk_mib=64),
            ready=Check(tcp="frames", interval_s=0.5),
            health=Check(tcp="frames", interval_s=5),
            # Kafka may be away for longer than a start; the process waits for it.
            start_timeout_s=600,
            grace_s=15,
        )

    @classmethod
    def libraries(cls) -> bytes:
        return libraries()

    async def may_stop(self, member: Member, why: Operation) -> Verdict:
        """The aircraft keeps what is not acknowledged; a stop costs nothing but lag."""
        return accept()
