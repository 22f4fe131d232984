"""The SDK that a service's experts write against: ``from upcall.service import *`` is all that a package needs.

It sees the protocol and nothing else of the platform: no node, no offer, no address. See ``docs/service.md``.
"""

from typing import Annotated

from pydantic import Field

from upcall.protocol.declaration import (
    Artifact,
    Check,
    Constraints,
    Declaration,
    File,
    Port,
    Resources,
    Secret,
    Volume,
)
from upcall.protocol.errors import Conflict, Invalid, NotFound
from upcall.protocol.service import Degraded, Operation, Policy, Told, ToolResult
from upcall.protocol.templates import literal
from upcall.service.actions import action, checks
from upcall.service.again import every
from upcall.service.changing import How, OptionChange, Update, by_restart, in_place, live, live_at_once, never
from upcall.service.clients import Client
from upcall.service.commands import Brings, Command
from upcall.service.consent import Verdict, Way, accept, decline, defer, hopeless, renew, replace, restart, wait
from upcall.service.contents import Contents
from upcall.service.endpoints import Endpoint
from upcall.service.goals import Derived, Machine, ServiceGoals, unmet, usual
from upcall.service.member import Member, MemberSet, ToolFailed
from upcall.service.needs import Need
from upcall.service.numbering import from_the_fullest
from upcall.service.options import ServiceOptions
from upcall.service.pod import Pod
from upcall.service.relieving import filling_disks
from upcall.service.scaling import Size, amount, size
from upcall.service.service import Service
from upcall.service.steps import Do, Phase, Start
from upcall.service.until import until
from upcall.service.versions import ByVersion

__all__ = [
    "Annotated",
    "Artifact",
    "Brings",
    "ByVersion",
    "Check",
    "Client",
    "Command",
    "Conflict",
    "Constraints",
    "Contents",
    "Declaration",
    "Degraded",
    "Derived",
    "Do",
    "Endpoint",
    "Field",
    "File",
    "How",
    "Invalid",
    "Machine",
    "Member",
    "MemberSet",
    "Need",
    "NotFound",
    "Operation",
    "OptionChange",
    "Phase",
    "Pod",
    "Policy",
    "Port",
    "Resources",
    "Secret",
    "Service",
    "ServiceGoals",
    "ServiceOptions",
    "Size",
    "Start",
    "Told",
    "ToolFailed",
    "ToolResult",
    "Update",
    "Verdict",
    "Volume",
    "Way",
    "accept",
    "action",
    "amount",
    "by_restart",
    "checks",
    "decline",
    "defer",
    "every",
    "filling_disks",
    "from_the_fullest",
    "hopeless",
    "in_place",
    "literal",
    "live",
    "live_at_once",
    "never",
    "renew",
    "replace",
    "restart",
    "size",
    "unmet",
    "until",
    "usual",
    "wait",
]
