"""How our processes reach each other: sockets, who is at the other end, and how much of him is heard.

Whoever speaks to the master does so over a Unix socket in a folder of the cluster's owner, and the kernel tells each
side which user the other is (:mod:`upcall.transport.unix`) before a byte is sent. What browsers and other tools reach
is TCP: the keeper holds these sockets for the cluster's whole life (:mod:`upcall.transport.inherited`). Our servers
(:mod:`upcall.transport.server`) bound what a stranger costs: connections, headers, bodies and time
(:mod:`upcall.transport.bounds`, :mod:`upcall.transport.http`).
"""
