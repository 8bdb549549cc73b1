"""Whose pages may be asked for: one scheme, host and port, and the targets that belong to it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from apsperf_mw.cache.keys import LONGEST, fold_host
from apsperf_mw.settings.masking import shown

if TYPE_CHECKING:
    from typing import Self

ACCEPTED_BASE = "http://host:port or https://host:port, without a path, a user or a password"
ACCEPTED_HOST = "a host name or address, with or without a port"

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_UNCLEAN = re.compile(r"[\x00-\x20\x7f]")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class Refused(Exception):
    """A URL that is not asked for; its text says why."""


class Origin(Struct, frozen=True):
    """Where requests go, and the `Host` that they bear."""

    scheme: str
    authority: str
    host: str

    @classmethod
    def parse(cls, base: str, host: str = "") -> Self:
        """The origin of a base URL; `ValueError` says what is accepted.

        `host` is the one by which clients know the app, where it is not the base's.
        """
        found = _ABSOLUTE.fullmatch(base)
        if found is None or found[3] not in {"", "/"} or not _is_authority(found[2]):
            raise ValueError(f"base: got {shown(base)}; accepted: {ACCEPTED_BASE}")
        if host and not _is_authority(host):
            raise ValueError(f"host: got {shown(host)}; accepted: {ACCEPTED_HOST}")
        return cls(found[1].lower(), found[2], host or found[2])

    @property
    def name(self) -> str:
        """The host to connect to, without its port."""
        return urlsplit(f"//{self.authority}").hostname or ""

    @property
    def port(self) -> int:
        """The port to connect to."""
        return urlsplit(f"//{self.authority}").port or (443 if self.scheme == "https" else 80)

    def target(self, url: str) -> str:
        """The path and query of a path or URL; `Refused` for what is not this origin's.

        Either scheme will do, since TLS may end in front of the app. What comes back begins with
        one slash, is of visible ASCII, and no longer than the longest key that is kept whole.
        """
        if len(url) > LONGEST:
            raise Refused(f"longer than {LONGEST} characters")
        if _UNCLEAN.search(url):
            raise Refused("has a space or a control character")
        rest = url.partition("#")[0]
        if not rest.startswith("/") or rest.startswith("//"):
            rest = self._rest(rest)
        target = _quoted(rest if rest.startswith("/") else f"/{rest}")
        if len(target) > LONGEST:
            raise Refused(f"longer than {LONGEST} characters")
        return target

    def follow(self, target: str, location: str) -> str:
        """The target to which a redirect leads; `Refused` where it leads off the host."""
        try:
            return self.target(urljoin(f"{self.scheme}://{self.host}{target}", location))
        except ValueError:
            raise Refused("not a URL") from None

    def _rest(self, url: str) -> str:
        found = _ABSOLUTE.fullmatch(url)
        if found is None:
            raise Refused("off the host" if url.startswith("//") else "neither a path nor a URL")
        scheme = found[1].lower()
        if fold_host(_latin(found[2]), scheme) not in self._names():
            raise Refused("off the host")
        if found[3].startswith("//"):
            raise Refused("its path begins with two slashes")
        return found[3]

    def _names(self) -> set[str]:
        return {fold_host(self.host, self.scheme), fold_host(self.authority, self.scheme)}


def _is_authority(text: str) -> bool:
    if not _AUTHORITY.fullmatch(text):
        return False
    port = text.rpartition(":")[2]
    return not port.isdecimal() or 0 < int(port) < 2**16


def _latin(text: str) -> str:
    if any(char > "\xff" for char in text):
        raise Refused("off the host")
    return text


def _quoted(text: str) -> str:
    """The text with all beyond ASCII percent-encoded; undecoded bytes come out as they were."""
    try:
        return quote(text, safe=_ASCII, errors="surrogateescape")
    except UnicodeEncodeError:
        raise Refused("not valid Unicode") from None
