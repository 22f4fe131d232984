"""``upcall top``: the cluster on one screen, as it changes (:mod:`upcall.cli.top.board` is what it shows)."""
