"""How the API server of a Kubernetes cluster is spoken to: who we are (:mod:`login`), one call (:mod:`connection`), the
verbs (:mod:`api`), and what is there as it changes (:mod:`watching`).

It is our own, on the HTTP client that we have anyway, because what we stand on is what the maintained libraries leave
out: a deletion that names the uid and version it was meant for, bookmarks, a watch that starts again by itself after
any failure and says what vanished meanwhile, the server's word on how long to wait. The generated one besides costs a
quarter of what the control plane may take. Objects are the JSON that the server sends, without ``managedFields``.
"""
