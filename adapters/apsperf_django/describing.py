"""What Django knows of a request, told to the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.functional import LazyObject, empty

from apsperf_django.guards import guard
from apsperf_django.rules import rule_for
from apsperf_mw.guards import certified, certified_scope

if TYPE_CHECKING:
    from django.http import HttpRequest

    from apsperf_mw.cache.policy import Plan


def describe(request: HttpRequest, plan: Plan) -> None:
    """Fill the plan in from what Django resolved, and from whether the session was used."""
    match = request.resolver_match
    if match is not None:
        plan.route = plan.route or "/" + match.route
        plan.rule = plan.rule or rule_for(match.func, request.method or "")
        plan.guarded = plan.guarded or guard(match.func, request.method or "")
    session = getattr(request, "session", None)
    scope = getattr(request, "scope", None)
    shown = certified(request.META) if scope is None else certified_scope(scope)
    # Whoever asks for the CSRF token gets a page of their own; the flag stays once it was there.
    forms = "CSRF_COOKIE_NEEDS_UPDATE" in request.META
    used = session is not None and getattr(session, "accessed", True)
    if shown or forms or used:
        plan.private = True
    if not plan.guarded and let_in(request):
        plan.guarded = "request.user"


def let_in(request: HttpRequest) -> bool:
    """Whether a middleware has found out who asks, by whatever the request has.

    A user that is looked up when it is asked for, and was not, has told nobody anything.
    """
    user = vars(request).get("user")
    if isinstance(user, LazyObject) and vars(user).get("_wrapped") is empty:
        return False
    return bool(getattr(user, "is_authenticated", False))
