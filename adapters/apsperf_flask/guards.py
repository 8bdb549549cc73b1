"""What stands before a Flask view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import request

from apsperf_mw.guards import comes_from, held
from apsperf_mw.reading import ADDRESS, asks_for, parts, reads, reads_of, speaks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

METHODS = ("dispatch_request",)

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
    methods = (*METHODS, method)
    for each in (view, *methods_of(view, methods)):
        if each is not None and (found := comes_from(each, PACKAGES)):
            yield found
    if found := reads_of(view, "request", ASKER, request, methods):
        yield f"request.{found}"
    if found := speaks_of(view, ADDRESS, methods):
        yield found
    for scope in (None, *around(endpoint)):
        known: list[Any] = [*app.before_request_funcs.get(scope, ())]
        for before in [*known, *app.url_value_preprocessors.get(scope, ())]:
            yield from _before(app, before)
    yield from _limits_of(app, endpoint)


def methods_of(view: Any, names: Iterable[str]) -> Iterator[Any]:
    """The methods of a class of views, as it and its bases define them."""
    kind = getattr(view, "view_class", None)
    for base in kind.__mro__ if isinstance(kind, type) else ():
        yield from (vars(base)[name] for name in names if name in vars(base))


def _before(app: Flask, before: Any) -> Iterator[str]:
    """Why what runs before a view is a guard."""
    if found := comes_from(before, PACKAGES):
        if found != LIMITER or limits_all(before):
            yield found
        return
    if found := reads_of(before, "request", WHO, request) or reads(before, WHO):
        yield f"request.{found}"
    if found := speaks_of(before, ADDRESS) or asks_for(before, "request", request):
        yield found
    if any(limiter in held_by(before) for limiter in limiters(app)):
        yield LIMITER


def held_by(view: Any) -> list[Any]:
    """What a function's module and closure have by the names that it speaks of."""
    return [
        part.known[name]
        for part in parts(view)
        for name in part.code.co_names
        if name in part.known
    ] + held(view)


def limiters(app: Flask) -> set[Any]:
    """The app's limiters."""
    known = app.extensions.get("limiter") or ()
    return set(known) if isinstance(known, (set, list, tuple)) else {known}


def _limits_of(app: Flask, endpoint: str) -> Iterator[str]:
    """Whether a limiter limits the blueprint that a view stands in."""
    for limiter in limiters(app):
        manager = getattr(limiter, "limit_manager", None)
        limited = getattr(manager, "_blueprint_limits", None) or {}
        if any(name in limited for name in around(endpoint)):
            yield LIMITER


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
