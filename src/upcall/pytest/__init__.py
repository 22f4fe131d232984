"""Real systems in a person's own tests: a plug-in of pytest (``plugin``), which starts a cluster and hands out its
services.

What a process of pytest uses it holds by locks, which the kernel takes back however that process ends
(``holding``). A small process beside it (``guardian``), which imports next to nothing, waits for these locks: with the
last one the cluster ends, and its folder goes. The systems themselves, typed, are in ``systems``.
"""
