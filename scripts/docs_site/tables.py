"""Words in a cell of a table."""


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """As it is written; empty: nothing."""
    return f"`{' '.join(text.split())}`".replace("|", "\\|") if text else ""
