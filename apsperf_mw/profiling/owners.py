"""Whose work a thread does: found by the frames on its stack.

Another thread's context variables cannot be read, so the frames of our shells are looked for,
which know their request, and those with which anyio and asyncio run a call in a worker thread,
which know the context that it has got.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING

from apsperf_mw.cache.policy import Plan, current
from apsperf_mw.profiling.stacks import local, outward

if TYPE_CHECKING:
    from types import FrameType

# Functions that have a request's plan in a variable of theirs, by file's end and name.
HOLDERS = (
    ("apsperf_mw/asgi.py", "_run", "x"),
    ("apsperf_mw/wsgi.py", "_run", "x"),
    ("apsperf_mw/pull.py", "__next__", "x"),
    ("apsperf_mw/asgi_watch.py", "__call__", "x"),
    ("apsperf_mw/wsgi_watch.py", "__call__", "x"),
    ("apsperf_django/watching.py", "serve", "x"),
    ("apsperf_django/watching.py", "serve_async", "x"),
    ("apsperf_mw/profiling/requests.py", "run_asgi", "plan"),
    ("apsperf_mw/profiling/requests.py", "run_wsgi", "plan"),
)
_NAMES = frozenset(name for _, name, _ in HOLDERS)


def owner(frame: FrameType | None) -> Plan | None:
    """The plan of the request that the innermost of these frames serves."""
    for each in outward(frame):
        name = each.f_code.co_name
        if name in _NAMES and (plan := _held(each, name)) is not None:
            return plan
        if name == "run" and (plan := _carried(each)) is not None:
            return plan
    return None


def _held(frame: FrameType, name: str) -> Plan | None:
    path = frame.f_code.co_filename.replace("\\", "/")
    for ending, function, variable in HOLDERS:
        if function == name and path.endswith(ending):
            held = local(frame, variable)
            plan = held if isinstance(held, Plan) else getattr(held, "plan", None)
            return plan if isinstance(plan, Plan) else None
    return None


def _carried(frame: FrameType) -> Plan | None:
    """What a worker thread of anyio's, or of asyncio's executor, has got with its call."""
    context = local(frame, "context")
    if not isinstance(context, Context):
        call = getattr(local(frame, "self"), "fn", None)
        run = getattr(call, "func", None)
        context = getattr(run, "__self__", None)
    return context.get(current) if isinstance(context, Context) else None
