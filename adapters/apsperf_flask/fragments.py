"""`{% cache %}`: parts of a template that are kept.

{% cache "sidebar", user.id, ttl="short", tags=["albums"] %} ... {% endcache %}

The first value is the part's name, those after it tell its variants apart.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flask import current_app
from flask.globals import request_ctx
from jinja2 import Undefined, nodes
from jinja2.ext import Extension
from markupsafe import Markup

from apsperf_flask.sessions import session_of
from apsperf_mw.fragments import Personal, kept

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.parser import Parser

    from apsperf_mw.suite import Suite

OPTIONS = frozenset({"ttl", "tags", "stale_while_revalidate"})
SPACE = "flask:fragments"
ACCEPTED = "ttl, tags, stale_while_revalidate"


class CacheTag(Extension):
    """Adds the tag to an environment; `init_app` does so."""

    tags = {"cache"}  # noqa: RUF012 - jinja wants it so

    def parse(self, parser: Parser) -> nodes.Node:
        """What the tag means."""
        line = next(parser.stream).lineno
        values: list[nodes.Expr] = []
        options: list[nodes.Keyword] = []
        while parser.stream.current.type != "block_end":
            if values or options:
                parser.stream.expect("comma")
            self._read(parser, values, options)
        if not values:
            parser.fail("cache: it needs a name first, as in {% cache 'sidebar' %}", line)
        body = parser.parse_statements(("name:endcache",), drop_needle=True)
        call = self.call_method("_kept", [nodes.List(values)], options)
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _read(self, parser: Parser, values: list[nodes.Expr], options: list[nodes.Keyword]) -> None:
        """One value or option."""
        token = parser.stream.current
        if token.type == "name" and parser.stream.look().type == "assign":
            if token.value not in OPTIONS:
                parser.fail(f"cache: {token.value}= given; accepted: {ACCEPTED}", token.lineno)
            next(parser.stream)
            next(parser.stream)
            options.append(nodes.Keyword(token.value, parser.parse_expression()))
            return
        values.append(parser.parse_expression())

    def _kept(self, values: list[Any], caller: Callable[[], str], **options: Any) -> str:
        """The part, made or kept."""
        suite: Suite | None = current_app.extensions.get("apsperf")
        if suite is None:
            return caller()
        values = [None if isinstance(each, Undefined) else each for each in values]
        try:
            return Markup(kept(suite, SPACE, values, partial(made, caller), **options))  # noqa: S704
        except Personal as personal:
            return Markup(personal.part)  # noqa: S704 - the template's own


def made(caller: Callable[[], str]) -> str:
    """The part; `Personal` where it has asked for the session, and so is of one user."""
    session: Any = session_of(request_ctx._get_current_object())  # type: ignore[attr-defined]
    before = getattr(session, "accessed", False)
    if session is not None:
        session.accessed = False
    try:
        part = str(caller())
        used = getattr(session, "accessed", False)
    finally:
        if session is not None:
            session.accessed = session.accessed or before
    if used:
        raise Personal(part)
    return part
