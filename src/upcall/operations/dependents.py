"""The order of a shutdown: who needs a service goes before it."""

from upcall.operations.book import Book


def dependents_down(book: Book, service: str) -> bool:
    """Shutdown goes from sources over jobs to stores: first what needs the service, then the service."""
    return all(
        member.leaving is None and (member.over or book.node_state(member.node) == "gone")
        for other in book.services.values()
        if service in other.needs and other.name != service and not _mutual(book, service, other.name)
        for member in book.members_of(other.name)
    )


def _mutual(book: Book, service: str, other: str) -> bool:
    """They need each other: then neither waits."""
    return other in _needs_of(book, service)


def _needs_of(book: Book, service: str) -> set[str]:
    """All that the service needs, also indirectly."""
    found: set[str] = set()
    front = [service]
    while front:
        known = book.services.get(front.pop())
        fresh = [need for need in (known.needs if known else ()) if need not in found]
        found.update(fresh)
        front.extend(fresh)
    return found
