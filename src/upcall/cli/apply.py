"""``upcall apply -f``: a platform as a file says it. What differs is shown, and changed, and nothing else.

Services that are not there are installed, at the same time; those that differ are updated, and asked; what they hold
(topics, keyspaces, jobs) is made or changed by their own actions. What the file made and names no more is removed when
that is asked for. All that can be known is checked before anything is begun; what was begun is taken away again when it
cannot be deployed.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from upcall.cli import carrying, contents, deploy, own_packages, refusals
from upcall.cli import composition as compositions
from upcall.cli.action import judged, run_action
from upcall.cli.applicable import check_against
from upcall.cli.asking import Yes, confirm
from upcall.cli.difference import ContentDifference, ServiceDifference, of_services
from upcall.cli.patience import PATIENCE_S, USUAL, Patience, patience_of
from upcall.cli.refusals import Refusal
from upcall.cli.session import Session, command, commands
from upcall.cli.update import answer_words, change, value_words
from upcall.cli.waiting import wait_for
from upcall.client import paths
from upcall.protocol.errors import Conflict, Invalid, UpcallError
from upcall.protocol.operator import Ask, PackageView, PreviewView, ServiceView, Status
from upcall.protocol.service import Package

apply_app = commands()
APPS = {"apply": apply_app}


@command(apply_app, "apply")
def apply_file(
    session: Session,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="The platform file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what this file made earlier and names no more.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return as soon as it is recorded.")] = False,
    patience: Patience = USUAL,
    yes: Yes = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the file's JSON Schema, for editors.")] = False,
) -> None:
    """Make the platform what a file says: only what differs is changed, and each service is asked."""
    if schema:
        from upcall.cli import platform_schema

        session.out.json(platform_schema.whole(session.client.packages()))
        return
    if file is None:
        raise Invalid("no file is named", where="apply", expected="-f FILE (`upcall export` writes one from what runs)")
    composition = compositions.load(file)
    if prune and not composition.name:
        raise Invalid("a platform without a name is not pruned", where=str(file), expected="`name: ...` at its top")
    if prune and no_wait:
        raise Invalid(
            "what is to be pruned is known when the rest stands", where="--no-wait", expected="one of the two"
        )
    patience_s = patience_of(patience)
    apply(session, composition, dry_run=dry_run, prune=prune, wait=not no_wait, patience_s=patience_s, yes=yes)


def resources(session: Session, status: Status) -> compositions.Requires:
    """What this cluster has."""
    # Of a cluster elsewhere nobody knows it: volumes are of its storage, which makes room or says that there is none.
    free_mib = 0 if session.control_plane else max(1, shutil.disk_usage(session.folder.root).free >> 20)
    return compositions.Requires(
        cpus=status.cpus,
        memory_mib=sum(one.memory_mib for one in status.nodes),
        disk_mib=free_mib,
        nodes=len([one for one in status.nodes if one.state == "up"]),
    )


def apply(
    session: Session,
    composition: compositions.Composition,
    *,
    dry_run: bool = False,
    prune: bool = False,
    wait: bool = True,
    quiet: bool = False,
    tried_for_s: float = 0.0,
    patience_s: float = PATIENCE_S,
    yes: bool = True,
) -> None:
    """Of all that can be known nothing is left to be found out half-way. ``tried_for_s``: see :func:`deploy.follow`.
    ``yes``: nobody is asked about what is pruned."""
    status = session.client.status()
    has = resources(session, status)
    composition, size = compositions.fitting(composition, has)
    needs = composition.requires.words()
    if said := "; ".join(filter(None, (f"needs {needs}; here: {has.words()}" if needs else "", size))):
        session.out.note(said)
    with own_packages.registered(session, composition, dry_run=dry_run) as named:
        composition = named.composition
        course = Course(session, composition, status.services, named.unregistered, patience_s)
        if session.control_plane:
            for words in carrying.of_this_machine(composition, course.packages):
                session.out.note(words)
        course.look(wait=wait and not dry_run)
        if dry_run:
            course.say()
            return
        if prune:
            course.confirm_removal(yes=yes)
        course.update()
        if not wait:
            course.begin()
            return
        course.install(quiet=quiet, tried_for_s=tried_for_s)
        course.remove(prune=prune)
        if not quiet:
            views = [session.client.service(one.service) for one in composition.services]
            session.out.say(views, course.words())


class Course:
    """One application of a file to what runs."""

    def __init__(
        self,
        session: Session,
        composition: compositions.Composition,
        present: Sequence[ServiceView],
        unregistered: Mapping[str, Package] = {},
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Raises what can be known to be wrong. ``unregistered``: packages of services that are only looked at.
        ``patience_s``: for so long what a service cannot do now is tried again."""
        self._session = session
        self._patience_s = patience_s
        self._composition = composition
        self._platform = composition.name
        self._present = {one.name: one for one in present}
        named = any(one.secrets for one in composition.services)
        secrets = [one.name for one in session.client.secrets()] if named else ()
        known = [*session.client.packages(), *map(PackageView.of, unregistered.values())]
        self.packages = self._packages = check_against(composition, known, present, secrets)
        found = of_services(composition, present, self._packages)
        self._differences = [looked_at(one, unregistered.get(one.item.service)) for one in found]
        self._contents: dict[str, list[ContentDifference]] = {}
        self._unseen: dict[str, str] = {}
        """Services that hold something and cannot say what yet, and why."""
        self._previews: dict[str, PreviewView] = {}
        for one in self._differences:
            if one.update is not None:
                self._previews[one.item.service] = self._preview(one)
        self._done: dict[str, list[str]] = {}

    def look(self, *, wait: bool) -> None:
        """At what the services hold. Those that are not ready are waited for first, but for what is to be changed: the
        change may be what mends it, so they are looked at after it."""
        holding = [one for one in self._differences if one.how != "install" and any(one.item.contents.values())]
        if wait:
            same = [self._present[one.item.service] for one in holding if one.how == "same"]
            deploy.until_ready(self._session, same, "it can be seen what they hold")
        waited = {one.item.service for one in holding if wait and one.how == "same"}
        for one in holding:
            view = self._present[one.item.service]
            if view.name not in waited and not deploy.is_deployed(view):
                self._unseen[view.name] = deploy.state_words(view)
        for one in self._differences:
            if one.item.service not in self._unseen:
                self._contents[one.item.service] = self._contents_of(one, runs=one.how != "install")
        running = [one for one in self._differences if one.how != "install" and one.item.service not in self._unseen]
        if refused := [*(each for one in running for each in self._judge(one)), *self._judge_actions()]:
            raise refusals.error(refused, "what it can be; nothing was changed")

    def _judge(self, one: ServiceDifference) -> Iterator[Refusal]:
        """What the service itself would refuse when its turn comes."""
        name = one.item.service
        return contents.judge(
            self._session,
            self._composition,
            one.item,
            self._packages[name],
            self._contents[name],
            one.update,
            self._patience_s,
        )

    def _judge_actions(self) -> Iterator[Refusal]:
        """Those of which the file does nothing else to their service before: what that would be is not known yet."""
        quiet = {
            one.item.service
            for one in self._differences
            if one.how == "same" and all(each.how == "same" for each in self._contents.get(one.item.service, ()))
        } - self._unseen.keys()
        for at, one in enumerate(self._composition.actions):
            if one.service not in quiet:
                continue
            quiet.remove(one.service)
            asked = (self._session, one.service, one.action, one.arguments)
            for reason in judged(*asked, patience_s=self._patience_s).reasons:
                argument = reason.where.rpartition(".")[2]
                of_it = ["arguments", argument] if argument in one.arguments else ["action"]
                where = self._composition.place("actions", at, *of_it)
                yield Refusal(f"{one.action} of {one.service}", reason, where)

    def _contents_of(self, one: ServiceDifference, *, runs: bool) -> list[ContentDifference]:
        return contents.differences(
            self._session, one.item, self._packages[one.item.service], runs=runs, patience_s=self._patience_s
        )

    def _preview(self, one: ServiceDifference) -> PreviewView:
        name = one.item.service
        path = paths.of("services", name, "update", "preview")
        found = PreviewView.model_validate(self._session.client.post(path, one.update))
        if found.declined:
            raise Conflict(
                f"{name} would decline: {found.declined}",
                where=self._composition.place_of(name, "options"),
                expected="what it can be changed to; nothing was changed",
            )
        return found

    # -- what would be done ---------------------------------------------------------------------------------------

    def say(self) -> None:
        """For ``--dry-run``: nothing is changed."""
        if self._session.out.as_json:
            self._session.out.json({"differences": [self._as_json(one) for one in self._differences],
                                    "made and not named": self._leftovers_words()})  # fmt: skip
            return
        rows = [row for one in self._differences for row in self._rows(one)]
        rows += [(name, what, "made by this file, named no more", "--prune removes it") for name, what in self._extra()]
        self._session.out.table(("service", "what", "was -> wanted", "how"), rows, empty="nothing differs")

    def _rows(self, one: ServiceDifference) -> list[tuple[str, str, str, str]]:
        name, preview = one.item.service, self._previews.get(one.item.service)
        if one.how == "install":
            rows = [(name, "install", f"{one.item.package} {one.item.version}".strip(), "")]
        else:
            rows = [
                (name, option, arrow(pair), preview.how.get(option, "") if preview else "")
                for option, pair in one.changed.items()
            ]
        if name in self._unseen:
            rows.append((name, ", ".join(one.item.contents), "cannot be seen now", self._unseen[name]))
        if preview:
            rows += [(name, member, why, "restarts") for member, why in preview.restart.items()]
            rows += [(name, member, "", "comes") for member in preview.come]
            rows += [(name, member, "", "leaves") for member in preview.leave]
            if preview.answer:
                who, said = answer_words(preview, "")
                rows.append((name, who.rstrip(":"), said, ""))
        for each in self._contents.get(name, ()):
            if each.how == "make":
                rows.append((name, f"{each.kind} {each.name}", "", "is made"))
            rows += [
                (name, f"{each.kind} {each.name} {key}", arrow(pair), "is changed")
                for key, pair in each.changed.items()
            ]
        return rows

    def _as_json(self, one: ServiceDifference) -> dict[str, Any]:
        name = one.item.service
        held = [vars(each) for each in self._contents.get(name, ()) if each.how != "same"]
        preview = self._previews.get(name)
        found = {"service": name, "how": one.how, "changed": one.changed, "preview": preview, "contents": held}
        return found | ({"contents not seen": self._unseen[name]} if name in self._unseen else {})

    def _extra(self) -> list[tuple[str, str]]:
        """What the file made earlier, and names no more: (service, what)."""
        if not self._platform:
            return []
        found = [(view.name, "the service") for view in self._gone()]
        for item in self._composition.services:
            if view := self._present.get(item.service):
                going = contents.no_longer_wanted(view, item, self._platform)
                found += [(item.service, f"{one.kind} {one.name}") for one in going]
        return found

    def _leftovers_words(self) -> list[str]:
        return [f"{name}: {what}" for name, what in self._extra()]

    def _gone(self) -> list[ServiceView]:
        named = {one.service for one in self._composition.services}
        made = (one for one in self._present.values() if one.platform == self._platform)
        # Those that need others go before them: what was installed last was bound to what was there.
        return [one for one in reversed(list(made)) if one.name not in named]

    def confirm_removal(self, *, yes: bool) -> None:
        if extra := self._extra():
            words = ", ".join(f"{name} ({what})" for name, what in extra)
            what = f"made by this file, and named no more: {words}; it is removed, and what such contents hold is lost"
            confirm(self._session, what, "apply --prune", yes=yes, for_good=False)

    # -- doing it ---------------------------------------------------------------------------------------------------

    def update(self) -> None:
        """Those that are there and differ, one after the other, each asked. What one of them refuses ends it: those
        before it stand as the file says."""
        for one in self._differences:
            if one.update is not None:
                name = one.item.service
                self._session.out.note(
                    f"{name}: {', '.join(f'{key} {arrow(pair)}' for key, pair in one.changed.items())}"
                )
                change(self._session, name, one.update, dry_run=False, wait=True, quiet=True)
                self._did(name, "changed")

    def begin(self) -> None:
        """For ``--no-wait``."""
        begun = self._post()
        left = [f"{one.service} {one.action}" for one in self._composition.actions]
        held = [f"{one.kind} {one.name}" for each in self._contents.values() for one in each if one.how != "same"]
        held += [f"what {name} is to hold, which cannot be seen now" for name in self._unseen]
        words = f"{', '.join(begun.names) or 'nothing new'}: being deployed"
        for noun, names in (("contents not made", held), ("actions not run", left)):
            words += f"; {noun}: {', '.join(names)}" if names else ""
        self._session.out.say(begun.services, words + self._again(held or left))

    def install(self, *, quiet: bool, tried_for_s: float = 0.0) -> None:
        begun = self._post()
        names = [one.service for one in self._composition.services]
        pending = list(self._composition.actions)
        ready: set[str] = set()

        def deployed(name: str) -> None:
            ready.add(name)
            try:
                self._fill(name)
                # In the file's order: an action may rely on those above it.
                while pending and pending[0].service in ready:
                    one = pending[0]
                    run_action(self._session, one.service, one.action, one.arguments, patience_s=self._patience_s)
                    pending.pop(0)
                    self._session.out.note(f"{one.service}: {one.action} done")
            except UpcallError as error:
                deploy.take_back(self._session, begun.names, f"{name}: {error.problem.message}")
                raise

        try:
            deploy.follow(self._session, names, begun.names, deployed, tried_for_s)
        except KeyboardInterrupt:
            if not quiet:
                left = [f"{one.service} {one.action}" for one in pending]
                words = (
                    f"no longer waiting; {', '.join(names)}: what is begun goes on (`upcall uninstall` takes it away)"
                )
                words += f"; actions not run: {', '.join(left)}" if left else ""
                self._session.out.note(words + self._again(left))
            raise

    def _again(self, left: Sequence[str]) -> str:
        return " (`apply` with the same file again does it)" if left else ""

    def _post(self) -> deploy.Begun:
        new = [one.item.install(self._platform) for one in self._differences if one.how == "install"]
        begun = deploy.post_all(self._session, new)
        for name in begun.names:
            self._did(name, "installed")
        return begun

    def _fill(self, name: str) -> None:
        """What it is to hold, once it is deployed."""
        if name in self._unseen:
            one = next(one for one in self._differences if one.item.service == name)
            self._contents[name] = self._contents_of(one, runs=True)
        found = self._contents[name]
        done = contents.carry_out(self._session, name, self._packages[name], found, self._platform, self._patience_s)
        for words in done:
            self._did(name, words)
            self._session.out.note(f"{name}: {words}")

    def remove(self, *, prune: bool) -> None:
        """What this file made and names no more: removed when that is asked for, else said."""
        extra = self._extra()
        if not prune:
            if extra:
                words = ", ".join(f"{name} ({what})" for name, what in extra)
                self._session.out.note(f"made by this file, and named no more: {words}; `--prune` removes it")
            return
        for item in self._composition.services:
            if view := self._present.get(item.service):
                going = contents.no_longer_wanted(view, item, self._platform)
                package = self._packages[item.service]
                given = (self._session, item.service, package, going, self._platform, self._patience_s)
                for words in contents.carry_out(*given):
                    self._did(item.service, words)
        for view in self._gone():
            path = paths.of("services", view.name, "uninstall")
            asked = Ask(reason=f"platform {self._platform} names it no more")
            wait_for(self._session, self._session.client.operation_of(path, asked))
            self._did(view.name, "uninstalled")

    def _did(self, name: str, words: str) -> None:
        self._done.setdefault(name, []).append(words)

    def words(self) -> str:
        said = [f"{name}: {', '.join(done)}" for name, done in self._done.items()]
        same = [one.item.service for one in self._differences if one.item.service not in self._done]
        if same:
            said.append(f"{', '.join(same)}: as the file says")
        return "; ".join(said)


def looked_at(one: ServiceDifference, unregistered: Package | None) -> ServiceDifference:
    """With the package that is not registered, where the update is to it."""
    if unregistered is None or one.update is None or one.update.version != unregistered.version:
        return one
    manifest = msgspec.to_builtins(unregistered)
    return replace(one, update=one.update.model_copy(update={"unregistered": manifest}))


def arrow(pair: tuple[Any, Any]) -> str:
    return f"{value_words(pair[0])} -> {value_words(pair[1])}"
