"""Where a view bears its mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import rule_of
from apsperf_mw.guards import held, layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apsperf_mw.cache.policy import Rule


def rule_for(view: Any, method: str) -> Rule | None:
    """The mark of a view, of its class, of the class's method, or of an operation's function."""
    found = rule_of(view)
    if found is not None:
        return found
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if isinstance(kind, type):
        marks = (rule_of(getattr(kind, name, None)) for name in handlers(view, method))
        return next(filter(None, marks), None) or rule_of(kind)
    return next((rule_of(each.view_func) for each in operations(view, method)), None)


def handlers(view: Any, method: str) -> tuple[str, ...]:
    """The methods of a view's class that answer a method: those of a set of views have names."""
    actions = getattr(view, "actions", None) or {}
    name = method.lower()
    return (name,) if name not in actions else (name, actions[name])


def operations(view: Any, method: str) -> Iterator[Any]:
    """What Django Ninja does for a method, which its view has closed over."""
    if getattr(view, "__module__", "") == "ninja.operation":
        for layer in layers(view):
            for path in held(layer):
                for each in getattr(path, "operations", None) or ():
                    if method in each.methods:
                        yield each
