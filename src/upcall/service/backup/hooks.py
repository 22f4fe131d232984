"""The hooks of backup and restore; a service that writes none of them has no backups, and says so."""

from collections.abc import Mapping

from upcall.protocol.errors import Invalid
from upcall.service.actions import Action, beside
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.writing import BackupInto


class Backups:
    """The part of a service's class that is about backups."""

    @classmethod
    def sdk_actions(cls) -> Mapping[str, Action]:
        """What people may ask of every service that says how it is backed up."""
        if cls.backup is Backups.backup:
            return {}
        from upcall.service.backup.asked import ACTIONS, TRY

        tries = cls.check_backup is not Backups.check_backup
        return beside(cls, {name: asked for name, asked in ACTIONS.items() if tries or name != TRY})

    async def backup(self, into: BackupInto) -> None:
        """Puts all that the service holds into ``into`` (``add``), or says that it is as it was (``keep``); says what
        that promises (``promise``), and how far it is (``say``). Called again after a death of the host: what
        ``into.known`` has need not be read again."""
        raise NotImplementedError

    async def restore(self, stored: StoredBackup) -> None:
        """Makes the service hold what ``stored`` has, deleting what ``stored.over`` names first. Called again after a
        death of the host (``stored.resumed``): it goes on, or begins anew. Returns when it holds, confirmed."""
        raise Invalid("its package has no restore", where=type(self).__name__)

    async def in_the_way(self, stored: StoredBackup) -> list[str]:
        """Names of what the service holds and a restore would replace; a person has to name each of them. Raises
        ``Conflict`` for a backup that can not be restored here at all. Default: all that is there."""
        return ["everything"]

    async def check_backup(self, stored: StoredBackup) -> str:
        """A trial restore, beside what is there, which is gone when it returns; what it found, in words. Raises
        ``Conflict`` when the backup is not good. ``stored.mark`` stands in the name of whatever it makes."""
        raise Invalid("its package has no trial restore", where=type(self).__name__)

    async def clear_trial(self, mark: str) -> None:
        """Takes away what the trial of this mark may have left, which did not return: nothing else. Called again until
        it returns, also by the next host. Default: there is nothing to take away."""
