"""The documentation's pictures, drawn from the table so that they cannot be out of date."""

from upcall.operations.table import CLASSES, KINDS, RANK, TRANSITIONS, Shape, State

_SHAPES: tuple[tuple[tuple[Shape, ...], str], ...] = (
    (("away", "back"), "What ends an incarnation: stop, restart, cure, lost"),
    (("removal",), "Removals: the member leaves before it ends"),
    (("foreign", "plan"), "What others end, and plans"),
    (("node", "system"), "Maintenance and shutdown: in effect until lifted"),
)
_FINAL: tuple[State, ...] = ("failed", "withdrawn", "declined", "lifted")


def mermaid(shapes: tuple[Shape, ...]) -> str:
    """A state diagram of the operations of these shapes."""
    words: dict[tuple[State, State], list[str]] = {}
    for transition in TRANSITIONS:
        here = [shape for shape in transition.shapes if shape in shapes]
        if here:
            narrower = ", ".join((*transition.kinds, *transition.classes))
            word = transition.word + (f" ({narrower})" if narrower else "")
            words.setdefault((transition.state, transition.next), []).append(word)
    lines = ["stateDiagram-v2", "    [*] --> open"]
    for (state, following), found in words.items():
        lines.append(f"    {state} --> {following}: {' / '.join(dict.fromkeys(found))}")
    ends = {following for _, following in words} - {state for state, _ in words}
    lines += [f"    {state} --> [*]" for state in ("done", *_FINAL) if state in ends]
    return "\n".join(lines)


def markdown() -> str:
    """The generated part of ``docs/operations.md``."""
    parts = ["| class | who wins | kinds |", "| --- | --- | --- |"]
    for class_ in sorted(CLASSES, key=lambda c: RANK[c]):
        kinds = ", ".join(f"`{kind}`" for kind, row in KINDS.items() if row.class_ == class_)
        parts.append(f"| {class_} | {CLASSES[class_]} | {kinds or '`restart` of what is ill'} |")
    parts += ["", "| kind | class | asked? | what it does |", "| --- | --- | --- | --- |"]
    for kind, row in KINDS.items():
        parts.append(f"| `{kind}` | {row.class_} | {'asked' if row.asked else 'told'} | {row.meaning} |")
    for shapes, title in _SHAPES:
        parts += ["", f"### {title}", "", "```mermaid", mermaid(shapes), "```"]
    return "\n".join(parts)


BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def in_document(text: str) -> str:
    """The document with its generated part as the table says now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    print(markdown())
