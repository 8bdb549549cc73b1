"""Which line of the app sends a statement, and why a mapper has sent it: read from the stack.

Takes microseconds for each frame: only for what has crossed a threshold.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from sysconfig import get_paths
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    Fix = Callable[[Any, FrameType], str]

MOST_FRAMES = 200
OURS = frozenset(
    {"apsperf_mw", "apsperf_django", "apsperf_fastapi", "apsperf_flask", "apsperf_pytest"}
)
LIBRARIES = tuple(
    {get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {"<"}
)

ONE_SELECT = "one select(...).where(key.in_(keys)) in place of many session.get(...)"
IN_BULK = "in_bulk(keys) in place of many get(...)"
BULK = "bulk_create or bulk_update"
# What is said where nothing further out tells more.
PLAIN = frozenset({ONE_SELECT, IN_BULK, BULK})


def frames() -> Iterator[FrameType]:
    """Those of this thread, from the innermost outwards, but for the suite's own."""
    frame: FrameType | None = sys._getframe(1)
    outer = outer_frames()
    for _ in range(MOST_FRAMES):
        if frame is None:
            frame = next(outer, None)
        if frame is None:
            return
        name = str(frame.f_globals.get("__name__", ""))
        if name == "asgiref.sync" and frame.f_code.co_name == "thread_handler":
            return  # what is further out only lends its thread to a task
        if name.partition(".")[0] not in OURS:
            yield frame
        frame = frame.f_back


def outer_frames() -> Iterator[FrameType]:
    """Where those wait in whose stead this greenlet runs, as async SQLAlchemy's do."""
    greenlets = sys.modules.get("greenlet")
    one = None if greenlets is None else greenlets.getcurrent().parent
    while one is not None:
        if one.gr_frame is not None:
            yield one.gr_frame
        one = one.parent


def site_of() -> str:
    """The app's own line that has led here, as `file:line in function`, or an empty string."""
    for frame in frames():
        file = frame.f_code.co_filename
        if not is_library(file):
            return f"{shown(file)}:{frame.f_lineno} in {frame.f_code.co_qualname}"
    return ""


@lru_cache(maxsize=1024)
def is_library(file: str) -> bool:
    """Whether the file belongs to Python or to something installed."""
    return file.startswith(LIBRARIES)


@lru_cache(maxsize=1024)
def shown(file: str) -> str:
    """The file below the working directory, else its last two parts."""
    path = Path(file)
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return "/".join(path.parts[-2:])


def cause_of(fixes: Mapping[str, Fix] | None = None) -> str:
    """What to type so that a mapper does not send it again and again, or an empty string.

    Who follows a key is told so, though the key itself is got like any other.
    """
    known = FIXES if fixes is None else fixes
    plain = ""
    for frame in frames():
        owner: Any = frame.f_locals.get("self")
        if owner is None:
            continue
        for kind in type(owner).__mro__:
            fix = known.get(kind.__name__.lstrip("_"))
            said = "" if fix is None else _try(fix, owner, frame)
            if said in PLAIN:
                plain = plain or said
            elif said:
                return said
    return plain


def _try(fix: Fix, owner: Any, frame: FrameType) -> str:
    """What a fix says; other releases of a mapper may have other names."""
    try:
        return fix(owner, frame)
    except (AttributeError, TypeError, StopIteration):
        return ""


def lazy(loader: Any, _: FrameType) -> str:
    """SQLAlchemy: a relationship is loaded for one object after the other."""
    relation = loader.parent_property
    return f"selectinload({relation.parent.class_.__name__}.{relation.key})"


def deferred(loader: Any, _: FrameType) -> str:
    """SQLAlchemy: so is a column."""
    return f"undefer({loader.parent.class_.__name__}.{loader.key})"


def expired(_: Any, frame: FrameType) -> str:
    """SQLAlchemy: so is what a commit has made invalid."""
    if frame.f_code.co_name == "_load_expired":
        return "expire_on_commit=False, or one select of what was committed"
    return ""


def session(_: Any, frame: FrameType) -> str:
    """SQLAlchemy: objects are fetched by key, or written, one at a time."""
    if frame.f_code.co_name == "get":
        return ONE_SELECT
    return ""


def forward(descriptor: Any, _: FrameType) -> str:
    """Django: a foreign key is followed for one object after the other."""
    return f"select_related({descriptor.field.name!r})"


def backward_one(descriptor: Any, _: FrameType) -> str:
    """Django: so is a one-to-one key, from its other end."""
    return f"select_related({descriptor.related.get_accessor_name()!r})"


def attribute(descriptor: Any, _: FrameType) -> str:
    """Django: a field that was left out is loaded."""
    return f"load {descriptor.field.attname!r} with the others: no defer() of it, or only() with it"


def query_set(rows: Any, frame: FrameType) -> str:
    """Django: what belongs to an object is asked for one object after the other."""
    verb = frame.f_code.co_name
    if known := rows._known_related_objects:
        name = next(iter(known)).remote_field.get_accessor_name()
        if verb == "count":
            return f"annotate(Count({name!r}))"
        if verb == "exists":
            return f"annotate(Exists(...)) over {name!r}"
        return f"prefetch_related({name!r})" if verb in {"_fetch_all", "__iter__"} else ""
    return IN_BULK if verb == "get" else ""


def model(_: Any, frame: FrameType) -> str:
    """Django: objects are written one at a time."""
    return BULK if frame.f_code.co_name == "save" else ""


# What loads a part of an object when it is asked for, by the name of its class.
LAZY: dict[str, Fix] = {
    "LazyLoader": lazy,
    "DeferredColumnLoader": deferred,
    "InstanceState": expired,
    "ForwardManyToOneDescriptor": forward,
    "ReverseOneToOneDescriptor": backward_one,
    "DeferredAttribute": attribute,
}
FIXES: dict[str, Fix] = {**LAZY, "Session": session, "QuerySet": query_set, "Model": model}
