"""Requests that tell when a template has asked for the client's address, which no code shows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask, Request

# How far from the attribute a template's frame may be, for the proxy that stands between.
MOST_FRAMES = 6


class Asked:
    """To be put before an app's own class of requests."""

    environ: dict[str, Any]

    @property
    def remote_addr(self) -> Any:
        """The client's address."""
        if in_template():
            plan = self.environ.get("apsperf.plan")
            if plan is not None:
                plan.private = True
        return self.__dict__.get("_apsperf_address")

    @remote_addr.setter
    def remote_addr(self, address: Any) -> None:
        self.__dict__["_apsperf_address"] = address


def in_template() -> bool:
    """Whether a template asks for the attribute that is being got."""
    frame = sys._getframe(2)
    for _ in range(MOST_FRAMES):
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("jinja2"):
            return True
        if not name.startswith("werkzeug") or frame.f_back is None:
            return False
        frame = frame.f_back
    return False


def watch_requests(app: Flask) -> None:
    """Have the app's requests tell."""
    kind: type[Request] = app.request_class
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    app.request_class = type(kind.__name__, (Asked, kind), names)
