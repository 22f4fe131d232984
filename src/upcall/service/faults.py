"""What went wrong in an expert's code, as the expert wants to read it: the error, and his own file and line.

A mistake in a service's code is found where it is called: at a look (``pods``, ``task``, ``deploy``), at a question, in
a hook. It is told in ``upcall why``, in ``upcall logs --host SERVICE``, and fails the test that met it.
"""

import inspect
import linecache
import re
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from upcall.protocol.errors import Invalid, UpcallError
from upcall.service.attempts import in_words
from upcall.service.blame import line_of
from upcall.service.link import CUT_OFF, Fenced, MasterAway

if TYPE_CHECKING:
    from upcall.service.service import Service

PASSING = (UpcallError, ConnectionError, TimeoutError)
"""What may be otherwise in a moment: a system that is not there yet, a tool that failed. No mistake in the code."""

_UNEXPECTED = re.compile(r"[Uu]nexpected keyword argument '(\w+)'")
_CALLED = re.compile(r"[\w.]+(?=\()")


@dataclass(frozen=True)
class Fault:
    """Something that the expert's code raised."""

    what: str
    """What was called: ``task``, ``may_stop(web-0)``, ``after_ready(web-0)``."""
    words: str
    error: BaseException

    @property
    def mistake(self) -> bool:
        """It is the code's own; else it may pass."""
        return isinstance(self.error, Invalid) or not isinstance(self.error, PASSING)

    def __str__(self) -> str:
        return f"{self.what}: {self.words}"


def words(error: BaseException, service: "type[Service]") -> str:
    """The error in one line, with the place in the service's own files; what a wrong keyword could have been."""
    said = CUT_OFF if isinstance(error, Fenced | MasterAway) else in_words(error)
    if isinstance(error, TypeError):
        said += _valid_keywords(error, service)
    place = line_of(error)
    return f"{said} ({place})" if place else said


def sentence(error: BaseException) -> str:
    """Of what may pass, for people: without the place in the code, and without the class where it has words."""
    if isinstance(error, Fenced | MasterAway):
        return CUT_OFF
    return (error.problem.message if isinstance(error, UpcallError) else str(error)) or in_words(error)


def _frames(error: BaseException, service: "type[Service]") -> Iterable[traceback.FrameSummary]:
    """Those in the service's own files, the innermost first. Of a service of one file, that file."""
    file = Path(inspect.getfile(service)).resolve()
    own = file.parent if (file.parent / "__init__.py").is_file() else file
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path == own or own in path.parents:
            yield frame


def _valid_keywords(error: TypeError, service: "type[Service]") -> str:
    """Where a keyword is unknown: the known ones, of what stands at that place in the code."""
    if not _UNEXPECTED.search(str(error)):
        return ""
    for frame in _frames(error, service):
        line = linecache.getline(frame.filename, frame.lineno or 0)
        called = _CALLED.search(line[frame.colno or 0 :] if frame.colno is not None else line)
        names = _keywords(called[0].rpartition(".")[2], service) if called else []
        return f"; it takes {', '.join(names)}" if names else ""
    return ""


def _keywords(name: str, service: "type[Service]") -> list[str]:
    import upcall.service as sdk

    module = inspect.getmodule(service)
    found: Any = getattr(module, name, None) or getattr(sdk, name, None)
    if isinstance(found, type) and issubclass(found, msgspec.Struct):
        return [field.name for field in msgspec.structs.fields(found)]
    if isinstance(found, type) and is_dataclass(found):
        return [field.name for field in fields(found) if field.init and not field.name.startswith("_")]
    if isinstance(found, Callable):  # type: ignore[arg-type]
        return [one for one in inspect.signature(found).parameters if one != "self"]
    return []
