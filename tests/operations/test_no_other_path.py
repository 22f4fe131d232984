"""No other path reaches a running task of a service: an operation that has begun, or nothing.

That every end of a task names a begun operation is held in :mod:`test_properties` over whole simulated worlds, and in
``tests/integration/test_no_other_path_runs.py`` over real processes. Here it is held over the code: from the effect
of the ledger down to the signal, each place that may end a process is named with its reason. Whoever adds one has to
say here why it is no way around the ledger.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "upcall"
WIRE_ALONE = ("catalog", "fastdata", "web", "client")
"""Services, their tasks, the page: they reach nothing of ours but the API (``lint-imports``)."""


def calls(wanted: Callable[[str], bool]) -> set[str]:
    """``file:Class.function`` of every place that calls, or hands on to be called, what is wanted as it is written."""
    return {place for callee, place in all_calls(SOURCE) if wanted(callee)}


@cache
def all_calls(source: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for path in sorted(source.rglob("*.py")):
        if path.relative_to(source).parts[0] in WIRE_ALONE:
            continue
        name = path.relative_to(source).as_posix()
        found += ((callee, f"{name}:{scope}") for callee, scope in _calls(ast.parse(path.read_text()), ()))
    return found


def _calls(node: ast.AST, scope: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        inside = (*scope, child.name) if named else scope  # type: ignore[attr-defined]
        if isinstance(child, ast.Call):
            handed_on = [*child.args, *(keyword.value for keyword in child.keywords)]
            for called in (child.func, *(each for each in handed_on if isinstance(each, ast.Attribute))):
                yield ast.unparse(called), ".".join(scope)
        yield from _calls(child, inside)


def last(*names: str, within: str = "") -> Callable[[str], bool]:
    """Calls of something of these names, whatever it is a part of (``within``: of something that is called so)."""
    return lambda callee: callee.rpartition(".")[2] in names and within in callee.rpartition(".")[0]


PINNED: dict[str, tuple[Callable[[str], bool], dict[str, str]]] = {
    "the ledger: the effect that ends a task": (
        last("EndTask"),
        {
            "operations/ends.py:signal": "what an executing operation ends",
            "operations/beside.py:signal": "what an executing operation leaves, once what comes instead is back",
            "operations/losses.py:_of_the_past": "what is left of an incarnation that an operation gave up",
        },
    ),
    "the ledger: the effect that has a lost node's death proven": (
        last("ProveDeath"),
        {
            "operations/execution.py:begin": "a loss waits for the proof, after the longest patience there",
            "operations/patience.py:look": "what an operation ends does not end, after the longest patience there",
        },
    ),
    "the master: performing it": (
        last("end", within="substrate"),
        {
            "master/performing.py:perform": "the effect EndTask, which names its operation",
        },
    ),
    "the master: performing the proof": (
        last("prove_death"),
        {
            "master/performing.py:perform": "the effect ProveDeath, which names its operation",
            "local/machines.py:LocalMachines._prove": "the keeper, asked for what the substrate wants proven",
            "testing/kubernetes/cluster.py:PlayedKubernetes.prove_death": "ProveDeath, handed on to the real substrate",
        },
    ),
    "the local substrate: who wants a task ended": (
        last("_end", within="self"),
        {
            "substrate/local_tasks.py:TaskRunner.end": "EndTask",
            "substrate/local_tasks.py:TaskRunner.end_unwanted": "after a start: on no record, so nobody's member",
            "substrate/local_tasks.py:TaskRunner._supersede": "an older incarnation that was never told to an agent",
            "substrate/local_tasks.py:TaskRunner.forget": "its member was released by a removal that was carried out",
            "substrate/local_tasks.py:TaskRunner.left_behind": "at a place that was given up",
            "testing/simulated/substrate.py:SimulatedSubstrate.end": "EndTask, simulated",
            "testing/simulated/substrate.py:SimulatedSubstrate.wanted": "as end_unwanted",
            "testing/simulated/substrate.py:SimulatedSubstrate.recover": "EndTask, heard of late",
            "agent/agent.py:Agent.received": "End of the wire",
            "kubernetes/pod/part.py:Part._live": "its pod was told to go: SIGTERM of the kubelet",
            "agent/runs.py:Runs.run": "a tool that runs beside a task, at its time-out",
            "agent/runs.py:Runs._clean_up": "a tool that runs beside a task, left by an earlier agent",
        },
    ),
    "the substrate of pods: deleting an object": (
        last("delete", within="asking"),
        {
            "substrate/kubernetes/members.py:Members._delete_pod": "EndTask, or not named by the master after a start",
            "substrate/kubernetes/members.py:Members._look_at_guest": "EndTask, of a pod of somebody else's workload",
            "substrate/kubernetes/guests.py:Guests._look_at_floors": "a budget of ours that is not wanted any more",
            "substrate/kubernetes/members.py:Members._over": "a pod that is proven dead, and was told",
            "substrate/kubernetes/members.py:Members._waits_for": "what the ledger gave up on a node that is not heard",
            "substrate/kubernetes/volumes.py:Volumes._go": "a claim, of who was released",
            "substrate/kubernetes/disruptions.py:Foreign.look": "the record of a disruption that is over",
        },
    ),
    "the substrate of pods: who wants a pod deleted": (
        last("_delete_pod"),
        {"substrate/kubernetes/members.py:Members._look_at": "its task is not wanted, or EndTask was given"},
    ),
    "the local substrate: telling an agent": (
        lambda callee: callee in ("End", "wire.End"),
        {
            "substrate/local_tasks.py:TaskRunner._send_end": "of a task that _end was called for",
            "substrate/local_tasks.py:TaskRunner._stray": "a task of a place that was given up, or on no record",
            "kubernetes/pod/part.py:Part._end": "our part in a pod that was told to go, to the agent that it is",
        },
    ),
    "the local substrate: having a node's death proven": (
        last("_ask_for_proof"),
        {
            "substrate/local.py:LocalSubstrate.prove_death": "ProveDeath",
            "substrate/local.py:LocalSubstrate.tick": "ProveDeath, again: no answer came",
            "substrate/local.py:LocalSubstrate.node_removed": "every member has left by its vacate, the agent is ended",
        },
    ),
    "the agent: ending a task": (
        last("end", within="task"),
        {
            "agent/agent.py:Agent._end": "End of the wire",
            "agent/agent.py:Agent._synced": "the master named all that it wants, and this is not among it",
        },
    ),
    "the agent: signals to what it has started": (
        last("kill", "signal", within="launching"),
        {
            "agent/task.py:Task._terminate": "a task that ends: SIGTERM",
            "agent/task.py:Task._kill": "a task that ends: its grace is over",
            "agent/agent.py:Agent._take_over": "a process that is on no record of this node",
            "agent/runs.py:Runs._end": "a tool beside a task",
        },
    ),
    "the agent: ending is started by": (
        last("_terminate", "_kill", within="self"),
        {"agent/task.py:Task._perform": "the table of a task's life, which the next test looks at"},
    ),
    "the agent: what is left of a dead task": (
        last("kill", within="groups"),
        {
            "agent/task.py:Task._kill": "a task that ends: its grace is over",
            "agent/task.py:Task._nothing_left": "its shim is dead: what it left behind",
        },
    ),
    "the agent: processes found by their mark": (
        lambda callee: callee == "processes.kill",
        {
            "agent/task.py:Task._nothing_left": "its shim is dead: what it left behind",
            "agent/runs.py:Runs._end": "a tool beside a task",
        },
    ),
    "the agent: limits of a running task": (
        last("_limit_again"),
        {"agent/agent.py:Agent._launch_again": "only ever more memory: less would kill"},
    ),
    "the keeper: sweeping": (
        last("Sweep"),
        {
            "keeper/supervisor.py:Supervisor._prove_death": "ProveDeath, or a node that is removed",
            "keeper/supervisor.py:Supervisor._end_all": "after the shutdown, or when the data folder is gone",
            "cli/keeping.py:end": "nothing of ours runs any more, and something is left",
            "pytest/guardian.py:end": "a cluster of tests that nobody uses any more",
        },
    ),
    "signals, as such": (
        lambda callee: callee in ("os.kill", "os.killpg", "signal.pidfd_send_signal", "signal.pthread_kill"),
        {
            "agent/cgroups.py:V1.kill": "members of a group, for those above",
            "agent/cgroups.py:_kill_members": "members of a group, for those above",
            "keeper/identity.py:Identity.send": "to exactly one process, for the launcher, the shim and sweeps",
            "keeper/shim.py:Shim._start": "a command whose start failed half-way",
            "artifacts/archives.py:_kill_session": "a training run of class archives, no task",
        },
    ),
    "signals by identity": (
        lambda callee: callee.rpartition(".")[2] == "send" and ("dentity" in callee or callee == "processes.send"),
        {
            "keeper/processes.py:send": "to those that were found, for those below",
            "keeper/launcher.py:Launcher._signal": "asked by the agent",
            "keeper/child.py:Child._signal": "processes of our own, no tasks",
            "keeper/child.py:Child.ended": "what a process of our own left in its session",
            "keeper/start.py:_end_children_of_the_last": "processes of our own that a dead keeper left",
            "keeper/shim.py:Shim._loop": "what is below a command that has ended, or is told to be killed",
            "keeper/shim.py:Shim._end_leftovers": "what is below a command that has ended",
            "keeper/sweeping.py:Sweep.look": "a sweep",
            "cli/keeping.py:_kill_keeper": "a keeper that does not answer `down`; tasks are ended by their sweep",
            "pytest/service.py:Service._signal": "a test harms its own service, as it is asked to",
        },
    ),
}


@pytest.mark.parametrize("what", PINNED)
def test_who_may_end_a_task_is_named_with_its_reason(what: str) -> None:
    wanted, reasons = PINNED[what]
    found = calls(wanted)
    assert not found - reasons.keys(), f"{what}: a new way, which needs its reason here"
    assert not reasons.keys() - found, f"{what}: not there any more"


def test_in_the_life_of_a_task_only_the_wish_to_end_leads_to_a_signal() -> None:
    """Neither a health check nor a deadline does: the agent tells, and what follows is an operation."""
    from upcall.agent.lifecycle import TABLE

    ending = {
        (state, event)
        for state, events in TABLE.items()
        for event, step in events.items()
        if {"terminate", "kill", "cancel"} & set(step.effects)
    }
    wish = {(state, event) for state, event in ending if event == "end"}
    assert ending - wish == {
        ("ending", "started"),  # It came up in the moment in which the end was asked for.
        ("ending", "grace_over"),
    }
    assert {state for state, _ in wish} == {"fetching", "starting", "running", "ready", "unready"}


def test_the_pins_find_what_they_look_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "class Cut:\n    def now(self):\n        self.launching.kill(self.started)\n"
    text += "    def later(self):\n        to_thread(self.launching.kill, self.started)\n"
    (tmp_path / "short.py").write_text(text)
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    wanted, _ = PINNED["the agent: signals to what it has started"]
    assert calls(wanted) == {"short.py:Cut.now", "short.py:Cut.later"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_ledger_imports_nothing_but_itself_and_reads_no_clock() -> None:
    allowed = {"msgspec", "msgspec.structs", "collections.abc", "typing", "re", "itertools", "upcall.operations"}
    allowed |= {"bisect", "heapq", "enum", "functools", "operator"}  # search, order and names, nothing of the outside
    for path in (SOURCE / "operations").rglob("*.py"):
        # The explorer is also a program, which has arguments.
        own = {"sys"} if path.name == "explore.py" else set()
        foreign = {m for m in imports(path) - own - allowed if not m.startswith("upcall.operations.")}
        assert not foreign, f"{path.name} imports {foreign}"
