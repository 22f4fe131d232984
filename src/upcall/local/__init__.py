"""The machines that we run ourselves: virtual nodes on this machine, each with an agent that dials in.

What is decided about them is :mod:`upcall.substrate.local`, which has no I/O. Here are the agents' door and their
connections, the keeper that keeps them, and nodes that come and go. :func:`upcall.local.machines.make` is what
``cluster.json`` names ``local``.
"""
