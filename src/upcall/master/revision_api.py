"""The door for changes: another revision of a service, what it would do, and all that were asked for."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request

from upcall.master import documents, finalizing, goals, going_back, granting, history, keeping, revisions, unregistered
from upcall.master import records as r
from upcall.master.driver import Driver
from upcall.master.http import caller, told_when_durable
from upcall.master.service_calls import ServiceCalls
from upcall.master.services import find
from upcall.master.state import Service
from upcall.master.tokens import Principal
from upcall.master.transaction import Transaction
from upcall.master.views import Views
from upcall.protocol import operator as view
from upcall.protocol.errors import Invalid


def router(core: Driver, views: Views, services: ServiceCalls, principal: Callable[[Request], Principal]) -> APIRouter:
    api = APIRouter(
        prefix="/v1/services/{service}", tags=["operator API"], dependencies=[told_when_durable(core.durable)]
    )
    Viewer = Annotated[Principal, Depends(caller(principal, "viewer"))]
    Operator = Annotated[Principal, Depends(caller(principal, "operator"))]

    @api.post("/update")
    async def update(service: str, who: Operator, asked: view.Update) -> view.OperationView:
        keeping.must_change(find(core, service))
        if asked.unregistered is not None:
            raise Invalid("a package that is not registered", where="unregistered", expected="a package's version")
        derived = await goals.of_update(core, services.deriving, service, asked)

        def updated(tx: Transaction) -> str:
            # Of an earlier revision, too: what it was given then it may have to do without by now.
            wanted = revisions.prepared(core, find(core, service), asked, who.name, core.wall(), derived)
            granting.check(core, services.secrets, service, wanted.secrets, who)
            return revisions.update(tx, service, asked, who.name, derived)

        operation = await core.turn(updated)
        return views.operation(views.find_operation(operation))

    @api.post("/keep")
    async def keep(service: str, who: Operator, said: view.Keep) -> view.ServiceView:
        """All that the document says which keeps the service, or from now on is to: idempotent."""
        documents.must_be_kept_by(find(core, service), said)
        derived = await goals.of_update(core, services.deriving, service, documents.as_update(said))

        def kept(tx: Transaction) -> Service:
            granting.check(core, services.secrets, service, said.secrets, who)
            return documents.keep(tx, service, said, who.name, derived)

        return views.service(await core.turn(kept))

    @api.post("/unkeep")
    async def unkeep(service: str, who: Operator, said: view.Unkeep) -> view.ServiceView:
        return views.service(await core.turn(lambda tx: documents.unkeep(tx, find(core, service), said.what, who.name)))

    @api.post("/finalize")
    async def finalize(service: str, who: Operator, asked: view.Ask) -> view.OperationView:
        operation = await core.turn(lambda tx: finalizing.finalize(tx, service, asked, who.name))
        return views.operation(views.find_operation(operation))

    @api.post("/update/preview")
    async def preview(service: str, who: Operator, asked: view.Update) -> view.PreviewView:
        """Asks the service's code; changes nothing."""
        known = find(core, service)
        keeping.must_change(known)
        package = unregistered.manifest(core.store, asked)
        derived = await goals.of_update(core, services.deriving, service, asked, package)
        with core.state.packages.beside(package):
            stands, revision = (
                history.stands(known),
                revisions.prepared(core, known, asked, who.name, core.wall(), derived),
            )
            granting.check(core, services.secrets, service, revision.secrets, who)
            brings = revisions.proposed(core, known, revision)
            changed = revisions.changed(core, stands, revision)
            between = revisions.between_versions(core, stands, revision)
        said = await services.preview(service, brings, who.name)
        return view.PreviewView(
            revision=revision.number,
            back_to=revision.back_to,
            kind=brings.kind,
            changed=changed,
            between=between,
            last_took_s=history.last_took_s(known),
            **msgspec.to_builtins(said),
        )

    @api.get("/revisions")
    async def list_revisions(service: str, _: Viewer) -> list[view.RevisionView]:
        known = find(core, service)
        found = {known.record.revision: history.stands(known), **known.revisions}
        return [_view(core, known, found[number]) for number in sorted(found, reverse=True)]

    return api


def _view(core: Driver, service: Service, revision: r.RevisionRecord) -> view.RevisionView:
    before = service.revisions.get(revision.before)
    return view.RevisionView(
        number=revision.number,
        state=_state(service, revision),
        package=revision.package,
        version=revision.version,
        options=revisions.by_a_person(revision),
        derived=msgspec.to_builtins(revision.derived),
        bindings=revision.bindings,
        at=revision.at,
        asked_by=revision.asked_by,
        reason=revision.reason,
        before=revision.before,
        back_to=revision.back_to,
        left_in=going_back.left_in(service, revision.number),
        changed=revisions.changed(core, before, revision) if before is not None else {},
        operation=revisions.carried_out_by(core, revision),
        outcome=revision.outcome,
        why=revision.why,
        took_s=revision.ended_at - revision.began_at if revision.began_at and revision.ended_at else None,
    )


def _state(service: Service, revision: r.RevisionRecord) -> str:
    if revision.number == service.record.revision:
        return "stands"
    if not revision.outcome:
        return "under way"
    return "past" if revision.began_at or not revision.before else revision.outcome
