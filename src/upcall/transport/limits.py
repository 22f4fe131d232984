"""The limit of open files: the soft one is for programs that use ``select``, which ours do not."""

import resource


def raise_open_files() -> int:
    """The soft limit becomes the hard one; gives it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
