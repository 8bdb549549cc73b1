"""The kinds of values that settings have, with their bounds, and the lifetime classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

# RFC 9111 §1.2.2: no lifetime needs to be longer than 2^31 seconds.
Lifetime = Annotated[int, Meta(ge=1, le=2**31)]
NegativeLifetime = Annotated[int, Meta(ge=0, le=2**31)]
# A wait of more than a day is a mistake, and thread locks overflow not far beyond a month.
Wait = Annotated[float, Meta(ge=0, le=86_400)]
Seconds = Annotated[float, Meta(ge=0, le=2**31)]
# A shorter interval would make a sampling thread a busy loop.
Interval = Annotated[float, Meta(ge=0.01, le=86_400)]
# Between two samples of a profile.
Fine = Annotated[float, Meta(ge=0.0001, le=1)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1, le=2**40)]

_URL = r"[A-Za-z][A-Za-z0-9+.-]*://[^\x00-\x20\x7f\ud800-\udfff]*"
_FACTORY = r"[A-Za-z_]\w*(?:\.\w+)*:[A-Za-z_]\w*(?:\.\w+)*"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
DriverURL = Annotated[
    str, Meta(title="URL or module:factory", pattern=rf"\A(?:{_URL}|{_FACTORY})\Z")
]
Drivers = Annotated[
    Mapping[str, DriverURL], Meta(description="Named drivers; the names given are added.")
]
# A bare name may be one that a third party registers, so only its form is checked here.
DriverName = Annotated[
    str,
    Meta(title="driver name, URL or module:factory", pattern=rf"\A(?:{_URL}|{_FACTORY}|{_NAME})\Z"),
]

StrategyName = Annotated[
    str, Meta(title="name of a strategy or module:object", pattern=rf"\A(?:{_FACTORY}|{_NAME})\Z")
]

_FIELD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 §5.6.2
NormalForms = Annotated[
    tuple[Annotated[str, Meta(pattern=rf"\A{_FIELD}=(?:{_FACTORY}|{_NAME})\Z")], ...],
    Meta(title="list of header=name of a strategy or module:object"),
]

_Token = Annotated[str, Meta(pattern=rf"\A{_FIELD}\Z")]
HeaderNames = Annotated[
    tuple[_Token, ...], Meta(title="list of header names", extra={"lower": True})
]
HeaderPatterns = Annotated[
    tuple[_Token, ...],
    Meta(title="list of header names, which may end in *", extra={"lower": True}),
]
Parameters = Annotated[
    tuple[Annotated[str, Meta(min_length=1)], ...],
    Meta(title="list of names, which may end in *"),
]
Hosts = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A[^/\s@]+\Z")], ...],
    Meta(title="list of hosts, with the port unless it is the scheme's", extra={"lower": True}),
]
CookieNames = Annotated[tuple[_Token, ...], Meta(title="list of cookie names")]


# Visible ASCII, as a bearer token must be (RFC 6750 §2.1), and long enough not to be guessed.
Token = Annotated[
    str,
    Meta(
        title="text of 16 to 512 visible characters",
        pattern=r"\A(?:[!-~]{16,512})?\Z",
        extra={"secret": True},
    ),
]

Path = Annotated[
    str,
    Meta(title="path from /, without a slash at its end", pattern=r"\A(?:/[A-Za-z0-9._~-]+)+\Z"),
]
Directory = Annotated[str, Meta(title="path of a directory", pattern=r"\A[^\x00]*\Z")]

# A share of traces for the paths that a pattern covers: `*` at its end stands for any rest.
SampleRules = Annotated[
    tuple[Annotated[str, Meta(pattern=r"\A/[^\s=*]*\*?=(?:0|1|0?\.\d+|[01]\.0*)\Z")], ...],
    Meta(title="list of /path=share or /path*=share, a share from 0 to 1"),
]
_NETWORK = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:]{2,39}(?:%[A-Za-z0-9]+)?)(?:/[0-9]{1,3})?"
Networks = Annotated[
    tuple[Annotated[str, Meta(pattern=rf"\A{_NETWORK}\Z")], ...],
    Meta(title="list of addresses, or networks as 10.0.0.0/8"),
]
Channels = Annotated[
    tuple[Literal["performance", "database", "cache", "memory"], ...],
    Meta(title="list of performance, database, cache, memory"),
]


class TTLSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lifetime classes that routes and functions choose from."""

    short: Annotated[Lifetime, Meta(description="Seconds that class `short` stays fresh.")] = 300
    medium: Annotated[Lifetime, Meta(description="Seconds that class `medium` stays fresh.")] = 1800
    long: Annotated[Lifetime, Meta(description="Seconds that class `long` stays fresh.")] = 86_400
    negative: Annotated[
        NegativeLifetime,
        Meta(description="Seconds that class `negative` stays fresh: a marked route's 404 or 410."),
    ] = 0
    jitter: Annotated[
        Ratio, Meta(description="Share by which a rule's lifetime is cut at random, at most.")
    ] = 0.0
