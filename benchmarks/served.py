"""The apps that the servers load, by name: `asgi_bare`, `asgi_hit`, `wsgi_observed` and so on."""

from __future__ import annotations

from apsperf_mw import Suite
from benchmarks.cases import QUIET, observed
from benchmarks.contenders import FRESH, asgi_app, wsgi_app

asgi_bare = asgi_app(FRESH)
asgi_hit = Suite(None, **QUIET).asgi(asgi_bare)
asgi_observed = Suite(None, **observed(0.1)).asgi(asgi_bare)

wsgi_bare = wsgi_app(FRESH)
wsgi_hit = Suite(None, **QUIET).wsgi(wsgi_bare)
wsgi_observed = Suite(None, **observed(0.1)).wsgi(wsgi_bare)
