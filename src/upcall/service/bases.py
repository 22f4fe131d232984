"""What all members had before an update: the options of then, and what they made of the members.

Nobody can always say that. The options may be of other code, or the code raises or hangs with them: then they may be
what the update mends, and it goes by what each member runs.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from upcall.protocol.errors import UpcallError
from upcall.service import course as courses
from upcall.service.changing import between
from upcall.service.comparing import declarations, with_options
from upcall.service.course import Course
from upcall.service.options import ServiceOptions, validated
from upcall.service.service import Service
from upcall.service.trying import apart


async def looked_at(service: Service, course: Course, last: Course | None) -> Course:
    """What it changes, beside what a change before it may have left."""
    names = tuple(declarations(service))
    base = base_of(service, course)
    was = await _told(service, base) if base is not None else None
    if base is None or was is None:
        there = tuple(service._context.members)
        course = replace(course, upgrade=True, base_unknown=True)
        return courses.with_differences(course, was=there, wanted=names, touched=())
    touched = [change.name for change in between(base, service.options)]
    if last is not None and last.life == course.life and (tried := options_of(service, last.options)) is not None:
        touched += [change.name for change in between(tried, service.options)]
    return courses.with_differences(course, was=was, wanted=names, touched=touched)


async def _told(service: Service, base: ServiceOptions) -> tuple[str, ...] | None:
    """The members under the options of before. None: these are broken themselves, or hang, and may be what is
    mended."""
    try:
        return tuple(await apart(service, service.answer_timeout_s, declarations, with_options(service, base)))
    except Exception:
        return None


def base_of(service: Service, course: Course) -> ServiceOptions | None:
    """What all members had before. None: nobody can say what that made of them."""
    return None if course.base_unknown else options_of(service, course.base)


def options_of(service: Service, given: Mapping[str, Any]) -> ServiceOptions | None:
    """None: they are of other code, and mean nothing here."""
    with suppress(UpcallError):
        return validated(service.Options, given, where=service.name)
    return None
