"""What of Kubernetes is promised, and what was seen of it: ``make kubernetes-report``.

Figures that the tests on a real control plane have anyway are taken from these (``paths``, ``failover``); the others
are measured by files beside them (``tests/kubernetes/figures``), which run on the same test cluster, or here.
"""
