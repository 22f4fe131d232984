"""The service that the crash points are tried on: it writes everything that an expert may write of a change."""

import asyncio

from upcall.service import (
    Declaration,
    Field,
    Member,
    Operation,
    Pod,
    Service,
    ServiceOptions,
    Update,
    Verdict,
    Volume,
    accept,
)


class ShelfOptions(ServiceOptions):
    count: int = Field(3, ge=1, le=9)
    size_mib: int = 64


class Shelf(Service):
    """Members with data, which moves before they leave."""

    options: ShelfOptions
    settle_s = 5.0

    def pods(self) -> list[Pod]:
        return [Pod("shelf", count=self.options.count)]

    def task(self, member: Member) -> Declaration:
        return Declaration(
            command=("serve", self.version, str(self.options.size_mib)),
            volumes=(Volume(name="data", size_mib=10),),
            artifacts=self.artifacts(),
        )

    async def may_update(self, update: Update, why: Operation) -> Verdict:
        return accept()

    async def may_scale_in(self, member: Member, why: Operation) -> Verdict:
        return accept()

    async def before_stop(self, member: Member, why: Operation) -> None:
        await asyncio.sleep(1)

    async def after_ready(self, member: Member) -> None:
        await self.state.set(f"ready.{member.name}", member.incarnation)

    async def leave(self, member: Member | None, why: Operation) -> None:
        for step in range(3):
            self.progress(f"{step} of 3", step / 3)
            await asyncio.sleep(1)
