"""Request fields that a warm-up may bear."""

from __future__ import annotations

import re
from collections import Counter
from math import prod
from typing import TYPE_CHECKING

from apsperf_mw.cache.screen import FIELDS, FORWARDING
from apsperf_mw.settings.cache import CacheSettings
from apsperf_mw.settings.masking import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

ACCEPTED = "NAME:VALUE with a field's name and visible ASCII"
MOST_VARIANTS = 64

# A request with one of these is somebody's own, goes round the cache, or is no longer a GET.
REFUSED = frozenset(
    {
        *FIELDS,
        *CacheSettings().credential_headers,
        *(name for name in FORWARDING if "method" in name),
        *("connection", "expect", "keep-alive", "te", "trailer", "upgrade", "user-agent"),
        *("proxy-connection", "content-type", "content-encoding"),
    }
)

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]{1,100}")
_VALUE = re.compile(r"[ -~]{0,1000}")


def read_field(text: str) -> tuple[str, str]:
    """The field in `NAME:VALUE`; `ValueError` says what is accepted."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"got {shown(text)}; accepted: {ACCEPTED}")
    return name.strip(), value.strip()


def check_fields(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields, if a warm-up may bear them; `ValueError` says why not and what is accepted."""
    checked = []
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"got {shown(f'{name}:{value}')}; accepted: {ACCEPTED}")
        if name.lower() in REFUSED:
            raise ValueError(f"got {name}; accepted: no cookies, credentials or framing")
        checked.append((name, value))
    combined = prod(Counter(name.lower() for name, _ in checked).values())
    if combined > MOST_VARIANTS:
        raise ValueError(f"got {combined} combinations; accepted: {MOST_VARIANTS} at most")
    return checked
