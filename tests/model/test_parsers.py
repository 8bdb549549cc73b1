"""The package's field parsers read what the reference reads, near the grammar and far from it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from apsperf_mw.http import dates, etags, fields, ranges, targeted
from tests.model import dictionary, grammar, spans, times

RESTRICTIONS = ("no_store", "must_revalidate", "proxy_revalidate", "no_transform")
PERMISSIONS = ("public", "must_understand", "immutable", "only_if_cached")
SECONDS = (
    *("max_age", "s_maxage", "min_fresh", "stale_while_revalidate", "stale_if_error"),
    "max_stale",
)
NOW = 1_800_000_000
SIZE = 12


def near(*pieces: str) -> st.SearchStrategy[str]:
    """Texts of these pieces, with a byte of any other kind among them now and then."""
    odd = st.characters(max_codepoint=255, exclude_characters="\n")  # RFC 9110 §5.5: never within
    return st.lists(st.sampled_from(pieces) | odd, max_size=14).map("".join)


def lines(*pieces: str) -> st.SearchStrategy[list[str]]:
    """Up to three lines of such texts."""
    return st.lists(near(*pieces), max_size=3)


def raw(texts: list[str]) -> list[bytes]:
    """The lines as the package takes them."""
    return [text.encode("latin-1") for text in texts]


def as_text(names: tuple[bytes, ...]) -> list[str]:
    """The package's names as the reference has them."""
    return [name.decode("latin-1") for name in names]


DIRECTIVES = (*RESTRICTIONS, *PERMISSIONS, *SECONDS, "no_cache", "private")
DIRECTIVE_NAMES = tuple(name.replace("_", "-") for name in DIRECTIVES)
SIGNS = (",", ",", "=", '"', '"', "\\", " ", "\t", ";", "0", "60", "x", "2147483648")


def told(found: grammar.Directives) -> dict[str, object]:
    """What the reference reads, by the names that the package gives it."""
    said: dict[str, object] = {}
    for name in RESTRICTIONS:
        said[name] = found.restricts(name.replace("_", "-"))
    for name in PERMISSIONS:
        said[name] = found.permits(name.replace("_", "-"))
    for name in SECONDS:
        said[name] = found.seconds(name.replace("_", "-"))
    said["max_stale"] = found.limit("max-stale")
    for name in ("no-cache", "private"):
        attribute = name.replace("-", "_")
        said[attribute] = found.unqualified(name)
        said[attribute + "_fields"] = found.qualified(name)
    return said


def reads(found: fields.CacheControl) -> dict[str, object]:
    """What the package reads."""
    said = {name: getattr(found, name) for name in (*RESTRICTIONS, *PERMISSIONS, *SECONDS)}
    for name in ("no_cache", "private"):
        said[name] = getattr(found, name)
        said[name + "_fields"] = set(as_text(getattr(found, name + "_fields")))
    return said


@given(lines(*DIRECTIVE_NAMES, *SIGNS))
def test_cache_control(texts: list[str]) -> None:
    expected = told(grammar.parse_cache_control(texts))
    assert reads(fields.parse_cache_control(raw(texts))) == expected


KEYS = (
    *(*DIRECTIVE_NAMES, "*a", "A", "?1", "?0", "a/b", "1.5", "-5"),
    *(":YQ==:", "(", ")", ";q=1", "@5"),
)
ASKED = ("only_if_cached", "max_stale", "min_fresh")  # of requests alone


@given(lines(*KEYS, *SIGNS))
def test_targeted_fields(texts: list[str]) -> None:
    texts = [text.strip(" \t") for text in texts]  # RFC 9110 §5.5
    expected = dictionary.parse_targeted(texts)
    found = targeted.parse_targeted(raw(texts))
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        for name in DIRECTIVES:
            if name not in ASKED:
                assert (name, reads(found)[name]) == (name, told(expected)[name])


@given(lines("accept", "Accept", "x-a", "*", ",", ", ", " ", "\t", "a b", '"'))
def test_vary(texts: list[str]) -> None:
    expected = grammar.parse_vary(texts)
    found = fields.parse_vary(raw(texts))
    assert (None if found is None else set(as_text(found))) == expected


@given(lines("0", "5", "60", "007", ",", " ", "-", ".", "99999999999", "x", "+"))
def test_age(texts: list[str]) -> None:
    assert fields.parse_age(raw(texts)) == grammar.parse_age(texts)


@given(lines("0", "5", "60", "007", ",", " ", "-", ".", "9" * 18, "x", "+"))
@example(["5", "5"])
@example(["5, 5", "5"])
@example(["5, 6"])
def test_content_length(texts: list[str]) -> None:
    assert fields.parse_content_length(raw(texts)) == grammar.parse_content_length(texts)


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LONG_DATE = "Sunday, 06-Nov-94 08:49:37 GMT"
OLD_DATE = "Sun Nov  6 08:49:37 1994"
DATE_PIECES = (
    *("Sun", "sunday", "Wednesday", ",", ", ", " ", "  ", "06", "6", "31", "29", "00"),
    *("Nov", "feb", "-", "94", "27", "76", "1994", "2027", "0000", "08:49:37", "24:00:00"),
    *("23:59:60", ":", "GMT", "gmt", "UTC", "\t"),
)


@st.composite
def date_like(draw: st.DrawFn) -> str:
    """A date of one of the three forms with a few characters changed, or pieces of dates."""
    if draw(st.integers(0, 3)) == 0:
        return draw(near(*DATE_PIECES))
    moment = draw(st.integers(-62_135_596_800, 253_402_300_799) | st.integers(0, 2 * NOW))
    whole = times.write_date(moment)
    day, month, year, time = whole[5:7], whole[8:11], whole[12:16], whole[17:25]
    long_day = next(name for name in times.LONG_DAYS if name.startswith(whole[:3].lower()))
    forms = [
        whole,
        f"{long_day.title()}, {day}-{month}-{year[2:]} {time} GMT",
        f"{whole[:3]} {month} {day.lstrip('0'):>2} {time} {year}",
    ]
    text = draw(st.sampled_from(forms))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from([*DATE_PIECES, "", "0", "9", ":"]))
        text = text[:at] + piece + text[at + draw(st.integers(0, 3)) :]
    return text


@given(date_like())
@example(DATE)
@example(LONG_DATE)
@example(OLD_DATE)
def test_dates(text: str) -> None:
    found = dates.parse_http_date(text.encode("latin-1"), NOW)
    assert found == times.parse_date(text, NOW)


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_written_dates(moment: int) -> None:
    assert dates.format_http_date(moment).decode() == times.write_date(moment)


TAG_PIECES = ('"', '"a"', 'W/"a"', 'w/"a"', '"b"', "a", "W/", ",", ", ", " ", "*", "\\", '""')


@given(near(*TAG_PIECES))
def test_entity_tags(text: str) -> None:
    found = etags.parse_etag(text.encode("latin-1"))
    assert (None if found is None else (found[0], found[1].decode("latin-1"))) == (
        grammar.parse_etag(text)
    )


@given(
    st.lists(near(*TAG_PIECES), min_size=1, max_size=2),
    near(*TAG_PIECES[:8]).map(lambda tag: tag.strip(" \t")),
)
@example(['"b", "a"'], '"a"')
@example(['"x"', "*"], '"a"')
def test_if_none_match(texts: list[str], etag: str) -> None:
    found = etags.if_none_match([text.encode("latin-1") for text in texts], etag.encode("latin-1"))
    assert found == grammar.names_tag(texts, etag)


RANGE_PIECES = ("bytes=", "Bytes=", "items=", "bytes", "=", "-", ",", ", ", "0", "3", "9", "99")


@given(near(*RANGE_PIECES) | near(*RANGE_PIECES[5:]).map("bytes={}".format))
@example("bytes=0-3,5-")
@example("bytes=-5")
@example("bytes=99-")
def test_ranges(text: str) -> None:
    found = ranges.parse_ranges([text.encode("latin-1")], SIZE)
    assert found == spans.parse_ranges([text], SIZE)


@given(
    st.sampled_from(['"a"', 'W/"a"', '"b"', "a", "", DATE, LONG_DATE, "x"]),
    st.sampled_from(['"a"', 'W/"a"', "a", None]),
    st.sampled_from([DATE, LONG_DATE, "x", None]),
    st.integers(-120, 120) | st.none(),
)
def test_if_range(value: str, etag: str | None, modified: str | None, later: int | None) -> None:
    date = None if later is None else times.write_date(784_111_777 + later)
    tag, changed, made = (None if t is None else t.encode() for t in (etag, modified, date))
    expected = spans.range_counts([value], etag, modified, date, NOW)
    assert ranges.if_range([value.encode()], tag, changed, made, NOW) == expected


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_no_bytes_make_a_parser_raise(texts: list[bytes]) -> None:
    fields.parse_cache_control(texts)
    fields.parse_vary(texts)
    fields.parse_age(texts)
    fields.parse_content_length(texts)
    fields.connection_names(texts)
    targeted.parse_targeted(texts)
    ranges.parse_ranges(texts, SIZE)
    ranges.parse_content_range(texts)
    for text in texts:
        dates.parse_http_date(text, NOW)
        etags.parse_etag(text)
        etags.if_none_match(texts, text)
        etags.not_modified_since(texts, text, NOW, NOW)
        ranges.if_range(texts, text, text, text, NOW)
