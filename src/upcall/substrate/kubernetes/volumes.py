"""The claims of members: which set of volumes a place has, what is kept of whom, what is to go.

A set has one number for a member, its *fence*, that is never used again, so a claim's name is never that of another
set. To which place it belongs is an annotation of each claim: it follows when a set is taken back by another place.
Sets of places before the present one are aside: nobody has them, and they stay until a person drops them or their
member is released. What is released is deleted, or kept until a wall time that stands on the claim; the ledger asks for
the release again at each start, so it is carried out although the master dies in between.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from upcall.protocol.declaration import Declaration
from upcall.substrate.interface import Output, SetState, VolumeSet, VolumesSetAside
from upcall.substrate.kubernetes import manifest, names
from upcall.substrate.kubernetes.asking import Asking
from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.objects import Claim
from upcall.substrate.kubernetes.quantities import mib

NO_CLASS: Final = (
    "volume {} of it has no storage class: none is named, and the cluster has no default one (`upcall up --on"
    " kubernetes --storage-class NAME`, or `kubectl annotate storageclass NAME"
    " storageclass.kubernetes.io/is-default-class=true`; it goes on by itself)"
)


class Volumes:
    def __init__(self, cache: Cache, asking: Asking, settings: Settings) -> None:
        self._cache, self._asking, self._settings = cache, asking, settings
        self._released: dict[str, float] = {}
        """Member -> wall time until which what it had last is kept; in the past: not at all."""
        self._fences: dict[str, int] = {}
        """Member -> the highest number that was given out in this life, perhaps to what is not there yet."""
        self._new: dict[tuple[str, int], int] = {}
        """Member and place -> the number of a set that is being made."""

    # -- a place's set ----------------------------------------------------------------------------------------------

    def bring(self, member_id: str, declaration: Declaration, place: int, now_s: float, out: Output) -> dict[str, str]:
        """Volume -> its claim, for all that are declared; what is missing is asked for."""
        if not declaration.volumes:
            return {}
        fence = self._fence(member_id, place)
        self.belongs(member_id, fence, place, now_s, out)
        found: dict[str, str] = {}
        for volume in declaration.volumes:
            name = names.claim_name(member_id, volume.name, fence)
            found[volume.name] = name
            if name not in self._cache.claims and self._asking.is_free("PersistentVolumeClaim", name, now_s):
                made = manifest.claim(member_id, volume, fence, place, self._settings)
                self._asking.apply("PersistentVolumeClaim", made, out, about=member_id)
        return found

    def why_not(self, member_id: str, declaration: Declaration, place: int) -> str:
        """Why it has not all of its volumes, where a scheduler would only say that; empty: nothing is known."""
        if not declaration.volumes:
            return ""
        fence = self._fence(member_id, place)
        for volume in declaration.volumes:
            name = names.claim_name(member_id, volume.name, fence)
            claim = self._cache.claims.get(name)
            if claim is None and (refused := self._asking.reason("PersistentVolumeClaim", name)):
                return refused
            if claim is not None and claim.has_no_class:
                return NO_CLASS.format(volume.name)
        return ""

    def waits_for(self, member_id: str, declaration: Declaration, place: int) -> str:
        """Beside what a scheduler says: it names no claim and no storage class. Whether somebody makes volumes of that
        one, or there is none of the name, is not ours to see."""
        if not declaration.volumes:
            return ""
        fence = self._fence(member_id, place)
        for volume in declaration.volumes:
            claim = self._cache.claims.get(names.claim_name(member_id, volume.name, fence))
            if claim is not None and claim.status.phase == "Pending" and not claim.spec.volume_name:
                return f"volume {volume.name} of it waits for one of storage class {claim.spec.storage_class_name}"
        return ""

    def _fence(self, member_id: str, place: int) -> int:
        claims = self._cache.claims_of(member_id)
        own = [claim.number(names.FENCE) for claim in claims if claim.number(names.PLACE) == place and not _kept(claim)]
        if own:
            self._new.pop((member_id, place), None)
            return max(own)
        if (member_id, place) in self._new:
            return self._new[member_id, place]
        kept = [claim.number(names.FENCE) for claim in claims if _kept(claim)]
        used = [claim.number(names.FENCE) for claim in claims]
        fence = max(kept) if kept else max((*used, self._fences.get(member_id, 0))) + 1
        self._fences[member_id] = max(fence, self._fences.get(member_id, 0))
        self._new[member_id, place] = fence
        return fence

    def belongs(self, member_id: str, fence: int, place: int, now_s: float, out: Output) -> bool:
        """A set is this place's from now on. Whether there is such a set."""
        found = [claim for claim in self._cache.claims_of(member_id) if claim.number(names.FENCE) == fence]
        for claim in found:
            if claim.number(names.PLACE) != place or _kept(claim):
                self._note(claim, {names.PLACE: str(place), names.KEPT_UNTIL: None}, member_id, now_s, out)
        return bool(found)

    def set_aside(self, member_id: str, place: int, out: Output) -> None:
        """The member has this place now: the sets of those before are told of."""
        for fence, claims in self._sets(member_id):
            if claims[0].number(names.PLACE) < place and not _kept(claims[0]):
                volumes = tuple(claim.noted(names.VOLUME) for claim in claims)
                reason = f"its place {claims[0].number(names.PLACE)} was given up"
                out.up.append(
                    VolumesSetAside(member_id=member_id, fence=fence, node="", volumes=volumes, reason=reason)
                )

    # -- the end of a member ----------------------------------------------------------------------------------------

    def release(self, member_id: str, until_wall_s: float) -> None:
        self._released[member_id] = until_wall_s
        for known in [key for key in self._new if key[0] == member_id]:
            del self._new[known]

    def reserved(self, member_id: str) -> None:
        """The member is wanted again: what is kept of it is its own as soon as it is launched."""
        self._released.pop(member_id, None)

    def look(self, member_id: str, now_s: float, wall_s: float, *, wanted: bool, out: Output) -> None:
        """Carries a release out, and deletes what was kept for long enough."""
        released = self._released.get(member_id)
        sets = list(self._sets(member_id))
        if released is not None:
            newest = max((claims[0].number(names.PLACE) for _, claims in sets if not _kept(claims[0])), default=0)
            until = f"{released:.0f}"
            for _, claims in sets:
                keep = claims[0].number(names.PLACE) == newest and released > wall_s
                for claim in [claim for claim in claims if not _kept(claim)]:
                    if keep:
                        self._note(claim, {names.KEPT_UNTIL: until}, member_id, now_s, out)
                    else:
                        self._go(claim, member_id, now_s, out)
            if all(_kept(claim) or claim.metadata.deletion_timestamp for _, claims in sets for claim in claims):
                self.reserved(member_id)
        if wanted and self._settings.storage_class:
            for claim in (claim for _, claims in sets for claim in claims if claim.has_no_class):
                self._name_class(claim, member_id, now_s, out)
        if not wanted:
            for _, claims in sets:
                for claim in claims:
                    if _kept(claim) and float(claim.noted(names.KEPT_UNTIL)) <= wall_s:
                        self._go(claim, member_id, now_s, out)

    def kept_until(self, member_id: str) -> float | None:
        """When something that is kept of it is due to go."""
        untils = [float(c.noted(names.KEPT_UNTIL)) for c in self._cache.claims_of(member_id) if _kept(c)]
        return min(untils, default=None)

    def drop(self, member_id: str, fence: int, now_s: float, out: Output) -> None:
        """A person gives up what nobody has."""
        for claim in self._cache.claims_of(member_id):
            if claim.number(names.FENCE) == fence:
                self._go(claim, member_id, now_s, out)

    def _note(
        self, claim: Claim, annotations: Mapping[str, str | None], member_id: str, now_s: float, out: Output
    ) -> None:
        if self._asking.is_free("PersistentVolumeClaim", claim.name, now_s):
            change = {"metadata": {"uid": claim.uid, "annotations": dict(annotations)}}
            self._asking.merge("PersistentVolumeClaim", claim.name, change, out, about=member_id)

    def _name_class(self, claim: Claim, member_id: str, now_s: float, out: Output) -> None:
        """It was made when none was named and the cluster had no default; since then somebody has named one. Only
        from none to one may a claim's class change."""
        if self._asking.is_free("PersistentVolumeClaim", claim.name, now_s):
            spec = {"storageClassName": self._settings.storage_class}
            change = {"metadata": {"uid": claim.uid}, "spec": spec}
            self._asking.merge("PersistentVolumeClaim", claim.name, change, out, about=member_id)

    def _go(self, claim: Claim, member_id: str, now_s: float, out: Output) -> None:
        if self._asking.is_free("PersistentVolumeClaim", claim.name, now_s) and not claim.metadata.deletion_timestamp:
            self._asking.delete("PersistentVolumeClaim", claim.name, claim.uid, None, out, about=member_id)

    # -- for people -------------------------------------------------------------------------------------------------

    def _sets(self, member_id: str) -> Iterator[tuple[int, list[Claim]]]:
        claims = self._cache.claims_of(member_id)
        for fence in sorted({claim.number(names.FENCE) for claim in claims}):
            yield fence, [claim for claim in claims if claim.number(names.FENCE) == fence]

    def sets(self, member_id: str, places: frozenset[int]) -> Iterator[VolumeSet]:
        """``places``: that the member has, or is about to have."""
        for fence, claims in self._sets(member_id):
            first = claims[0]
            state: SetState = "in use" if first.number(names.PLACE) in places else "aside"
            if first.metadata.deletion_timestamp:
                state = "deleting"
            elif _kept(first):
                state = "kept"
            yield VolumeSet(
                member_id=member_id,
                fence=fence,
                node="",
                state=state,
                volumes=tuple(claim.noted(names.VOLUME) for claim in claims),
                size_mib=sum(mib(claim.spec.resources.requests.get("storage", "0")) for claim in claims),
                node_state="",
                until_wall_s=float(first.noted(names.KEPT_UNTIL, "0")),
            )


def _kept(claim: Claim) -> bool:
    return bool(claim.noted(names.KEPT_UNTIL))
