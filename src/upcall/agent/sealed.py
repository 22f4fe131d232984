"""Artifacts of an agent that runs in an image: what lies in it, and nothing to be fetched.

What the image was not made of comes from elsewhere, whole: artifacts refer to each other by their paths.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from upcall.agent.sources import ArtifactSource, Report
from upcall.artifacts import sealed
from upcall.protocol.declaration import Artifact


class SealedArtifacts:
    """Those of the image, else those of another source."""

    def __init__(self, otherwise: ArtifactSource, index: Path = sealed.INDEX) -> None:
        self._index = sealed.index_of(index)
        self._otherwise = otherwise

    async def realise(self, artifacts: Sequence[Artifact], report: Report) -> dict[str, tuple[str, Mapping[str, str]]]:
        found = self._index.realised(artifacts) if self._index is not None else None
        if found is not None:
            return {name: (str(one.path), one.properties) for name, one in found.items()}
        if self._index is not None and artifacts:
            report(f"the image is of other locks ({', '.join(self._index.packages)}): fetching", 0, 0)
        return await self._otherwise.realise(artifacts, report)
