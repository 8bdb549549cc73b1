"""Cache-Status as we write it (RFC 9211), and what is known of status codes."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Forward = Literal[
    "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"
]
"""Why a request went to the app (RFC 9211 §2.2)."""

# RFC 9110 §15.1
HEURISTICALLY_CACHEABLE = frozenset((200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501))

# The final codes of RFC 9110 §15 that can be stored by knowing them alone, as must-understand
# asks (RFC 9111 §5.2.2.3): not 206 and 304, which belong to another response.
UNDERSTOOD = frozenset(
    (
        *(200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308),
        *(400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415),
        *(416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505),
    )
)

# WSGI wants the phrase too.
STATUS_LINES = {code.value: f"{code.value} {code.phrase}" for code in HTTPStatus}

_UNPRINTABLE = re.compile(rb"[^ -~]")
_MAX_DETAIL_CHARS = 256


def status_line(code: int) -> str:
    """The status line for a code that has no phrase of its own."""
    return f"{code} Unknown"


def hit_status(ttl_s: int, detail: str = "") -> bytes:
    """Our member for a response from the cache; `ttl_s` is negative when it is stale."""
    return b"apsperf; hit; ttl=%d" % ttl_s + _detail(detail)


def forward_status(
    reason: Forward,
    *,
    status: int | None = None,
    ttl_s: int | None = None,
    stored: bool = False,
    collapsed: bool = False,
    detail: str = "",
) -> bytes:
    """Our member for a response from the app; `status` is the app's where the client's differs."""
    member = b"apsperf; fwd=" + reason.encode("ascii")
    if status is not None:
        member += b"; fwd-status=%d" % status
    if ttl_s is not None:
        member += b"; ttl=%d" % ttl_s
    if stored:
        member += b"; stored"
    if collapsed:
        member += b"; collapsed"
    return member + _detail(detail)


def append_status(lines: Sequence[bytes], member: bytes) -> bytes:
    """The field value with our member last, as nearest to the client (RFC 9211 §2)."""
    return b", ".join([*filter(None, (line.strip(b" \t") for line in lines)), member])


def key_parameter(text: str) -> bytes:
    """The parameter that shows a key; what is too long of it is cut off."""
    return b"; key=" + _string(text)


def _detail(text: str) -> bytes:
    return b"; detail=" + _string(text) if text else b""


def _string(text: str) -> bytes:
    ascii_text = text[:_MAX_DETAIL_CHARS].encode("ascii", "replace")
    printable = _UNPRINTABLE.sub(b"?", ascii_text)  # RFC 9651 §3.3.3
    return b'"%b"' % printable.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
