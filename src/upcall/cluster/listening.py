"""Names of the sockets that the keeper holds for master and page (:mod:`upcall.transport.inherited`). A module of its
own: the page knows its name before it loads anything."""

from typing import Final

API: Final = "api"
PAGE: Final = "page"
