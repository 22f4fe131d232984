"""Transcripts: a readable script of commands in, the exchange out.

A scenario file is text: a command on each line, ``----``, what follows from them, an empty line. Where who places
makes a difference, the sections are ``---- kernel`` and ``---- delegated``; ``---- kubernetes`` is of the second kind,
and has a section of its own only where it differs from it. ``#`` lines are prose.

    drain n1 window=600 on_deadline=hold by=ann
    ----
      5.0  op-1 windowed maintenance of node n1 proposed by ann
      ...

Run ``UPCALL_REWRITE=1 pytest tests/operations/test_scenarios.py`` to write what the ledger really does; then
read the difference.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from upcall.operations import effects as fx
from upcall.operations import inputs as given
from upcall.operations import news, wording
from upcall.operations.records import Epoch, Policy, Way
from upcall.operations.wording import ON_THE_WAY
from upcall.testing import KINDS, SimulatedKind, Timing
from upcall.testing.world import World


@dataclass
class Block:
    prose: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    expected: dict[str, list[str]] = field(default_factory=dict)


def parse(text: str) -> list[Block]:
    blocks: list[Block] = []
    for chunk in text.strip().split("\n\n"):
        block, section = Block(), ""
        for line in chunk.split("\n"):
            if line.startswith("----"):
                section = line.removeprefix("----").strip() or "both"
                block.expected[section] = []
            elif section:
                block.expected[section].append(line)
            elif line.startswith("#"):
                block.prose.append(line)
            else:
                block.commands.append(line)
        blocks.append(block)
    return blocks


def expected(block: Block, kind: SimulatedKind) -> list[str] | None:
    """What is written of this kind, or of the one that it is of, or of all."""
    among = (kind, "delegated", "both") if kind == "kubernetes" else (kind, "both")
    return next((block.expected[name] for name in among if name in block.expected), None)


def render(blocks: list[Block], results: dict[str, list[list[str]]]) -> str:
    """``results``: kind -> the output of each block."""
    chunks = []
    for i, block in enumerate(blocks):
        lines = [*block.prose, *block.commands]
        if block.commands:
            outputs = {kind: results[kind][i] for kind in KINDS}
            ours, theirs, kubernetes = outputs["kernel"], outputs["delegated"], outputs["kubernetes"]
            lines += ["----", *ours] if ours == theirs else ["---- kernel", *ours, "---- delegated", *theirs]
            if kubernetes != theirs:
                lines += ["---- kubernetes", *kubernetes]
        chunks.append("\n".join(lines))
    return "\n\n".join(chunks) + "\n"


def run(path: Path, kind: SimulatedKind) -> list[list[str]]:
    stage = Stage(kind)
    return [stage.block(block.commands) for block in parse(path.read_text())]


class Stage:
    """Plays the commands of one file in one world and writes down what follows."""

    def __init__(self, kind: SimulatedKind) -> None:
        self.kind = kind
        self.world = World(kind=kind)
        self.worlds = [self.world]
        """All of the file, one after the other."""
        self.lines: list[str] = []
        self.world.watchers.append(lambda world, effect: self.saw(effect))
        self.commands: dict[str, Callable[[list[str], dict[str, str]], object]] = {
            name.removeprefix("do_").replace("_", "-"): getattr(self, name)
            for name in dir(self)
            if name.startswith("do_")
        }

    def block(self, commands: list[str]) -> list[str]:
        self.lines = []
        for command in commands:
            words = shlex.split(command)
            name, rest = words[0], words[1:]
            options = {w.partition("=")[0]: w.partition("=")[2] for w in rest if "=" in w}
            outcome = self.commands[name]([w for w in rest if "=" not in w], options)
            if isinstance(outcome, fx.Outcome) and outcome.refused:
                refused = outcome.refused
                self.say(
                    f"refused ({refused.code}): {refused.message}"
                    + (f"; expected {refused.expected}" if refused.expected else "")
                )
            self.said_once()
        return self.lines

    def said_once(self) -> None:
        """Whoever is waited for stands before the reason, as a member's state does: neither says it again."""
        ledger, now = self.world.ledger, (self.world.now_s, self.world.wall_s)
        for why in filter(None, (ledger.why(each.id, *now) for each in ledger.standing())):
            repeated = why.waits_for and not why.answered and why.waits_for in why.reason
            assert not repeated, f"says twice for whom it waits: {why.brief()}"
        for member in ledger.members():
            assert not member.reason.startswith(member.status), f"{member.status} · {member.reason}"

    def say(self, text: str) -> None:
        self.lines.append(f"{self.world.now_s:7.1f}  {text}")

    # -- what is written down ---------------------------------------------------------------------------------------

    def saw(self, effect: fx.Effect) -> None:
        match effect:
            case news.News():
                self.happened(effect)
            case fx.Launch():
                anew = f" at place {effect.place}" if effect.place > 1 else ""
                anew += ", beside the one that runs" if effect.beside else ""
                self.say(f"launch {effect.service}.{effect.member}.{effect.incarnation}{anew}")
            case fx.EndTask():
                self.say(f"end {effect.service}.{effect.member}.{effect.incarnation} for {effect.operation}")
            case fx.Release():
                self.say(f"release {effect.service}.{effect.member}, volumes kept {effect.keep_volumes_s:.0f} s")
            case fx.Cordon():
                self.say(f"{effect.node} is {'closed' if effect.closed else 'open'} for new members")
            case fx.HoldDisruption(held=None):
                self.say(f"{effect.id}: go on")
            case fx.HoldDisruption(held=held):
                assert held is not None
                self.say(f"{effect.id}: hold it, please: {held.operation} waits for {held.waits_for}: {held.reason}")
            case fx.Tell():
                self.say(f"tell {effect.service}: {effect.operation} {effect.what}")
            case fx.Show(service=service):
                self.say(f"show {service}: {self.set_of(service)}")
            case fx.Alert():
                self.say(f"ALERT {effect.operation} {effect.text}")

    def happened(self, one: news.News) -> None:
        """In short where the state of an operation is the point; else as a person reads it."""
        match one:
            case news.Launched() | news.ServiceDeclared() | news.MemberDeclared(again=""):
                return
            case news.TaskSeen(state=state) if state in ON_THE_WAY:
                return
            case news.HostChanged():
                text = f"host of {one.subject}: {wording.line(one)}"
            case news.NodeChanged():
                text = f"node {one.subject}: {wording.line(one)}"
            case news.EpochMoved():
                text = f"{one.subject}: {wording.line(one)}"
            case news.Moved(operation=operation):
                outcome = f": {one.outcome}" if one.outcome else ""
                text = f"{one.subject} {one.before} -> {operation.state}: {one.word}{outcome}"
            case news.TaskEnded():
                text = f"{one.subject} {wording.ended(one)}"
            case news.Answered(operation=operation, given=answer):
                text = f"{one.subject} {operation.target.service}: {wording.answer(answer)}"
            case _:
                text = f"{one.subject} {wording.line(one)}"
        self.say(text)

    def set_of(self, service: str) -> str:
        pending = self.world.ledger.pending(service)
        shown = []
        for one in pending.operations:
            op = one.operation
            what = ",".join(
                f"{m}.{op.target.incarnation_of(m)}" if op.target.incarnation_of(m) else m for m in op.target.members
            )
            state = "asked" if one.asked else (one.answer.verdict if one.answer and op.state == "open" else op.state)
            shown.append(f"{op.id} {op.kind} {what or service} {state}")
        return f"epoch {pending.epoch} [{'; '.join(shown)}]"

    # -- commands: the world ----------------------------------------------------------------------------------------

    def do_world(self, words: list[str], options: dict[str, str]) -> None:
        prove = options.get("prove")
        timing = Timing(liveness_s=float(options.get("liveness", 15)), prove_s=float(prove) if prove else None)
        self.world = World(kind=self.kind, node_count=int(options.get("nodes", 3)), timing=timing)
        self.worlds.append(self.world)
        self.world.watchers.append(lambda world, effect: self.saw(effect))

    def do_service(self, words: list[str], options: dict[str, str]) -> None:
        """Declares, starts, and waits until it is ready; quietly."""
        policy = Policy(
            **{  # type: ignore[arg-type]
                k: float(options[k])
                for k in ("answer_s", "replace_after_s", "stuck_after_s", "keep_volumes_s", "leave_s")
                if k in options
            },
            **{k: options[k] for k in ("silence", "on_lost") if k in options},  # type: ignore[arg-type]
            leaves=options.get("leaves") == "yes",
        )
        self.world.send(given.HostSubscribed(service=words[0]))
        self.world.install(
            words[0],
            options["members"].split(","),
            minimum=int(options.get("minimum", 0)),
            policy=policy,
            stateful=options.get("stateful", "yes") == "yes",
            needs=tuple(filter(None, options.get("needs", "").split(","))),
            restart=options.get("restart", "always"),  # type: ignore[arg-type]
            hooks=options.get("hooks") == "yes",
            two_at_once=options.get("two_at_once") == "yes",
        )
        self.world.advance(5)
        for view in self.world.ledger.members(words[0]):
            if view.status == "settling":
                self.do_back([f"{words[0]}.{view.name}"], {})
        self.lines = []
        self.say(f"{words[0]}: {len(self.world.ready(words[0]))} ready, epoch {self.epoch(words[0])}")

    def do_wait(self, words: list[str], options: dict[str, str]) -> None:
        self.world.advance(float(words[0]))

    def do_sleep(self, words: list[str], options: dict[str, str]) -> None:
        self.world.sleep(float(words[0]))

    def do_die(self, words: list[str], options: dict[str, str]) -> None:
        self.say("the master dies, and starts again")
        self.world.die()
        self.world.boot()

    def do_die_after(self, words: list[str], options: dict[str, str]) -> None:
        self.world.die_after = int(words[0])

    def do_crash(self, words: list[str], options: dict[str, str]) -> None:
        self.world.observe(
            self.world.substrate.crash(words[0], self.world.now_s, reason=options.get("reason", "exit code 1"))
        )

    def do_crash_all(self, words: list[str], options: dict[str, str]) -> None:
        for task in self.world.substrate.alive():
            self.world.observe(self.world.substrate.crash(task.member_id, self.world.now_s, reason="killed"))

    def do_sicken(self, words: list[str], options: dict[str, str]) -> None:
        self.world.observe(self.world.substrate.sicken(words[0], self.world.now_s))

    def do_heal(self, words: list[str], options: dict[str, str]) -> None:
        self.world.observe(self.world.substrate.heal(words[0], self.world.now_s))

    def do_crashing(self, words: list[str], options: dict[str, str]) -> None:
        """From now on it ends by itself soon after each start."""
        self.world.substrate.crashing.add(words[0])

    def do_mended(self, words: list[str], options: dict[str, str]) -> None:
        self.world.substrate.crashing.discard(words[0])

    def do_slow(self, words: list[str], options: dict[str, str]) -> None:
        self.world.substrate.slow.add(words[0])

    def do_heal_start(self, words: list[str], options: dict[str, str]) -> None:
        """What was slow to become ready becomes ready."""
        self.world.substrate.slow.discard(words[0])
        self.world.observe(self.world.substrate.make_ready(words[0], self.world.now_s))

    def do_silence(self, words: list[str], options: dict[str, str]) -> None:
        self.world.observe(self.world.substrate.silence(words[0], self.world.now_s, dies=options.get("dies") == "yes"))

    def do_recover(self, words: list[str], options: dict[str, str]) -> None:
        self.world.observe(self.world.substrate.recover(words[0], self.world.now_s))

    def do_remove(self, words: list[str], options: dict[str, str]) -> None:
        self.world.observe(self.world.substrate.remove(words[0], self.world.now_s))

    def do_disrupt(self, words: list[str], options: dict[str, str]) -> None:
        deadline = options.get("deadline")
        self.world.observe(
            self.world.substrate.disrupt(
                words[0],
                words[1],
                self.world.now_s,
                verb=words[2],  # type: ignore[arg-type]
                who=options.get("by", "bob"),
                reason=options.get("reason", ""),
                deadline_s=float(deadline) if deadline else None,
            )
        )

    # -- commands: people -------------------------------------------------------------------------------------------

    def do_drain(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """``drain n1``; several nodes that go together: ``drain n1 n2 zone=a``."""
        one, several = (words[0], ()) if len(words) == 1 else ("", tuple(words))
        remove, zone = options.get("remove") == "yes", options.get("zone", "")
        return self.propose("maintenance", options, node=one, nodes=several, zone=zone, remove=remove)

    def do_propose(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        service, _, member = words[1].partition(".") if len(words) > 1 else ("", "", "")
        return self.propose(
            words[0],
            options,
            service=service,
            members=(member,) if member else (),
            force="force" in words,
            scope=options.get("scope", ""),
            node=options.get("node", ""),
            parent=options.get("parent", ""),
            revision=int(options.get("revision", 0)),
            instead="instead" in words,
        )

    def propose(self, kind: str, options: dict[str, str], **more: object) -> fx.Outcome:
        window = options.get("window")
        return self.world.send(
            given.Propose(
                kind=kind,  # type: ignore[arg-type]
                asked_by=options.get("by", "ann"),
                reason=options.get("reason", ""),
                window_s=float(window) if window else None,
                on_deadline=options.get("on_deadline"),  # type: ignore[arg-type]
                **more,  # type: ignore[arg-type]
            )
        )

    def do_undrain(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(given.Undrain(nodes=tuple(words), who=options.get("by", "ann")))

    def do_start(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        service, _, member = words[0].partition(".")
        return self.world.send(given.StartMembers(service=service, members=(member,)))

    def do_give_back(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        service, _, member = words[0].partition(".")
        return self.world.send(given.GiveBack(service=service, member=member, who=options.get("by", "ann")))

    def do_declare(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """A member; with ``members`` all of them, with the numbers of a revision and of their declarations."""
        service, _, member = words[0].partition(".")
        if names := options.get("members", member):
            generation, same_as = int(options.get("generation", 1)), int(options.get("same_as", 0))
            declared = tuple(
                given.MemberDeclaration(name=name, generation=generation, same_as=same_as) for name in names.split(",")
            )
            revision = int(options.get("revision", 0))
            return self.world.send(given.DeclareMembers(service=service, revision=revision, members=declared))
        return self.world.send(given.DeclareService(name=service, minimum=int(options.get("minimum", 0))))

    def do_up(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(given.Up(who=options.get("by", "ann")))

    def do_force(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(
            given.Force(operation=words[0], who=options.get("by", "ann"), why=options.get("why", ""))
        )

    def do_cancel(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(
            given.Cancel(operation=words[0], who=options.get("by", "ann"), why=options.get("why", ""))
        )

    def do_pause(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(
            given.Pause(operation=words[0], who=options.get("by", "ann"), why=options.get("why", ""))
        )

    def do_resume(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(given.Pause(operation=words[0], who=options.get("by", "ann"), on="resume"))

    def do_assume_dead(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        service, _, member = words[0].partition(".")
        return self.world.send(
            given.AssumeDead(service=service, member=member, who=options.get("by", "ann"), why=options.get("why", ""))
        )

    # -- commands: services -----------------------------------------------------------------------------------------

    def do_answer(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """``answer kafka op-2 accept valid=60``; several: ``answer kafka op-2=accept op-3=defer:"after b0"``."""
        service = words[0]
        epoch = options.get("epoch") or self.epoch(service)
        start, _, n = epoch.partition(".")
        verdicts = {o: v for o, v in options.items() if o.startswith("op-")} or {words[1]: words[2]}
        progress = options.get("progress")
        answers = {
            operation: given.Answer(
                verdict=verdict.partition(":")[0],  # type: ignore[arg-type]
                valid_s=float(options.get("valid", 60)),
                reason=options.get("reason", verdict.partition(":")[2]),
                retry_after_s=float(options.get("retry", 10)),
                progress=float(progress) if progress else None,
                waiting_helps="would_help" not in options,
                would_help=tuple(Way(does=does) for does in filter(None, options.get("would_help", "").split(";"))),
            )
            for operation, verdict in verdicts.items()
        }
        outcome = self.world.send(given.Answers(service=service, epoch=Epoch(int(start), int(n)), answers=answers))
        if outcome.refused and outcome.refused.code == "stale":
            self.say(f"with the current set: {self.set_of(service)}")
        return outcome

    def do_answer_latest(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """About the newest operation of the set, whose number differs between the kinds."""
        newest = self.world.ledger.pending(words[0]).operations[-1].operation.id
        return self.do_answer([words[0], newest, words[1]], options)

    def do_take_back(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(given.WithdrawAnswer(service=words[0], operation=words[1]))

    def do_confirm(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(given.Confirm(service=words[0], operation=words[1]))

    def do_working(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """The service: how far it is."""
        share = float(options["share"]) if "share" in options else None
        text, error = options.get("text", ""), options.get("error", "")
        return self.world.send(given.Working(service=words[0], operation=words[1], text=text, share=share, error=error))

    def do_fail(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """The service: its plan goes no further."""
        return self.world.send(given.PlanFailed(service=words[0], operation=words[1], reason=options["reason"]))

    def do_retarget(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        service, _, member = words[0].partition(".")
        return self.world.send(given.Retarget(service=service, members=(member,)))

    def do_back(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        """What the service does once its member is ready is done; with ``error``: it raised."""
        service, _, member = words[0].partition(".")
        view = next(v for v in self.world.ledger.members(service) if v.name == member)
        return self.world.send(
            given.Back(service=service, member=member, incarnation=view.incarnation, error=options.get("error", ""))
        )

    def do_policy(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        return self.world.send(given.DeclareService(name=words[0], minimum=int(options["minimum"])))

    def do_host(self, words: list[str], options: dict[str, str]) -> fx.Outcome:
        kind = given.HostSubscribed if words[1] == "back" else given.HostUnsubscribed
        return self.world.send(kind(service=words[0]))

    # -- commands: questions ----------------------------------------------------------------------------------------

    def do_why(self, words: list[str], options: dict[str, str]) -> None:
        why = self.world.ledger.why(words[0], self.world.now_s, self.world.wall_s)
        self.say(f"why {why.sentence()}" if why else f"no operation {words[0]}")
        for way in why.ways if why else ():
            self.say(f"    {way.does}" + (f": {way.command}" if way.command else "") + f" (costs: {way.costs or '?'})")

    def do_pending(self, words: list[str], options: dict[str, str]) -> None:
        self.say(self.set_of(words[0]))

    def do_members(self, words: list[str], options: dict[str, str]) -> None:
        views = self.world.ledger.members(words[0])
        self.say(", ".join(f"{v.name}.{v.incarnation} {v.status}" for v in views) or "none")

    def do_generations(self, words: list[str], options: dict[str, str]) -> None:
        """What each runs, and what it gets with its next start where that is another."""
        shown = [
            f"{v.name} runs {v.generation}"
            + (f", next {v.target}" if v.target != v.generation else "")
            + (f" of {v.wanted_generation}" if v.target != v.wanted_generation else "")
            for v in self.world.ledger.members(words[0])
        ]
        self.say("; ".join(shown) or "none")

    def do_operations(self, words: list[str], options: dict[str, str]) -> None:
        for op in self.world.ledger.operations():
            forced = f", forced by {op.forced.who}: {op.forced.why}" if op.forced else ""
            firm = f", {op.origin}, {op.firmness}" if op.origin == "foreign" else ""
            self.say(f"{op.id} {op.kind} {op.state}{firm}{forced}: {op.outcome or op.reason}")

    def epoch(self, service: str) -> str:
        return str(self.world.ledger.pending(service).epoch)
