"""A shelf of books, which are kept at the master for want of a disk; it is backed up and restored."""

from upcall.service import Declaration, Member, Pod, Resources, Service, action
from upcall.service.backup import BackupInto, StoredBackup

BOOKS = "books"


class Shelf(Service):
    """Keeps books."""

    def pods(self) -> list[Pod]:
        return [Pod("shelf", count=1)]

    def task(self, member: Member) -> Declaration:
        return Declaration(command=("sleep", "1000000"), resources=Resources(memory_mib=32))

    @action
    async def put(self, name: str, text: str) -> None:
        """Puts a book there."""
        await self.state.update(BOOKS, lambda old: {**old, name: text}, {})

    @action
    async def books(self) -> dict[str, str]:
        """All of them."""
        found: dict[str, str] = await self.state.get(BOOKS, {})
        return found

    async def backup(self, into: BackupInto) -> None:
        into.promise("every book as it stood when it was read")
        for name, text in (await self.books()).items():
            part = into.known.get(name)
            if part is not None and part.about == {"text": text}:
                into.keep(name)
            else:
                await self.blocking(into.add, name, text, {"text": text})

    async def in_the_way(self, stored: StoredBackup) -> list[str]:
        return sorted(set(await self.books()) & {part.name for part in stored.parts()})

    async def restore(self, stored: StoredBackup) -> None:
        for part in stored.parts():
            await self.put(part.name, (await self.blocking(stored.read, part)).decode())
