"""The mounts that a request goes through, and what its innermost scope says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Mount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

# Where a scope has the number of the one that came in, and then the one that the app's router was
# given where that is another: a middleware has copied it on the way. None where it is the same,
# which must not lead to itself.
INNER = "apsperf.inner"


class Hearing:
    """Stands before a router's routes, and tells which scope has come to them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one connection."""
        heard = scope.get(INNER)
        if heard is not None and len(heard) == 1:
            heard.append(None if heard[0] == id(scope) else scope)
        return self.app(scope, receive, send)


def hear(app: Any) -> None:
    """Have an app's router tell, once."""
    router: Any = getattr(app, "router", None)
    within = getattr(router, "middleware_stack", None)
    if within is not None and type(within) is not Hearing:
        router.middleware_stack = Hearing(within)


def be_deaf(app: Any) -> None:
    """Have an app's router tell no more."""
    router: Any = getattr(app, "router", None)
    within = getattr(router, "middleware_stack", None)
    if type(within) is Hearing:
        router.middleware_stack = within.app


def innermost(scope: Scope) -> Scope:
    """The scope in which routing has left what it found."""
    heard = scope.get(INNER)
    return scope if heard is None or len(heard) < 2 or heard[1] is None else heard[1]


def mounted_at(scope: Scope) -> tuple[str, str]:
    """The part of the path that mounts have taken, and the rest of it with that."""
    root: str = scope.get("root_path", "")
    base: str = scope.get("app_root_path", root)  # where the server has put the app
    return root.removeprefix(base), scope["path"].removeprefix(base)


def is_mounted(scope: Scope) -> bool:
    """Whether a mount has taken a part of the path."""
    root = scope.get("root_path", "")
    return bool(root) and root != scope.get("app_root_path", root)


def mounts_of(scope: Scope) -> Iterator[tuple[Mount | None, str]]:
    """The mounts and what they have taken of the path; a None where they are not known.

    The scope has only what they matched, which may not be told from the values in it: the mounts
    are matched again, in the order of the routes.
    """
    mounted, path = mounted_at(scope)
    routes: Any = getattr(scope.get("router"), "routes", ())
    while mounted:
        mount, taken = entered(routes, path)
        if mount is None or not mounted.startswith(taken):
            yield None, ""
            return
        yield mount, taken
        path, mounted, routes = path[len(taken) :], mounted[len(taken) :], mount.routes


def entered(routes: Sequence[BaseRoute], path: str) -> tuple[Mount | None, str]:
    """The mount that a path enters, and the part of the path that it takes."""
    for route in routes:
        if isinstance(route, Mount) and (found := route.path_regex.match(path)):
            return route, path[: -len(found["path"]) - 1]
    return None, ""
