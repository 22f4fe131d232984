"""The substrate ``kubernetes``: tasks as pods of a cluster that somebody else runs.

What is here is pure (no I/O, clock or chance), as every core of ours, but for :mod:`client`, by which an API server is
spoken to, :mod:`speaking`, which carries the core's requests there, and the webhook in :mod:`evictions`. It is tested
against a played API server in virtual time (:mod:`upcall.testing.kubernetes`), by the same scenarios as the two
simulated kinds. What does not exist yet stands in ``docs/kubernetes.md``.
"""
