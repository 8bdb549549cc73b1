"""What stands before a Django view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.module_loading import import_string

from apsperf_django.rules import handlers, operations
from apsperf_mw.guards import comes_from, layers
from apsperf_mw.reading import ADDRESS, only_looks, speaks_of, top_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
# What the REST framework asks, and what of its own is seen otherwise: it uses the session, or a
# field that counts as a credential.
REST_PACKAGE = "rest_framework"
REST: dict[str, frozenset[str]] = {
    "authentication_classes": frozenset({"SessionAuthentication", "BasicAuthentication"}),
    "permission_classes": frozenset({"AllowAny", "BasePermission"}),
    "throttle_classes": frozenset(),
}
# Methods of its views by which a project decides itself.
REST_HOOKS = (
    *("get_permissions", "get_authenticators", "get_throttles", "check_permissions"),
    *("check_throttles", "perform_authentication", "initial", "check_object_permissions"),
)
# Of a class of views, what runs for each request.
METHODS = ("setup", "dispatch")
# What middleware does before a view, behind whatever stands before it: by these nobody decides.
HARMLESS_MIDDLEWARE = (
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.admindocs.middleware.XViewMiddleware",
    "apsperf_django.middleware.SuiteMiddleware",
    "debug_toolbar.middleware.DebugToolbarMiddleware",
)
LOGIN = "django.contrib.auth.middleware.LoginRequiredMiddleware"

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
    methods = (*METHODS, *handlers(view, method))
    if found := comes_from(view, MODULES) or speaks_of(view, ADDRESS, methods):
        yield found
    yield from _of_middleware(view)
    for layer in layers(view):
        kind = getattr(layer, "view_class", None) or getattr(layer, "cls", None)
        if isinstance(kind, type):
            yield from _of_class(kind, methods)
            yield from _of_rest(kind, getattr(layer, "initkwargs", None) or {})
    for operation in operations(view, method):
        yield from _of_operation(operation)


def _of_operation(operation: Any) -> Iterator[str]:
    """The guards of one of Django Ninja's."""
    for name in ("auth_callbacks", "throttle_objects"):
        if getattr(operation, name, None):
            yield name
    if found := comes_from(operation.view_func, MODULES) or speaks_of(operation.view_func, ADDRESS):
        yield found


def _of_middleware(view: Any) -> Iterator[str]:
    """Middleware that decides when the view is known: a hit passes none of it."""
    for name in settings.MIDDLEWARE or ():
        if name == LOGIN:
            if getattr(view, "login_required", True):
                yield name
        elif name not in HARMLESS_MIDDLEWARE and decides(name):
            yield name


def decides(name: str) -> bool:
    """Whether a middleware looks at views before they run."""
    try:
        made = import_string(name)
    except ImportError:
        return False
    looks = getattr(made, "process_view", None)
    return looks is not None and not only_looks(looks)


def forget() -> None:
    """The settings have changed."""
    _known.clear()


def _of_class(kind: Any, methods: Iterable[str]) -> Iterator[str]:
    """The guards of a class of views: its bases, and what decorates its methods and theirs."""
    for base in kind.__mro__:
        if base.__module__ in MODULES:
            yield base.__name__
        for name in methods:
            part = vars(base).get(name)
            if part is not None and (found := comes_from(part, MODULES)):
                yield found


def _of_rest(kind: Any, given: dict[str, Any]) -> Iterator[str]:
    """The guards of one of the REST framework's views; an action may have its own."""
    if not any(top_of(base.__module__) == REST_PACKAGE for base in kind.__mro__):
        return
    for policy, free in REST.items():
        for each in given.get(policy) or getattr(kind, policy, None) or ():
            name = getattr(each, "__name__", policy)
            if name not in free or top_of(getattr(each, "__module__", "")) != REST_PACKAGE:
                yield name
    for name in REST_HOOKS:
        hook = getattr(kind, name, None)
        if hook is not None and top_of(getattr(hook, "__module__", "")) != REST_PACKAGE:
            yield name
