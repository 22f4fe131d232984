"""``kubectl drain`` asks first.

A drain posts evictions, one for each pod of the node, and again every five seconds where it is told "not now". We are
asked about each of them (:mod:`serving`, a validating webhook) and answer "not now" with the service's own reason,
until its experts have agreed; what is asked and what was agreed stands in a ``Disruption``, an object of our own
(:mod:`objects`), which the ledger's side reads and writes. So a webhook has no memory: any number of them may run, each
asks the API server, and the answer is a pure function of what stands there (:mod:`judging`).

Below lies a floor that holds while nobody of us is there: a PodDisruptionBudget that allows nothing covers each pod
that is held, and whoever is let go is taken from under it first.
"""
