"""What a pod that we made has in its environment."""

from collections.abc import Mapping

from upcall.protocol.errors import Invalid


def word(environment: Mapping[str, str], name: str) -> str:
    """Raises :class:`Invalid` where it is not set, or empty."""
    if not (found := environment.get(name, "")):
        raise Invalid(f"{name} is not set", where=name, expected="the environment of a pod that upcall made")
    return found
