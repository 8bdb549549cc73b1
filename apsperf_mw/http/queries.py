"""Queries as keys see them: without what does not count, in an order of names. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class QueryForm:
    """Drops and sorts parameters by their raw, undecoded names; `;` separates nothing.

    Names may end in `*`. Empty and repeated parameters stay, those of one name in their order.
    """

    def __init__(self, *, sort: bool, ignore: Iterable[str] = (), only: Iterable[str] = ()) -> None:
        self._sort = sort
        self._ignored = _names(ignore)
        self._only = _names(only)

    def __bool__(self) -> bool:
        return self._sort or any(self._ignored) or any(self._only)

    def __call__(self, query: bytes) -> bytes:
        """The query in its form; the same bytes where there is nothing to do."""
        parameters = [part for part in query.split(b"&") if self._counts(_name(part))]
        if self._sort:
            parameters.sort(key=_name)
        return b"&".join(parameters)

    def of_url(self, url: str) -> str:
        """The URL with its query in this form."""
        before, mark, query = url.partition("?")
        return before + mark + self(query.encode("utf-8")).decode("utf-8") if query else url

    def _counts(self, name: bytes) -> bool:
        if any(self._only):
            return _is_among(name, self._only)
        return not _is_among(name, self._ignored)


Names = tuple[frozenset[bytes], tuple[bytes, ...]]


def _names(given: Iterable[str]) -> Names:
    """Whole names, and the beginnings of those that end in `*`."""
    raw = [name.encode("utf-8") for name in given]
    whole = frozenset(name for name in raw if not name.endswith(b"*"))
    return whole, tuple(name[:-1] for name in raw if name.endswith(b"*"))


def _is_among(name: bytes, names: Names) -> bool:
    whole, beginnings = names
    return name in whole or (beginnings != () and name.startswith(beginnings))


def _name(parameter: bytes) -> bytes:
    return parameter.partition(b"=")[0]
