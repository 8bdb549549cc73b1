"""What stands before a Django view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_django.rules import operations
from apsperf_mw.guards import ADDRESS, comes_from, speaks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Modules whose decorators and classes decide who may pass, and how often.
MODULES = (
    "django.contrib.auth.decorators",
    "django.contrib.auth.mixins",
    "django.contrib.admin.views.decorators",
    "django_ratelimit",
    "guardian",
    "axes",
    "oauth2_provider",
)
# What the REST framework asks, and what of it is seen otherwise: it uses the session, or a field
# that counts as a credential.
REST: dict[str, frozenset[str]] = {
    "authentication_classes": frozenset({"SessionAuthentication", "BasicAuthentication"}),
    "permission_classes": frozenset({"AllowAny", "BasePermission"}),
    "throttle_classes": frozenset(),
}

_known: dict[tuple[Callable[..., Any], str], str] = {}
MOST_KNOWN = 4096


def guard(view: Callable[..., Any], method: str = "GET") -> str:
    """What decides who may pass to a view, or an empty string."""
    try:
        known = _known.get((view, method))
    except TypeError:  # it cannot be told from others
        return _found(view, method)
    if known is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        known = _known[view, method] = _found(view, method)
    return known


def _found(view: Callable[..., Any], method: str) -> str:
    return next(_guards(view, method), "")


def _guards(view: Any, method: str) -> Iterator[str]:
    if found := comes_from(view, MODULES) or speaks_of(view, ADDRESS):
        yield found
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if isinstance(kind, type):
        yield from _of_class(kind, method)
        yield from _of_rest(kind, getattr(view, "initkwargs", None) or {})
    for operation in operations(view, method):
        for name in ("auth_callbacks", "throttle_objects"):
            if getattr(operation, name, None):
                yield name


def _of_class(kind: Any, method: str) -> Iterator[str]:
    """The guards of a class of views: its bases, its methods, and those of the REST framework."""
    for base in kind.__mro__:
        if base.__module__ in MODULES:
            yield base.__name__
    for name in ("dispatch", method.lower()):
        part = getattr(kind, name, None)
        if found := comes_from(part, MODULES) or speaks_of(part, ADDRESS):
            yield found


def _of_rest(kind: Any, given: dict[str, Any]) -> Iterator[str]:
    """The guards of one of the REST framework's views; an action may have its own."""
    for policy, free in REST.items():
        for each in given.get(policy) or getattr(kind, policy, None) or ():
            name = getattr(each, "__name__", policy)
            if name not in free:
                yield name
