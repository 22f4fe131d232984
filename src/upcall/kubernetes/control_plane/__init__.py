"""``upcall-pod control-plane``: a control plane in a pod of the cluster that it looks after.

One process (:mod:`living`) stands around a master and a host of services. What they need of a data folder is made anew
at each start (:mod:`folder`): who this cluster is, its tokens and its certificate stand in one Secret
(:mod:`identity`), what is durable in the API server. So replicas need nothing of each other, and a pod that is lost
takes nothing with it.

Of several one leads. It says so by a label of its own pod (:mod:`leading`), by which the Service finds it: members'
pods, the API server's webhook and the command line all go where that label is.
"""
