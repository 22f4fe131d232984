"""Real nodes for the test cluster: kubelets and containerd, each in namespaces of its own, on one machine.

What holds them (:mod:`keeper`), what runs in one (:mod:`inside`) and by which settings (:mod:`settings`), how they
reach each other (:mod:`network`), and what a cluster has beside its nodes: names and volumes (:mod:`beside`).
"""
