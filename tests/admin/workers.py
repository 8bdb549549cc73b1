"""An app whose pages say which process made them, and that the page is a new one."""

from __future__ import annotations

import os
from itertools import count
from typing import Any

from apsperf_mw import Suite

suite = Suite()
numbers = count()


def page(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    pid = os.getpid()
    path = environ["PATH_INFO"]
    tags = [("Cache-Tag", "song"), ("Surrogate-Key", path)]
    if path == "/pid":
        start_response("200 OK", [("Cache-Control", "no-store")])
        return [b"%d" % pid]
    if path == "/purge":
        suite.purge("song")
        start_response("200 OK", [("Cache-Control", "no-store")])
        return [b"%d" % pid]
    start_response("200 OK", [("Cache-Control", "max-age=3600"), *tags])
    return [b"%d:%d" % (pid, next(numbers))]


wsgi = suite.wsgi(page)
