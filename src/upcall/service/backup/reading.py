"""What an expert's ``restore`` reads from: a backup, each byte checked as it is read."""

from collections.abc import Iterator

from upcall.protocol.errors import NotFound
from upcall.service.backup.archive import Archive
from upcall.service.backup.manifest import Chunk, Corrupt, Manifest, Part
from upcall.service.backup.writing import Say, Work


class StoredBackup(Work):
    """One backup that is whole. Blocking; from any thread."""

    def __init__(
        self,
        archive: Archive,
        manifest: Manifest,
        *,
        over: frozenset[str] = frozenset(),
        resumed: bool = False,
        mark: str = "",
        say: Say = lambda text, share: None,
    ) -> None:
        super().__init__(say)
        self._archive, self.manifest = archive, manifest
        self.over = over
        """What a person said that may go for it, of what ``in_the_way`` gave."""
        self.resumed = resumed
        """It had begun before, here: what stands may be half of it."""
        self.mark = mark
        """Of a trial: a few letters that stand in the names of what it makes, and of nothing else that there is."""
        self._parts = {part.name: part for part in manifest.parts}

    def parts(self, begins: str = "") -> list[Part]:
        """All whose names begin so."""
        return [part for part in self.manifest.parts if part.name.startswith(begins)]

    def part(self, name: str) -> Part:
        if name not in self._parts:
            raise NotFound(f"no part {name!r} in {self.manifest.id}", where=self._archive.where)
        return self._parts[name]

    def pieces(self, part: Part | str) -> Iterator[bytes]:
        found = self.part(part) if isinstance(part, str) else part
        for chunk in found.chunks:
            self.go_on()
            yield self._archive.get(chunk)

    def read(self, part: Part | str) -> bytes:
        return b"".join(self.pieces(part))

    def verify(self) -> int:
        """Reads all of it back. Gives how many bytes; :class:`Corrupt` names the first part that is not well."""
        done, of, seen = 0, self.manifest.size, set()
        for part in self.manifest.parts:
            for chunk in part.chunks:
                self.say(f"verified {done >> 20} of {of >> 20} MiB", done / of if of else 1.0)
                if chunk.sha256 not in seen:
                    self._checked(part, chunk)
                    seen.add(chunk.sha256)
                done += chunk.size
        return done

    def _checked(self, part: Part, chunk: Chunk) -> None:
        try:
            self._archive.get(chunk)
        except Corrupt as error:
            raise Corrupt(
                f"{error.problem.message}: {part.name} of {self.manifest.id} cannot be restored",
                where=self._archive.where,
                expected=f"`upcall backup {self.manifest.service} --full` writes all of it anew",
            ) from error
