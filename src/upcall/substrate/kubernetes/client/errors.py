"""What an API server answers when it does not do what was asked. Its own words are the message."""

from typing import Any, Final


class ApiError(Exception):
    """Any answer that is no success."""

    def __init__(
        self, message: str, *, status: int, reason: str = "", causes: tuple[str, ...] = (), wait_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        """One word of the server's: ``AlreadyExists``, ``Expired``, ``FieldManagerConflict``."""
        self.causes = causes
        """One for each field or rule concerned."""
        self.wait_s = wait_s
        """How long the server asks to wait before the next try."""


class NotFound(ApiError):
    """The object, or its kind, is not there."""


class AlreadyExists(ApiError):
    pass


class Conflict(ApiError):
    """It is not what the call took it for: another version, another uid, a field that is somebody else's."""


class Gone(ApiError):
    """The version to go on from is too old: what is there must be listed anew."""


class Unauthorized(ApiError):
    """The server does not know who we are."""


class Forbidden(ApiError):
    """We may not; the message names the verb, the kind and the namespace. Also what an admission rule denied."""


class Invalid(ApiError):
    """The object breaks its schema."""


class TooMany(ApiError):
    """Not now: too many calls, or an eviction that a budget or a webhook holds."""


class Unreachable(ApiError):
    """No answer. Whether the call was carried out is not known."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=0, reason="Unreachable")


KINDS: Final[dict[int, type[ApiError]]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooMany,
}


def from_status(status: int, said: Any, wait_s: float | None = None) -> ApiError:
    """``said``: the ``Status`` object of the answer, or whatever text stood in its place."""
    if not isinstance(said, dict) or said.get("kind") != "Status":
        return KINDS.get(status, ApiError)(str(said)[:500] or f"answer {status}", status=status, wait_s=wait_s)
    code = int(said.get("code") or status)
    reason = said.get("reason") or ""
    details = said.get("details") or {}
    causes = tuple(cause.get("message") or cause.get("reason") or "" for cause in details.get("causes") or ())
    told_s = details.get("retryAfterSeconds")
    kind = AlreadyExists if reason == "AlreadyExists" else KINDS.get(code, ApiError)
    return kind(
        said.get("message") or reason or f"answer {code}",
        status=code,
        reason=reason,
        causes=causes,
        wait_s=wait_s if wait_s is not None else float(told_s) if told_s else None,
    )
