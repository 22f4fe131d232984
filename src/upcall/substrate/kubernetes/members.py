"""One member: what is wanted of it against the pods that it has, and what follows.

Level-triggered: :meth:`Members.look` may be called at any time and any number of times; it compares, tells what
changed, and asks for the next thing that is missing. What was asked and not answered yet is not asked again.

A pod that ended is read, told, and only then let go (its finalizer is taken off after the commit that holds what was
told). An incarnation is made only where the pod of its place is no more. One that still stands is waited for; but where
its node is not heard, the ledger has given it up by a person's word or by proof, and it is taken away without its
node's: what that person would do by hand with ``--force``.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from upcall.protocol import agent as wire
from upcall.protocol.declaration import Declaration, Resources
from upcall.substrate.interface import Exit, Observed, Output, Resizing, Send, TaskId, Wanted
from upcall.substrate.kubernetes import guests, manifest, names, pods, resizing
from upcall.substrate.kubernetes.asking import Asking
from upcall.substrate.kubernetes.cache import Cache
from upcall.substrate.kubernetes.disruptions import Foreign
from upcall.substrate.kubernetes.exits import FORCED, NEVER_PLACED, OVER, exit_of
from upcall.substrate.kubernetes.exits import said as node_says
from upcall.substrate.kubernetes.guests import Guests
from upcall.substrate.kubernetes.manifest import Settings
from upcall.substrate.kubernetes.nodes import is_heard
from upcall.substrate.kubernetes.objects import Pod
from upcall.substrate.kubernetes.pods import Seen, Word
from upcall.substrate.kubernetes.volumes import Volumes
from upcall.substrate.machines import LaunchContext

POD_GONE: Final = "its pod is gone"
GIVEN_UP: Final = "its node is not heard, and its owner brings another"
NOT_FOLLOWED: Final = "it is not followed any more"
NOT_RUNNING: Final = "it was not running"
NO_WORD: Final = Word()
Context: TypeAlias = Callable[[TaskId, Declaration], LaunchContext]
GRACE_S: Final = 30.0
"""Of a pod that does not say its own."""
ASKED_AGAIN_S: Final = 10.0
"""For an amount that was taken, and is not what the pod is to have."""


@dataclass
class Amount:
    """That a task which runs is to have."""

    resources: Resources
    again_s: float = -math.inf
    """Not before is it asked for again."""


class Members:
    def __init__(
        self,
        cache: Cache,
        asking: Asking,
        volumes: Volumes,
        foreign: Foreign,
        settings: Settings,
        guests: Guests,
        context: Context | None = None,
    ) -> None:
        """``context``: what a launch needs beside its declaration. None: nobody of us is in any pod."""
        self._cache, self._asking, self._volumes, self._foreign = cache, asking, volumes, foreign
        self._settings, self._context, self._guests = settings, context, guests
        self._there: set[TaskId] = set()
        """Tasks whose part of ours in their pod is connected."""
        self._waiting: dict[TaskId, frozenset[str]] = {}
        """Of these, such whose launch lacks something: what it comes from."""
        self._wanted: dict[str, dict[TaskId, Wanted]] = {}
        self._ending: dict[TaskId, float] = {}
        self._ending_of: dict[str, set[TaskId]] = {}
        """The same, by member."""
        self._amounts: dict[TaskId, Amount] = {}
        """What tasks that run are to have, where that is another amount than they began with."""
        self._said: dict[str, dict[TaskId, Observed]] = {}
        self._words: dict[TaskId, Word] = {}
        self.ready = False
        """All is known: what is wanted, and what there is."""

    # -- wishes -----------------------------------------------------------------------------------------------------

    def told(self, task: TaskId, word: Word, now_s: float, out: Output) -> None:
        """Our part in its pod has something to say."""
        if any(pod.task == task for pod in self._cache.pods_of(task.member_id)):
            self._words[task] = word
            self.look(task.member_id, now_s, out)

    def arrived(self, task: TaskId, now_s: float, out: Output) -> None:
        """Our part in its pod is connected, for the first time or again: it is told what it is there for."""
        self._there.add(task)
        self._send_launch(task, now_s, out)

    def tell_arrived(self, now_s: float, out: Output) -> None:
        """What is wanted is known now, and was not yet when they came."""
        for task in sorted(self._there):
            self._send_launch(task, now_s, out)

    def left(self, task: TaskId) -> None:
        """Its connection is gone. Nothing follows from that: the task runs on."""
        self._there.discard(task)
        self._waiting.pop(task, None)

    def named(self, names: Iterable[str], now_s: float, out: Output) -> None:
        """What these stand for is known better."""
        better = frozenset(names)
        for task in [task for task, sources in self._waiting.items() if sources & better]:
            self._send_launch(task, now_s, out)

    def _send_launch(self, task: TaskId, now_s: float, out: Output) -> None:
        wanted = self._wanted.get(task.member_id, {}).get(task)
        if wanted is None or task in self._ending or task not in self._there or self._context is None:
            return
        context = self._context(task, wanted.declaration)
        if context.missing:
            self._waiting[task] = context.waits_on
            self.told(task, Word(state="placed", reason=context.missing), now_s, out)
            return
        self._waiting.pop(task, None)
        launch = wire.Launch(
            task=str(task),
            declaration=wanted.declaration,
            generation=wanted.generation,
            fence=wanted.place,
            address=self._address(task),
            values=dict(context.values),
            secrets=dict(context.secrets),
        )
        out.send.append(Send(str(task), launch))

    def _address(self, task: TaskId) -> str:
        """The name under which it is known; without names, its pod's own address."""
        if self._settings.domain:
            return names.host(task.service, task.member, self._settings.domain)
        return next((pod.status.pod_ip for pod in self._cache.pods_of(task.member_id) if pod.task == task), "")

    def want(self, wanted: Wanted, now_s: float, out: Output) -> None:
        member_id, task = wanted.task.member_id, wanted.task
        said = self._said.setdefault(member_id, {})
        if any(other > task for other in (*self._wanted.get(member_id, {}), *said)):
            return  # Of the past.
        if task in said:
            out.up.append(said[task])
            if said[task].state == "ended" or task in self._ending:
                return
        wishes = self._wanted.setdefault(member_id, {})
        if not wanted.beside:
            for other in [other for other in wishes if other < task]:
                del wishes[other]
        known = wishes.get(task)
        wishes[task] = wanted
        if known is None or known.generation != wanted.generation:
            self._send_launch(task, now_s, out)
        self.look(member_id, now_s, out)

    def end(self, task: TaskId, grace_s: float, now_s: float, out: Output) -> None:
        said = self._said.get(task.member_id, {}).get(task)
        if said is not None and said.state == "ended":
            out.up.append(said)
            return
        self._ending[task] = min(grace_s, self._ending.get(task, grace_s))
        self._ending_of.setdefault(task.member_id, set()).add(task)
        self.look(task.member_id, now_s, out)

    def resize(self, task: TaskId, resources: Resources, now_s: float, out: Output) -> None:
        """It runs on, with this much."""
        if self._running_pod(task) is None:
            return
        known = self._amounts.get(task)
        if known is None or known.resources != resources:
            self._amounts[task] = Amount(resources)
        self.look(task.member_id, now_s, out)

    def resizing(self, task: TaskId, resources: Resources) -> Resizing:
        pod = self._running_pod(task)
        if pod is None:
            return Resizing(state="away")
        request = resizing.name_of(pod)
        if resizing.is_asked(pod, resources) or (status := self._asking.refused("Pod", request)) == 0:
            return resizing.state(pod, resources, under_way=self._asking.is_under_way("Pod", request))
        words, node = self._asking.reason("Pod", request), self._cache.nodes.get(pod.node)
        return resizing.refused(status, words, node, resources)

    def _running_pod(self, task: TaskId) -> Pod | None:
        """Ours, of a task that is to run on."""
        if task not in self._wanted.get(task.member_id, {}) or task in self._ending:
            return None
        found = (pod for pod in self._cache.pods_of(task.member_id) if pod.task == task)
        pod = next(found, None)
        return pod if pod is not None and pod.status.phase == "Running" and not (pod.leaving or pod.guest) else None

    def let_go(self, task: TaskId, now_s: float, out: Output) -> None:
        """It runs on, and is its owner's alone."""
        said = self._said.get(task.member_id, {}).get(task)
        if said is not None and said.state == "ended":
            out.up.append(said)
            return
        self._tell_end(task, Exit(reason=NOT_FOLLOWED), out)
        self.look(task.member_id, now_s, out)

    def followed(self) -> dict[str, str]:
        """Service -> the workload of somebody else's that it follows, as it is wanted."""
        wishes = (wanted for member in self._wanted.values() for wanted in member.values())
        return {one.task.service: one.declaration.guest for one in wishes if one.declaration.guest}

    def look_at_guests(self, workload: str, now_s: float, out: Output) -> None:
        """Members that may have found their pod."""
        for member_id, wishes in list(self._wanted.items()):
            if any(one.declaration.guest == workload for one in wishes.values()):
                self.look(member_id, now_s, out)

    def all_wanted(self, tasks: dict[TaskId, Wanted]) -> None:
        self._wanted = {}
        for task, wanted in tasks.items():
            self._wanted.setdefault(task.member_id, {})[task] = wanted

    def forget(self, member_id: str) -> None:
        """It was released: nothing is wanted of it any more."""
        self._wanted.pop(member_id, None)
        said = self._said.get(member_id, {})
        for task in [task for task, one in said.items() if one.state == "ended"]:
            del said[task]

    def wants(self, member_id: str) -> bool:
        return bool(self._wanted.get(member_id))

    def of_service(self, label: str) -> list[str]:
        """Its members that are wanted."""
        wishes = (wanted for member in self._wanted.values() for wanted in member.values())
        return sorted({one.task.member_id for one in wishes if names.as_label(one.task.service) == label})

    def places(self, member_id: str) -> frozenset[int]:
        return frozenset(wanted.place for wanted in self._wanted.get(member_id, {}).values())

    def known(self) -> set[str]:
        return (
            self._wanted.keys()
            | self._ending_of.keys()
            | {pod.member_id for pod in self._cache.pods.values() if pod.member_id}
        )

    def tell_again(self, member_ids: Iterable[str]) -> None:
        """Their node was not heard for a while: what was said of them counts no more."""
        for member_id in member_ids:
            said = self._said.get(member_id, {})
            for task in [task for task, one in said.items() if one.state != "ended"]:
                del said[task]

    # -- comparing --------------------------------------------------------------------------------------------------

    def look(self, member_id: str, now_s: float, out: Output) -> None:
        if not self.ready:
            return
        seen = set()
        for pod in self._cache.pods_of(member_id):
            if pod.task is not None:
                seen.add(pod.task)
                self._look_at(pod, pod.task, now_s, out)
        for task in sorted(self._ending_of.get(member_id, set()) - seen):
            self._ends_without_a_pod(task, out)
        for wanted in list(self._wanted.get(member_id, {}).values()):
            if wanted.declaration.guest:
                if wanted.task not in seen and wanted.task not in self._ending:
                    self._find(wanted, now_s, out)
            elif wanted.task not in self._ending:
                claims = self._needs(wanted, now_s, out)
                if wanted.task not in seen:
                    self._make(wanted, claims, now_s, out)

    def _look_at(self, pod: Pod, task: TaskId, now_s: float, out: Output) -> None:
        node = self._cache.nodes.get(pod.node)
        heard = node is not None and is_heard(node)
        wanted = task in self._wanted.get(task.member_id, {}) and task not in self._ending
        ours = not wanted or self._asking.asked_to_end(pod.uid)
        if pod.guest:
            self._look_at_guest(pod, task, now_s, out, wanted=wanted, ours=ours, heard=heard)
            return
        ended = exit_of(pod, node, ours=ours)
        if ended is not None:
            self._over(pod, task, ended, now_s, out)
            return
        if heard and pod.leaving and not ours:  # where nobody hears it nothing happens by it yet
            self._foreign.leaves(pod, task, out)
        if heard or not pod.node:
            word = self._words.get(task, NO_WORD)
            found = pods.seen(pod, word) if wanted else Seen("ending")
            reason = self._why_pending(task, found.reason) if found.state == "pending" else found.reason
            self._say(pods.observed(pod, task, found.state, reason, word, self._settings.domain), out)
        if not wanted:
            self._delete_pod(pod, self._ending.get(task), now_s, out)
        elif (amount := self._amounts.get(task)) is not None and not pod.leaving:
            self._give(pod, amount, now_s, out)

    def _give(self, pod: Pod, amount: Amount, now_s: float, out: Output) -> None:
        """What others in the cluster make something else of is asked for again after a while, not at once."""
        if resizing.is_asked(pod, amount.resources) or resizing.forbids(pod, amount.resources):
            return
        request = resizing.name_of(pod)
        due = now_s >= amount.again_s or self._asking.refused("Pod", request)
        if due and self._asking.is_free("Pod", request, now_s):
            amount.again_s = now_s + ASKED_AGAIN_S
            wish = resizing.wish(pod, amount.resources)
            self._asking.apply("Pod", wish, out, part=resizing.PART, about=pod.member_id)

    def _look_at_guest(
        self, pod: Pod, task: TaskId, now_s: float, out: Output, *, wanted: bool, ours: bool, heard: bool
    ) -> None:
        """Its owner made it, and takes away what is left of it."""
        given_up = pod.leaving and not heard and guests.has_no_identity(pod)
        if pod.status.phase in OVER or given_up:
            self._foreign.ended(pod.uid, out)
            reason = GIVEN_UP if given_up else node_says(pod) or POD_GONE
            self._tell_end(task, Exit(reason=reason, with_its_node=given_up), out, pod)
            return
        if heard and pod.leaving and not ours:
            self._foreign.leaves(pod, task, out)
        if heard or not pod.node:
            found = guests.seen(pod) if wanted else Seen("ending")
            self._say(pods.observed(pod, task, found.state, found.reason, NO_WORD), out)
        if wanted or not self._asking.is_free("Pod", pod.name, now_s):
            return
        if task not in self._ending:
            self._guests.let_go(pod, out)
        elif not pod.leaving:
            self._asking.delete("Pod", pod.name, pod.uid, None, out, about=pod.member_id)

    def _find(self, wanted: Wanted, now_s: float, out: Output) -> None:
        pod = self._guests.candidate(wanted, now_s)
        reason = "" if pod is not None else f"waits for a pod of {wanted.declaration.guest}"
        self._say(Observed(task=wanted.task, state="pending", reason=reason, generation=wanted.generation), out)
        if pod is not None:
            self._guests.follow(wanted, pod, out)

    def _delete_pod(self, pod: Pod, grace_s: float | None, now_s: float, out: Output) -> None:
        """Our part in it gives the task its grace; the pod has a little more."""
        if grace_s is None:
            grace_s = float(pod.noted(names.GRACE, str(GRACE_S)))
        given = manifest.grace_s(grace_s)
        left = pod.metadata.deletion_grace_period_seconds
        if pod.leaving and left is not None and left <= given:
            return
        if self._asking.is_free("Pod", pod.name, now_s):
            self._asking.delete("Pod", pod.name, pod.uid, given, out, about=pod.member_id)

    def _over(self, pod: Pod, task: TaskId, ended: Exit, now_s: float, out: Output) -> None:
        """Proven dead: told, and let go."""
        self._foreign.ended(pod.uid, out)
        self._tell_end(task, ended, out, pod)
        if not self._asking.is_free("Pod", pod.name, now_s):
            return
        if names.KEEPS in pod.metadata.finalizers:
            self._let_go(pod, out)
        elif not pod.leaving or pod.metadata.deletion_grace_period_seconds:
            self._asking.delete("Pod", pod.name, pod.uid, 0, out, about=pod.member_id)

    def _let_go(self, pod: Pod, out: Output) -> None:
        """Others may hold it too: only while it is as we saw it."""
        others = [name for name in pod.metadata.finalizers if name != names.KEEPS]
        meta = {"uid": pod.uid, "resourceVersion": pod.metadata.resource_version, "finalizers": others}
        self._asking.merge("Pod", pod.name, {"metadata": meta}, out, about=pod.member_id)

    def _ends_without_a_pod(self, task: TaskId, out: Output) -> None:
        wanted = self._wanted.get(task.member_id, {}).get(task)
        if wanted is not None:
            if self._asking.is_under_way("Pod", names.pod_name(task.member_id, wanted.place)):
                return  # It may be there by now.
            self._tell_end(task, Exit(reason=NEVER_PLACED), out)
        else:
            self._tell_end(task, Exit(reason=NOT_RUNNING), out)

    def vanished(self, pod: Pod, out: Output) -> None:
        """Its object is gone. Where that was not our doing, nobody will ever say more of it."""
        task = pod.task
        self._foreign.ended(pod.uid, out)
        if task is None:
            return
        said = self._said.get(task.member_id, {}).get(task)
        if said is None or said.state != "ended":
            node = self._cache.nodes.get(pod.node)
            ended = exit_of(pod, node, ours=True) or Exit(reason=POD_GONE if pod.guest else FORCED)
            self._tell_end(task, ended, out, pod)

    # -- making one -------------------------------------------------------------------------------------------------

    def _needs(self, wanted: Wanted, now_s: float, out: Output) -> dict[str, str]:
        """What its pod needs beside it, which waits for it: claims of its volumes, and who it is in the cluster."""
        service, member_id = wanted.task.service, wanted.task.member_id
        name = names.as_label(service)
        if name not in self._cache.services and self._asking.is_free("Service", name, now_s):
            self._asking.apply("Service", manifest.headless(service, self._settings), out, about=member_id)
        return self._volumes.bring(member_id, wanted.declaration, wanted.place, now_s, out)

    def _why_pending(self, task: TaskId, scheduler_says: str) -> str:
        if lacks := self._lacks(task):
            return lacks
        wanted = self._wanted.get(task.member_id, {}).get(task)
        if not scheduler_says or wanted is None:
            return scheduler_says
        waits_for = self._volumes.waits_for(task.member_id, wanted.declaration, wanted.place)
        return f"{scheduler_says} ({waits_for})" if waits_for else scheduler_says

    def _lacks(self, task: TaskId) -> str:
        """What is not there for its pod, by its own cause: a scheduler names what follows of it."""
        wanted = self._wanted.get(task.member_id, {}).get(task)
        return self._volumes.why_not(task.member_id, wanted.declaration, wanted.place) if wanted is not None else ""

    def _make(self, wanted: Wanted, claims: Mapping[str, str], now_s: float, out: Output) -> None:
        task, name = wanted.task, names.pod_name(wanted.task.member_id, wanted.place)
        standing = self._cache.pods.get(name)
        if standing is not None:
            self._waits_for(standing, wanted, now_s, out)
            return
        no_name = self._asking.reason("Service", names.as_label(task.service))
        refused = no_name or self._lacks(task) or self._asking.reason("Pod", name)
        self._say(Observed(task=task, state="pending", reason=refused, generation=wanted.generation), out)
        if no_name or not self._asking.is_free("Pod", name, now_s):
            return  # Without a name nobody would find it, nor it itself.
        self._asking.create(
            "Pod", manifest.pod(wanted, claims, self._settings, self._cache.labelled), out, about=task.member_id
        )

    def _waits_for(self, standing: Pod, wanted: Wanted, now_s: float, out: Output) -> None:
        """An older incarnation has the place."""
        task = wanted.task
        node = self._cache.nodes.get(standing.node)
        over = exit_of(standing, node, ours=True) is not None
        reason = "" if over else f"waits for the end of {standing.task or standing.name}"
        self._say(Observed(task=task, state="pending", reason=reason, generation=wanted.generation), out)
        heard = node is not None and is_heard(node)
        if over or heard or not standing.node or not self._asking.is_free("Pod", standing.name, now_s):
            return
        if names.KEEPS in standing.metadata.finalizers:
            self._let_go(standing, out)
        else:
            self._asking.delete("Pod", standing.name, standing.uid, 0, out, about=task.member_id)

    # -- telling ----------------------------------------------------------------------------------------------------

    def _tell_end(self, task: TaskId, ended: Exit, out: Output, pod: Pod | None = None) -> None:
        if self._ending.pop(task, None) is not None:
            self._ending_of[task.member_id].discard(task)
            if not self._ending_of[task.member_id]:
                del self._ending_of[task.member_id]
        self._amounts.pop(task, None)
        self._words.pop(task, None)
        self._waiting.pop(task, None)
        wishes = self._wanted.get(task.member_id, {})
        wanted = wishes.pop(task, None)
        generation = wanted.generation if wanted is not None else 0
        observed = Observed(task=task, state="ended", reason=ended.reason, exit=ended, generation=generation)
        if pod is not None:
            told = pods.observed(pod, task, "ended", ended.reason, NO_WORD, self._settings.domain)
            observed = Observed(
                task=task,
                state="ended",
                reason=ended.reason,
                node=told.node,
                address=told.address,
                exit=ended,
                generation=told.generation,
            )
        self._say(observed, out)

    def _say(self, now: Observed, out: Output) -> None:
        """What changed, once. What ended has ended."""
        said = self._said.setdefault(now.task.member_id, {})
        before = said.get(now.task)
        if before == now or (before is not None and before.state == "ended"):
            return
        for older in [task for task, one in said.items() if task < now.task and one.state == "ended"]:
            del said[older]
        said[now.task] = now
        out.up.append(now)
