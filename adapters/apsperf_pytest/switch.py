"""The caches of all suites, off for a while."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from apsperf_mw.suite import suites

if TYPE_CHECKING:
    from collections.abc import Iterator

ENABLED = "APSPERF_CACHE__ENABLED"


@contextmanager
def caches_off() -> Iterator[None]:
    """Of suites that are there, and of those that are made meanwhile."""
    with ExitStack() as stack:
        before = os.environ.get(ENABLED)
        os.environ[ENABLED] = "false"
        stack.callback(_restore, before)
        for suite in suites():
            for shell in suite.shells():
                stack.callback(setattr, shell, "enabled", shell.enabled)
                shell.enabled = False
        if "apsperf_django" in sys.modules:
            _django_off(stack)
        yield


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(ENABLED, None)
    else:
        os.environ[ENABLED] = before


def _django_off(stack: ExitStack) -> None:
    """A test client makes its handler anew, and with it the middleware, from these settings."""
    from django.conf import settings
    from django.test import override_settings

    if settings.configured:
        known = getattr(settings, "APSPERF", {})
        off = {**known, "cache": {**known.get("cache", {}), "enabled": False}}
        stack.enter_context(override_settings(APSPERF=off))
