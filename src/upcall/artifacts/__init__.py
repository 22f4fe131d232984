"""What a task runs, fetched from the public package registries, locked and verified by hash.

A package of the catalog names what it runs by *lock files*: every file with its SHA-256 and size, and no address.
The tools of each registry know where their registry is (``uv`` for Python, ``jgo`` for Maven), so no host is named
here, and mirrors that a user configured for those tools are honoured. They say where a file is; the bytes come by
:mod:`~upcall.artifacts.transfer`, which goes on inside a file where an earlier attempt stopped.

Three layers, each with one job:

* :mod:`~upcall.artifacts.lock`: what exactly is wanted (pure);
* :mod:`~upcall.artifacts.cache`: files by hash and *realised* trees by key, shared by all processes of a machine;
* kinds (:mod:`~upcall.artifacts.maven`, ``wheels``, ``java``, ``environments``, ``files``, ``archives``): how one lock
  becomes a folder that a command can use, each behind :class:`~upcall.artifacts.kinds.Kind`.

:func:`~upcall.artifacts.fetch.fetch` ties them together. When everything is cached it touches no network at all.
"""
