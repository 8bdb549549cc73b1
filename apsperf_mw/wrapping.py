"""Which shell goes round an app: by what a suite has to do for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from apsperf_mw.asgi import ASGIApp, ASGIShell, Describe
    from apsperf_mw.suite import Suite
    from apsperf_mw.wsgi import WSGIApp, WSGIShell


def watched(suite: Suite) -> bool:
    """Whether somebody sees each request, or its key takes another form."""
    hooks, settings = suite.hooks, suite.settings.cache
    shaped = settings.status_key or settings.hosts or suite.responses.query_form
    seen = hooks.starts or hooks.look_on or hooks.ends
    return bool(seen or shaped or not settings.enabled)


def asgi_shell(suite: Suite, app: ASGIApp, describe: Describe | None) -> ASGIShell:
    """The shell of an ASGI app."""
    if suite.door is not None:
        from apsperf_mw.admin.shells import AdminASGIShell

        return AdminASGIShell(suite, app, describe)
    if not suite.only_watches:
        if watched(suite):
            from apsperf_mw.asgi import ASGIShell

            return ASGIShell(suite, app, describe)
        from apsperf_mw.asgi_plain import PlainASGIShell

        return PlainASGIShell(suite, app, describe)
    from apsperf_mw.asgi_watch import PassASGIShell, WatchASGIShell

    kind = PassASGIShell if suite.recorder is None else WatchASGIShell
    return kind(suite, app, describe)


def fronted_asgi(suite: Suite, shell: ASGIShell) -> ASGIShell:
    """The shell, with what is answered before the app."""
    if suite.fronts is None:
        return shell
    from apsperf_mw.ops.shells import FrontedASGI

    return cast("ASGIShell", FrontedASGI(shell, suite.fronts))


def wsgi_shell(suite: Suite, app: WSGIApp) -> WSGIShell:
    """The shell of a WSGI app."""
    if suite.door is not None:
        from apsperf_mw.admin.shells import AdminWSGIShell

        return AdminWSGIShell(suite, app)
    if not suite.only_watches:
        if watched(suite):
            from apsperf_mw.wsgi import WSGIShell

            return WSGIShell(suite, app)
        from apsperf_mw.wsgi_plain import PlainWSGIShell

        return PlainWSGIShell(suite, app)
    from apsperf_mw.wsgi_watch import PassWSGIShell, WatchWSGIShell

    kind = PassWSGIShell if suite.recorder is None else WatchWSGIShell
    return kind(suite, app)


def fronted_wsgi(suite: Suite, shell: WSGIShell) -> WSGIShell:
    """The shell, with what is answered before the app."""
    if suite.fronts is None:
        return shell
    from apsperf_mw.ops.shells import FrontedWSGI

    return cast("WSGIShell", FrontedWSGI(shell, suite.fronts))
