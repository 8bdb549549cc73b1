"""What stands before a Flask view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import request

from apsperf_mw.guards import ADDRESS, comes_from, reads, reads_of, speaks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask, Request

# Packages whose decorators decide who may pass, and how often.
PACKAGES = (
    "flask_login",
    "flask_httpauth",
    "flask_jwt_extended",
    "flask_limiter",
    "flask_security",
    "flask_principal",
    "flask_praetorian",
    "authlib",
)
LIMITER = "flask_limiter"
# What code before the view reads of a request where it decides by who asks.
WHO = frozenset({"remote_addr", "access_route", "authorization", "remote_user", "current_user"})

# The same of a view, whose other reads are seen as they happen.
ASKER = frozenset({"remote_addr", "access_route", "remote_user"})

_known: WeakKeyDictionary[Flask, dict[str, str]] = WeakKeyDictionary()


def guard(app: Flask, asked: Request) -> str:
    """What decides who may pass to the request's view, or an empty string."""
    endpoint = asked.endpoint
    if endpoint is None:
        return ""
    # The same view is asked by several methods, each with a guard of its own.
    name = f"{asked.method} {endpoint}"
    known = _known.setdefault(app, {})
    if name not in known:
        known[name] = guards_of(app, endpoint, asked.method)
    return known[name]


def guards_of(app: Flask, endpoint: str, method: str) -> str:
    """The same of any view."""
    return next(_guards(app, endpoint, method.lower()), "")


def _guards(app: Flask, endpoint: str, method: str) -> Iterator[str]:
    view = app.view_functions.get(endpoint)
    kind = getattr(view, "view_class", None)
    for each in (view, getattr(kind, method, None)):
        if each is not None and (found := comes_from(each, PACKAGES) or _read(each)):
            yield found
    for scope in (None, *around(endpoint)):
        for before in app.before_request_funcs.get(scope, ()):
            if found := comes_from(before, PACKAGES):
                if found != LIMITER or limits_all(before):
                    yield found
            elif found := reads(before, WHO):
                yield f"request.{found}"


def _read(view: Any) -> str:
    """What the view itself looks at to learn who asks."""
    found = reads_of(view, "request", ASKER, proxy=request)
    return f"request.{found}" if found else speaks_of(view, ADDRESS)


def around(endpoint: str) -> list[str]:
    """The blueprints that a view stands in, by their names."""
    names = endpoint.split(".")[:-1]
    return [".".join(names[: depth + 1]) for depth in range(len(names))]


def limits_all(before: Any) -> bool:
    """Whether a limiter limits routes that do not ask for it."""
    manager = getattr(getattr(before, "__self__", None), "limit_manager", None)
    named = ("_default_limits", "_application_limits")
    return manager is None or any(getattr(manager, name, True) for name in named)


def let_in(context: Any) -> bool:
    """Whether an extension has found out who asks, by whatever the request has."""
    user = context.g.get("_login_user") if hasattr(context, "g") else None
    return bool(getattr(user, "is_authenticated", False))
