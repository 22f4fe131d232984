"""Puts a control plane into a Kubernetes cluster, reaches it there, and takes it away.

What is put there is one list of objects (:mod:`objects`, without I/O). ``upcall up --on kubernetes`` applies it
(:mod:`installing`), the Helm chart is the same list with the chart's words in the place of values (:mod:`chart`). The
command line reaches the control plane through a port that the API server forwards (:mod:`tunnel`).
"""
