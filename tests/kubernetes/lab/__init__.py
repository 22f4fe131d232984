"""A real Kubernetes on loopback: its program (:mod:`building`), its control plane (:mod:`control_plane`), and nodes
that are played through its API (:mod:`nodes`)."""
