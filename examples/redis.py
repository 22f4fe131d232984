"""Redis with replicas, whose stop moves the primary first: ``upcall install examples/redis.py --set servers=3``.

It runs Debian's ``redis-server``. Clients write at the endpoint ``primary``, which follows that role.
"""

import asyncio
import re

import upcall.service as up


class Redis(up.Service):
    """A primary and its replicas, asynchronous; each has on disk what it acknowledges."""

    class Options(up.ServiceOptions):
        servers: up.Annotated[int, up.size("server")] = up.Field(3, ge=1, le=9, description="the primary among them")
        memory_mib: up.Annotated[int, up.amount("memory")] = up.Field(64, ge=16, le=65_536, description="of each")
        program: str = up.Field("redis-server", description="redis-cli is beside it")

    options: Options
    before_stop_s = 60.0

    def pods(self) -> list[up.Pod]:
        ends = [up.Endpoint(name, "redis", user="default", secret=self.own_secret("password"), role=role)
                for name, role in (("primary", "primary"), ("all", ""))]  # fmt: skip
        return [up.Pod("server", count=self.options.servers, endpoints=ends, joins="one by one")]

    def task(self, member: up.Member) -> up.Declaration:
        # It follows nobody and answers nobody until it is told whom it follows: no server that returns takes writes.
        # Each write is on disk before its answer: by default Redis answers first while the disk is busy.
        settings = (
            "bind {{address}}\nport {{port.redis}}\ndir {{volume.data}}\ninclude {{secret.password}}\n"
            "appendonly yes\nappendfsync always\nreplicaof {{address}} 1\nreplica-serve-stale-data no\n"
            "replica-announce-ip {{address}}\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n"
        )
        return up.Declaration(
            command=(self.options.program, "{{sandbox}}/redis.conf"),
            files=(up.File(path="redis.conf", text=settings),),
            env={"PASSWORD_FILE": "{{secret.password}}"},
            ports=(up.Port(name="redis", number=6379),),
            secrets=(up.Secret(name="password", ref=self.own_secret("password", "requirepass {}\nmasterauth {}")),),
            volumes=(up.Volume(name="data", size_mib=256),),
            resources=up.Resources(cpus=0.1, memory_mib=self.options.memory_mib),
            ready=up.Check(tcp="redis"),
            health=up.Check(tcp="redis", interval_s=2),
        )

    # -- who leads, and who follows -----------------------------------------------------------------------------------

    async def after_ready(self, member: up.Member) -> None:
        primary = self.holder("primary") or self.members.of("server")[0]
        if member.name == primary.name:
            await self.lead(member)
        elif primary.ready:
            await self.follow(member, primary)

    async def lead(self, primary: up.Member) -> None:
        await self.ask(primary, "replicaof no one")
        # Who came while it still followed nobody may have come by the old protocol, which acknowledges nothing.
        await self.ask(primary, "client kill type replica")
        await self.give_role("primary", primary)
        for other in self.members.without(primary):
            if other.ready:
                await self.follow(other, primary)

    async def follow(self, replica: up.Member, primary: up.Member) -> None:
        """Until it has all that the primary has, and says so: who never does could not take its place."""
        await self.ask(replica, f"replicaof {primary.address} {primary.at('redis').rpartition(':')[2]}")
        told = re.compile(rf"ip={re.escape(replica.address)},port=\d+,state=online,offset=[1-9]")
        while not told.search(await self.ask(primary, "info replication")):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.2)

    async def before_stop(self, member: up.Member, why: up.Operation) -> None:
        """The primary hands over: it takes no writes until the next one has all of them, and leads."""
        if heir := self.heir_of(member):
            await self.ask(member, f"failover to {heir.address} {heir.at('redis').rpartition(':')[2]} timeout 20000")
            while not (await self.ask(heir, "role")).startswith("master"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await self.lead(heir)

    def heir_of(self, member: up.Member) -> up.Member | None:
        """Who leads when this one does not; None: it does not lead, or there is nobody else."""
        primary = self.holder("primary")
        others = [other for other in self.members.without(member) if other.back]
        return others[0] if others and primary and primary.name == member.name else None

    async def leave(self, member: up.Member | None, why: up.Operation) -> None:
        """All that it has, its replicas have too."""
        if member is not None:
            await self.before_stop(member, why)

    async def on_lost(self, member: up.Member, why: up.Operation) -> up.Verdict:
        """A process that died is back in a moment, with all that it had. With its node gone, a replica leads."""
        if member.state != "ended" and (heir := self.heir_of(member)):
            await self.lead(heir)
        return await super().on_lost(member, why)

    async def ask(self, member: up.Member, words: str) -> str:
        host, _, port = member.at("redis").rpartition(":")
        line = 'REDISCLI_AUTH=$(sed -n "s/^requirepass //p" "$PASSWORD_FILE") exec "$@"'
        client = self.options.program.replace("redis-server", "redis-cli")
        return (await member.run(("sh", "-c", line, "sh", client, "-h", host, "-p", port, *words.split()))).output
