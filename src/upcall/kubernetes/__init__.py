"""The machines of a Kubernetes cluster, for a master that runs in it or outside of it.

What is decided is :mod:`upcall.substrate.kubernetes`, without I/O. Here it is connected: one API server, one namespace,
the webhook that is asked about evictions. What a data folder says of them is :mod:`settings`; what the master has of
them is :mod:`machines`. A master in the cluster is :mod:`control_plane`, and who puts it there :mod:`installing`.
"""
