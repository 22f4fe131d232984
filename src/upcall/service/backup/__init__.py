"""Backup and restore: what an expert's ``backup`` and ``restore`` stand on.

An *archive* is a folder or a bucket (:mod:`place`) of chunks, each named by the SHA-256 of what is in it
(:mod:`archive`). A backup is a manifest (:mod:`manifest`): which parts there are, of which chunks, and what they
promise together. It is written last and in one piece, so there are whole backups and none else. What was written before
is never written again: a chunk that is there stays, and a backup that was interrupted leaves notes, from which the next
one goes on.
"""

from upcall.service.backup.hooks import Backups
from upcall.service.backup.manifest import Manifest, Part
from upcall.service.backup.reading import StoredBackup
from upcall.service.backup.writing import BackupInto

__all__ = ["BackupInto", "Backups", "Manifest", "Part", "StoredBackup"]
