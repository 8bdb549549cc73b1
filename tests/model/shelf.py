"""Where responses are kept, and which one a request selects (RFC 9111 §4, §4.1)."""

from __future__ import annotations

from tests.model.messages import Request
from tests.model.storing import Stored

Key = tuple[str, str, str]


def key_of(request: Request) -> Key:
    """The target URI (RFC 9111 §2): scheme, host (RFC 9110 §4.2.3), path and query."""
    host = (request.lines("host") or [""])[0].lower()
    default = {"http": ":80", "https": ":443"}[request.scheme]
    return request.scheme, host.removesuffix(default), request.target


def alike(one: Request, other: Request, names: frozenset[str]) -> bool:
    """Whether both have these fields alike; an absent one is not an empty one (§4.1)."""
    return all(one.value(name) == other.value(name) for name in names)


def precedence(stored: Stored) -> tuple[bool, float, float]:
    """RFC 9111 §4.1: where some responses omit Vary, those with it come first."""
    return bool(stored.vary), stored.made_at(), stored.received_at


class Shelf:
    """All stored responses. Of one URL `most` are kept, the youngest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stored: dict[Key, list[Stored]] = {}

    def put(self, new: Stored) -> None:
        """Keep a response in place of the one that the same request would have selected."""
        old = self._stored.get(key_of(new.request), [])
        kept = [
            stored
            for stored in old
            if stored.vary != new.vary or not alike(stored.request, new.request, new.vary)
        ]
        self._stored[key_of(new.request)] = [*kept, new][-self._most :]

    def find(self, request: Request) -> Stored | None:
        """Of those that the request selects the most recent; those that vary first (§4, §4.1)."""
        found = [
            stored
            for stored in self._stored.get(key_of(request), [])
            if alike(stored.request, request, stored.vary)
        ]
        return max(found, key=precedence, default=None)

    def drop(self, old: Stored) -> None:
        """Keep this one no longer."""
        key = key_of(old.request)
        self._stored[key] = [stored for stored in self._stored.get(key, []) if stored is not old]

    def erase(self, key: Key) -> None:
        """Keep nothing of this URL (RFC 9111 §4.4)."""
        self._stored.pop(key, None)


class UnionShelf(Shelf):
    """The departure `selects_by_union`."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._names: dict[Key, frozenset[str]] = {}

    def put(self, new: Stored) -> None:
        """Keep a response; what varied on less is forgotten."""
        key = key_of(new.request)
        known = self._names.get(key, frozenset())
        names = known | new.vary
        old = self._stored.get(key, []) if names == known else []
        kept = [stored for stored in old if not alike(stored.request, new.request, names)]
        self._stored[key] = [*kept, new][-self._most :]
        self._names[key] = names

    def find(self, request: Request) -> Stored | None:
        """The one whose request was like this one in all that the URL varies on."""
        key = key_of(request)
        names = self._names.get(key, frozenset())
        alikes = [s for s in self._stored.get(key, []) if alike(s.request, request, names)]
        return alikes[-1] if alikes else None

    def erase(self, key: Key) -> None:
        """Keep nothing of this URL, nor what it varied on."""
        super().erase(key)
        self._names.pop(key, None)
