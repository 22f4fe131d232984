"""The operator API: what people and programs ask of the master (``/v1``, JSON, OpenAPI at ``/openapi.json``).

    GET  /v1/status                                  Status
    GET  /v1/packages                                list[PackageView]
    DELETE /v1/packages/{name}                       ?version=  -> list[PackageView] that are left (own ones only)
    GET  /v1/services                                list[ServiceView]
    POST /v1/services                                Install -> ServiceView
    POST /v1/services/preview                        Install -> {option: DerivedView}: refused as it would be; no change
    GET  /v1/services/{service}                      ServiceView (with plans, members, endpoints)
    POST /v1/services/{service}/uninstall            Uninstall -> OperationView
    POST /v1/services/{service}/keep                 Keep -> ServiceView: what the document says that keeps it
    POST /v1/services/{service}/unkeep               Unkeep -> ServiceView: that document is gone
    POST /v1/services/{service}/update               Update -> OperationView
    POST /v1/services/{service}/finalize             Ask -> OperationView: the point of no return of an upgrade
    POST /v1/services/{service}/update/preview       Update -> PreviewView: what it would change; changes nothing
    POST /v1/services/{service}/rebalance            Ask -> OperationView: it spreads its load anew
    GET  /v1/services/{service}/revisions            list[RevisionView], newest first
    GET  /v1/services/{service}/plans                list[PlanView of protocol.service, as JSON]
    POST /v1/services/{service}/plans/{plan}/{verb}  PlanControl (verb: pause, resume, force, restart) -> {}
    POST /v1/services/{service}/actions/{action}     arguments object -> the action's result, if it is there soon
    POST /v1/services/{service}/actions/{action}/begin  ?patience_s=  arguments object -> ActionView, at once
    POST /v1/services/{service}/actions/{action}/check  CheckAction -> CheckedAction; nothing is begun
    GET  /v1/services/{service}/actions              list[ActionView], newest first
    GET  /v1/actions/{id}                            ?wait_s=  -> ActionView
    POST /v1/actions/{id}/cancel                     Ask -> ActionView
    GET  /v1/endpoints                               list[EndpointView]
    GET  /v1/nodes                                   list[NodeView]
    POST /v1/nodes                                   AddNode -> NodeView
    POST /v1/nodes/{node}/drain                      Drain -> OperationView
    POST /v1/nodes/{node}/undrain                    Ask -> OperationView
    POST /v1/nodes/{node}/remove                     Drain -> OperationView
    GET  /v1/tasks                                   list[TaskView]
    GET  /v1/tasks/{member_or_task}                  TaskView
    POST /v1/tasks/{member_or_task}/{verb}           Ask (verb: restart, replace, start) -> OperationView
    GET  /v1/tasks/{member_or_task}/logs             ?lines=&follow=&stream=&after=  -> text/plain, streamed if followed
    GET  /v1/volumes                                 list[VolumesView]
    POST /v1/volumes/{set}/drop                      Ask -> VolumesView
    POST /v1/volumes/{set}/take-back                 Ask -> OperationView
    GET  /v1/operations                              ?all=  -> list[OperationView]
    GET  /v1/operations/{operation}                  OperationView
    GET  /v1/operations/{operation}/why              Why
    POST /v1/operations/{operation}/{verb}           Ask -> OperationView
                                                     (verb: force, cancel, pause, resume, assume_dead)
    GET  /v1/events                                  ?since=&follow=&detail=  -> list[Event], or server-sent events
    PUT  /v1/secrets/{name}                          SecretValue -> {}      GET /v1/secrets -> [SecretView]
    DELETE /v1/secrets/{name}                        -> SecretView of what nobody used
    POST /v1/secrets/{name}/grant                    SecretGrant -> services to which it may be given
    POST /v1/login-codes                             AskLogin -> LoginCode  GET /v1/login-codes/{id} -> LoginState
    POST /v1/login                                   Login -> {token} (the page asks, for a browser)
    POST /v1/shutdown, /v1/startup                   Ask -> OperationView
    PUT  /v1/packages/{name}/{version}               protocol.service.Package, PUT /v1/blobs/{sha256} (bytes)

Errors are :class:`upcall.protocol.errors.Problem` as JSON with the status of the error's kind. Every call carries
``Authorization: Bearer <token>``.
"""

from upcall.protocol.operator.access import (
    AccessView,
    AskLogin,
    Grant,
    Granted,
    Login,
    LoginCode,
    LoginPurpose,
    LoginState,
    PersonRole,
    SecretView,
)
from upcall.protocol.operator.cluster import EVENT_KINDS, Event, NodeView, OperationView, Status, VolumesView, Why
from upcall.protocol.operator.services import (
    ActionProblem,
    ActionView,
    CheckedAction,
    CredentialsView,
    DegradedView,
    DerivedView,
    EndpointView,
    KeeperView,
    PackageView,
    PreviewView,
    RevisionView,
    ScheduleView,
    ServiceView,
    TaskView,
)
from upcall.protocol.operator.wishes import (
    DRAIN_WINDOW_S,
    AddNode,
    Ask,
    CheckAction,
    Drain,
    DrainTogether,
    Install,
    Keep,
    Keeper,
    Made,
    Nodes,
    PlanControl,
    SecretGrant,
    SecretValue,
    UndrainTogether,
    Uninstall,
    Unkeep,
    Update,
)
from upcall.protocol.operator.words import LINE, NAME, NAME_WORDS, WORD, Strict, View, refusal

__all__ = [
    "DRAIN_WINDOW_S",
    "EVENT_KINDS",
    "LINE",
    "NAME",
    "NAME_WORDS",
    "WORD",
    "AccessView",
    "ActionProblem",
    "ActionView",
    "AddNode",
    "Ask",
    "AskLogin",
    "CheckAction",
    "CheckedAction",
    "CredentialsView",
    "DegradedView",
    "DerivedView",
    "Drain",
    "DrainTogether",
    "EndpointView",
    "Event",
    "Grant",
    "Granted",
    "Install",
    "Keep",
    "Keeper",
    "KeeperView",
    "Login",
    "LoginCode",
    "LoginPurpose",
    "LoginState",
    "Made",
    "NodeView",
    "Nodes",
    "OperationView",
    "PackageView",
    "PersonRole",
    "PlanControl",
    "PreviewView",
    "RevisionView",
    "ScheduleView",
    "SecretGrant",
    "SecretValue",
    "SecretView",
    "ServiceView",
    "Status",
    "Strict",
    "TaskView",
    "UndrainTogether",
    "Uninstall",
    "Unkeep",
    "Update",
    "View",
    "VolumesView",
    "Why",
    "refusal",
]
