"""The substrate ``kubernetes`` on a played API server, in virtual time."""

from upcall.testing.kubernetes.cluster import PlayedKubernetes

__all__ = ["PlayedKubernetes"]
