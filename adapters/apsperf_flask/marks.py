"""Where a Flask view bears its mark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw.cache.policy import rule_of

if TYPE_CHECKING:
    from apsperf_mw.cache.policy import Rule


def rule_for(view: Any, method: str) -> Rule | None:
    """The mark of a view, of its class's method, or of its class."""
    found = rule_of(view)
    kind = getattr(view, "view_class", None)
    if found is not None or kind is None:
        return found
    own = getattr(kind, method.lower(), None) or getattr(kind, "dispatch_request", None)
    return rule_of(own) or rule_of(kind)
