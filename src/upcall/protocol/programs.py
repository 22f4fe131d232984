"""What a command runs, in a word: for sentences about tools and checks."""

from collections.abc import Sequence


def program(command: Sequence[str]) -> str:
    """What was run, as a person names it: ``nodetool`` for ``{{artifact.tools}}/bin/nodetool``; for an interpreter
    what it interprets."""
    name = command[0].rpartition("/")[2]
    name = name[2:-2].rpartition(".")[2] if name.startswith("{{") and name.endswith("}}") else name
    words = iter(command[1:])
    match name:
        case "java":
            for word in words:
                if word in ("-cp", "-classpath", "--class-path"):
                    next(words, "")
                elif not word.startswith(("-", "@", "{{")):
                    return word.rpartition(".")[2]
        case "python" | "python3":
            for word in words:
                if word == "-m":
                    return next(words, name)
                if word == "-c":
                    break
                if not word.startswith("-"):
                    return word.rpartition("/")[2]
    return name
