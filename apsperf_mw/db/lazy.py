"""Scopes in which nothing is loaded lazily: what would be raises, and says what to type."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from apsperf_mw.errors import LazyLoad
from apsperf_mw.observe.sites import LAZY, cause_of, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whether lazy loads are refused here.
refused: ContextVar[bool] = ContextVar("apsperf_lazy_refused", default=False)


@contextmanager
def no_lazy() -> Iterator[None]:
    """Refuse lazy loads inside."""
    token = refused.set(True)
    try:
        yield
    finally:
        refused.reset(token)


def check() -> None:
    """Raise where the statement that is about to be sent loads something lazily, and may not."""
    if refused.get() and (cure := cause_of(LAZY)):
        where = site_of()
        raise LazyLoad(f"a lazy load{f' at {where}' if where else ''}; try {cure}")
