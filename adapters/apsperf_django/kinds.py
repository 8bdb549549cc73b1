"""What Django puts into a cache besides plain values: safe strings, and whole responses."""

from __future__ import annotations

from http.cookies import Morsel, SimpleCookie
from typing import Any

import msgspec
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.utils.safestring import SafeString

from apsperf_mw.data.values import FIRST_FOREIGN, AnyValues, Kind

_encode = msgspec.msgpack.Encoder().encode


class Kept(msgspec.Struct, array_like=True):
    """A response as it is kept; a cookie is its name, value, coded value and attributes."""

    status: int
    reason: str | None
    charset: str | None
    headers: list[tuple[str, str]]
    cookies: list[tuple[str, str, str, dict[str, Any]]]
    content: bytes


_decode = msgspec.msgpack.Decoder(Kept).decode


def _response_bytes(response: Any) -> bytes:
    """A response in bytes; one whose template is not rendered yet is a `ValueError`."""
    if not getattr(response, "is_rendered", True):
        raise ValueError("its template is not rendered yet")
    cookies = [
        (name, morsel.value, morsel.coded_value, dict(morsel))
        for name, morsel in response.cookies.items()
    ]
    told = response.status_code, response._reason_phrase, response._charset
    return _encode(Kept(*told, list(response.items()), cookies, response.content))


def _response_of(raw: bytes) -> HttpResponse:
    kept = _decode(raw)
    response = HttpResponse(
        kept.content,
        status=kept.status,
        reason=kept.reason,
        charset=kept.charset,
        headers=dict(kept.headers),
    )
    response.cookies = SimpleCookie()
    for name, value, coded, attributes in kept.cookies:
        morsel: Morsel[str] = Morsel()
        morsel.set(name, value, coded)
        morsel.update(attributes)
        dict.__setitem__(response.cookies, name, morsel)
    return response


# A rendered template response comes back as a plain one, which is all that is left of it.
_RESPONSE = Kind(FIRST_FOREIGN + 1, _response_bytes, _response_of)
VALUES = AnyValues(
    {
        SafeString: Kind(FIRST_FOREIGN, str.encode, lambda raw: SafeString(raw.decode())),
        HttpResponse: _RESPONSE,
        SimpleTemplateResponse: _RESPONSE,
        TemplateResponse: _RESPONSE,
    }
)
