"""The short way to read a head: an app sends few forms of heads, again and again.

What the rules make of a form and of the values that speak of caching is worked out once.
"""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.cache.rules.answer import Answer, form_of
from apsperf_mw.cache.rules.terms import REFUSALS, Terms
from apsperf_mw.http.fields import parse_content_length

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeVar

    from apsperf_mw.cache.rules.answer import Form
    from apsperf_mw.exchange import Header
    from apsperf_mw.settings import Settings

    T = TypeVar("T", bound=tuple[object, ...])

# Forms, and what was worked out of them, are forgotten all at once past this many.
MOST_FORMS = 1024
LONGEST_FORM = 4096
NOTHING: Any = None
NAME: Any = itemgetter(0)
# Why a response may be refused by what is in the key, whatever else it says.
REASONS = frozenset(reason for reason, _, _ in REFUSALS)


class Ready(Struct, frozen=True, gc=False):
    """What holds for all responses of one form whose caching fields say alike."""

    terms: Terms
    ttl_s: float = 0.0
    added: tuple[Header, ...] = ()


class Forms:
    """The forms that were met, and what is `ready` for them, by what the terms depend on."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.cache.max_entry_bytes
        self._steady = not settings.ttl.jitter
        self._forms: dict[tuple[bytes, ...], Form | None] = {}
        self._text_forms: dict[tuple[str, ...], Form | None] = {}
        self.ready: dict[tuple[object, ...], Ready] = {}

    def form(self, headers: Iterable[Sequence[bytes]]) -> Form | None:
        """The form of a head; None where it is read field by field."""
        names = tuple(map(NAME, headers))
        try:
            return self._forms[names]
        except KeyError:
            return self._learn_form(self._forms, names, names)
        except TypeError:  # names that can be changed
            return None

    def text_form(self, headers: Iterable[tuple[str, str]]) -> Form | None:
        """As `form`, of a head of text."""
        names = tuple(map(NAME, headers))
        try:
            return self._text_forms[names]
        except KeyError:
            raw = tuple([name.encode("latin-1") for name in names])
            return self._learn_form(self._text_forms, names, raw)

    def answer(self, ready: Ready, status: int, form: Form, values: list[bytes]) -> Answer | str:
        """The response as it may be stored, or the reason why not."""
        length = None
        if form.length >= 0:
            said = values[form.length]
            length = int(said) if said.isdigit() and len(said) < 10 else any_length(said)
            if not 0 <= length <= self._max_bytes:
                return "length"
        text = b"".join(values)
        if 10 in text or 13 in text or 0 in text:  # as `clean_value`
            return "malformed"
        headers = tuple(zip(form.names, values))  # noqa: B905 - as many by their making
        values.append(NOTHING)  # what is not there is at the last place
        return Answer(
            ready.terms,
            status,
            headers,
            length,
            ready.ttl_s,
            0.0,
            (),
            values[form.etag],
            values[form.last_modified],
            ready.added,
            None,
            len(text) + form.size_bytes,
        )

    def learn(self, key: tuple[object, ...], answer: Answer | str) -> None:
        """Keep what was worked out for a key, where it holds for all of its kind."""
        if isinstance(answer, str):
            if answer in REASONS:
                self._keep(key, Ready(Terms(answer)))
            return
        terms = answer.terms
        ruled = terms.lifetime_s is None and terms.ruled_s and self._steady
        lasting = terms.most_s == math.inf and (ruled or terms.lifetime_s is not None)
        if not lasting or terms.revalidates or terms.dropped or answer.status == 206:
            return
        if answer.ttl_s > 0:
            self._keep(key, Ready(terms, answer.ttl_s, answer.added))

    def _keep(self, key: tuple[object, ...], ready: Ready) -> None:
        said = key[-1]
        if _is_short(said if isinstance(said, tuple) else key):
            if len(self.ready) >= MOST_FORMS:
                self.ready.clear()
            self.ready[key] = ready

    def _learn_form(
        self, known: dict[T, Form | None], names: T, raw: tuple[bytes, ...]
    ) -> Form | None:
        if not _is_short(raw) or not all(type(name) is bytes for name in raw):
            return None
        if len(known) >= MOST_FORMS:
            known.clear()
        form = known[names] = form_of(raw)
        return form


def any_length(said: bytes) -> int:
    """The announced length in whatever form; -1 if invalid."""
    length = parse_content_length((said,))
    return -1 if length is None else length


def _is_short(values: Sequence[object]) -> bool:
    return sum(len(value) for value in values if isinstance(value, bytes)) <= LONGEST_FORM
