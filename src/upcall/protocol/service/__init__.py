"""The service API: what a service's scheduler and the master say to each other. Public, for any language.

One stream for each service from the master (``GET /v1/service/{name}/stream``, server-sent events whose data is one
JSON object with a ``type``) and these calls, all with the stream's id in the header ``Upcall-Stream`` (the newest
subscription fences the older one off; a fenced call answers ``stale``):

    PUT  /v1/service/{name}/members        Declare       LAUNCH: the members wanted; answers Accepted
    PUT  /v1/service/{name}/starts         Starts        those of them that are to run
    PUT  /v1/service/{name}/endpoints      Endpoints     what others may connect to
    PUT  /v1/service/{name}/plans          Plans         status of the plans, to show
    POST /v1/service/{name}/propose        Propose       answers Accepted with the operation's id
    POST /v1/service/{name}/answers        Answers       consent; idempotent on operation and epoch
    POST /v1/service/{name}/withdraw       Withdraw      takes acceptances back, until ``begin``
    POST /v1/service/{name}/confirm/{operation}          the member of a removal that prepares has left; a plan is done
    POST /v1/service/{name}/fail/{operation}  Failed     an update or upgrade goes no further
    POST /v1/service/{name}/working/{operation}  Working  how far an operation is that it carries out
    POST /v1/service/{name}/rescale        Rescale       another size, where a person lets it scale itself
    POST /v1/service/{name}/fits           Declare       would all of these have a place? answers Fits
    POST /v1/service/{name}/differ         Declare       which members run something else? answers Differ
    POST /v1/service/{name}/retarget       Retarget      members that need no restart for the newest declaration
    POST /v1/service/{name}/resize         Resize        another amount for a member that runs; answers Resized
    POST /v1/service/{name}/back           Back          what follows an incarnation that is ready is done, or raised
    POST /v1/service/{name}/notes          Note          for people: why there is no answer
    POST /v1/service/{name}/run            RunTool       a one-shot tool beside a member; answers ToolResult
    GET|PUT|DELETE /v1/service/{name}/state/{key}        key-value space, compare-and-swap (StateWrite)
    POST /v1/service/{name}/replies/{id}   ActionReply   the answer to an ``action``
    POST /v1/service/{name}/progress/{id}  ActionProgress  how far it is

A host that runs several services reads ``GET /v1/host/stream`` too: the whole set of services that it should run
(:class:`Assignments`) and registers the packages that it has (``PUT /v1/packages/{name}/{version}``,
:class:`Package`, then ``POST /v1/host/ready``). Every event holds a whole set with a version: a lost one costs nothing.
"""

from upcall.protocol.service.calls import (
    KEY_CHARS_MAX,
    NOTE_CHARS_MAX,
    Accepted,
    ActionProgress,
    ActionReply,
    Answer,
    Answers,
    AskCredentials,
    Back,
    Credentials,
    Declare,
    Differ,
    Endpoint,
    Endpoints,
    Failed,
    Fits,
    Granted,
    MemberWanted,
    Note,
    Patience,
    Policy,
    Preview,
    Propose,
    Rescale,
    Resize,
    Resized,
    Retarget,
    RunTool,
    Starts,
    StateEntry,
    StateWrite,
    ToolResult,
    Way,
    Withdraw,
    Working,
)
from upcall.protocol.service.hosts import (
    ActionSpec,
    Assignment,
    Assignments,
    BringSpec,
    ClientSpec,
    CommandSpec,
    ContentSpec,
    Derive,
    Derived,
    DerivedReply,
    NeedSpec,
    NodeView,
    Package,
    ScheduleSpec,
)
from upcall.protocol.service.status import (
    DEGRADED_CHARS_MAX,
    DEGRADED_MAX,
    Degraded,
    Health,
    PhaseView,
    Plans,
    PlanView,
    StepView,
)
from upcall.protocol.service.stream import (
    Action,
    CancelAction,
    DiskUse,
    Heartbeat,
    Member,
    Members,
    Operation,
    Operations,
    Revision,
    Role,
    StreamEvent,
    Subscribed,
    Told,
    Wanted,
)

__all__ = (
    "DEGRADED_CHARS_MAX",
    "DEGRADED_MAX",
    "KEY_CHARS_MAX",
    "NOTE_CHARS_MAX",
    "Accepted",
    "Action",
    "ActionProgress",
    "ActionReply",
    "ActionSpec",
    "Answer",
    "Answers",
    "AskCredentials",
    "Assignment",
    "Assignments",
    "Back",
    "BringSpec",
    "CancelAction",
    "ClientSpec",
    "CommandSpec",
    "ContentSpec",
    "Credentials",
    "Declare",
    "Degraded",
    "Derive",
    "Derived",
    "DerivedReply",
    "Differ",
    "DiskUse",
    "Endpoint",
    "Endpoints",
    "Failed",
    "Fits",
    "Granted",
    "Health",
    "Heartbeat",
    "Member",
    "MemberWanted",
    "Members",
    "NeedSpec",
    "NodeView",
    "Note",
    "Operation",
    "Operations",
    "Package",
    "Patience",
    "PhaseView",
    "PlanView",
    "Plans",
    "Policy",
    "Preview",
    "Propose",
    "Rescale",
    "Resize",
    "Resized",
    "Retarget",
    "Revision",
    "Role",
    "RunTool",
    "ScheduleSpec",
    "Starts",
    "StateEntry",
    "StateWrite",
    "StepView",
    "StreamEvent",
    "Subscribed",
    "Told",
    "ToolResult",
    "Wanted",
    "Way",
    "Withdraw",
    "Working",
)
