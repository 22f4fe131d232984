"""``upcall demo``: the command, the size of what it installs, and what it promises."""
