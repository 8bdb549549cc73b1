"""An app for gunicorn that exports what it counts as OTLP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apsperf_mw import Suite

if TYPE_CHECKING:
    from collections.abc import Iterable

suite = Suite()


def page(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


wsgi = suite.wsgi(page)
