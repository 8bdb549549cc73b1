"""The routes of a Flask app, as the suite sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_flask.guards import guards_of
from apsperf_flask.marks import rule_for
from apsperf_mw.doctor import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

IMPLIED = frozenset({"HEAD", "OPTIONS"})


def routes(app: Flask) -> Iterator[Route]:
    """All routes, in the order of their templates."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda each: each.rule):
        methods = sorted((rule.methods or set()) - IMPLIED) or ["GET"]
        view = app.view_functions.get(rule.endpoint)
        guard = guards_of(app, rule.endpoint, methods[0])
        yield Route(rule.rule, ",".join(methods), rule_for(view, methods[0]), guard)
