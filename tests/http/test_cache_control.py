from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apsperf_mw.http.fields import MAX_SECONDS, CacheControl, parse_cache_control

FLAGS = {
    b"no-store": "no_store",
    b"no-cache": "no_cache",
    b"private": "private",
    b"public": "public",
    b"must-revalidate": "must_revalidate",
    b"proxy-revalidate": "proxy_revalidate",
    b"must-understand": "must_understand",
    b"no-transform": "no_transform",
    b"immutable": "immutable",
    b"only-if-cached": "only_if_cached",
}
SECONDS = {
    b"max-age": "max_age",
    b"s-maxage": "s_maxage",
    b"stale-while-revalidate": "stale_while_revalidate",
    b"stale-if-error": "stale_if_error",
    b"max-stale": "max_stale",
    b"min-fresh": "min_fresh",
}


@pytest.mark.parametrize(("name", "attribute"), FLAGS.items())
def test_a_flag_is_read_alone(name: bytes, attribute: str) -> None:
    expected: dict[str, Any] = {attribute: True}
    assert parse_cache_control([name]) == CacheControl(**expected)


@pytest.mark.parametrize(("name", "attribute"), SECONDS.items())
def test_seconds_are_read(name: bytes, attribute: str) -> None:
    expected: dict[str, Any] = {attribute: 17}
    assert parse_cache_control([name + b"=17"]) == CacheControl(**expected)


@pytest.mark.parametrize("lines", [[], [b""], [b" \t"], [b",, ,"], [b"", b","], [b"foobar"]])
def test_nothing_known_is_nothing(lines: list[bytes]) -> None:
    assert parse_cache_control(lines) == CacheControl()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"max-age=3600", 3600),
        (b"max-age=0", 0),
        (b"max-age=003600", 3600),
        (b"MaX-aGe=3600", 3600),
        (b'max-age="3600"', 3600),
        (b'max-age="36\\00"', 3600),
        (b"max-age=2147483647", 2**31 - 1),
        (b"max-age=2147483648", MAX_SECONDS),
        (b"max-age=99999999999", MAX_SECONDS),
        (b"max-age=1" + b"0" * 22, MAX_SECONDS),
        (b"max-age=" + b"9" * 6000, MAX_SECONDS),
        (b"max-age=" + b"0" * 6000 + b"7", 7),
    ],
)
def test_seconds_within_the_grammar(value: bytes, seconds: int) -> None:
    assert parse_cache_control([value]).max_age == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"max-age='3600'",
        b"max-age=-1",
        b"max-age=+1",
        b"max-age=abc",
        b"max-age=a3600",
        b"max-age=3600a",
        b"max-age=3600.0",
        b"max-age=3600.5",
        b"max-age=1_000",
        b"max-age=1 2",
        b"max-age",
        b"max-age=",
        b'max-age=""',
        b'max-age=" 60"',
        b'max-age="60"60',
        b"max-age =3600",
        b"max-age= 3600",
        b"max-age: 3600",
        b"max-age;3600",
        b"max-age=3600; public",
        "max-age=٣".encode(),
    ],
)
def test_unreadable_seconds_are_stale(value: bytes) -> None:
    assert parse_cache_control([value]).max_age == 0


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([b"max-age=1800, max-age=1"], 1800),
        ([b"max-age=1, max-age=1800"], 1),
        ([b"max-age=1", b"max-age=1800"], 1),
        ([b"max-age=nonsense, max-age=1800"], 0),
        ([b'extension="max-age=3600", max-age=1'], 1),
        ([b'max-age=1, extension="max-age=3600"'], 1),
        ([b'extension="a, max-age=3600", max-age=1'], 1),
        ([b'extension="a\\", max-age=3600, \\"", max-age=1'], 1),
        ([b'extension="\\\\", max-age=1'], 1),
        ([b'extension="a', b"max-age=1"], 1),
    ],
)
def test_the_first_max_age_outside_quotes_counts(lines: list[bytes], seconds: int) -> None:
    assert parse_cache_control(lines).max_age == seconds


def test_all_lines_count() -> None:
    found = parse_cache_control([b"Private", b"max-age=5", b"", b"NO-STORE"])
    assert found == CacheControl(private=True, max_age=5, no_store=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'no-cache="a"', CacheControl(no_cache_fields=(b"a",))),
        (b'no-cache="Set-Cookie , ,B"', CacheControl(no_cache_fields=(b"set-cookie", b"b"))),
        (b"no-cache=a", CacheControl(no_cache_fields=(b"a",))),
        (b'no-cache="a", no-cache', CacheControl(no_cache=True, no_cache_fields=(b"a",))),
        (b'no-cache="a", no-cache="b"', CacheControl(no_cache_fields=(b"a", b"b"))),
        (b'private="X-Name"', CacheControl(private_fields=(b"x-name",))),
        (b'private="X-Name", private', CacheControl(private=True, private_fields=(b"x-name",))),
    ],
)
def test_qualified_forms(value: bytes, expected: CacheControl) -> None:
    assert parse_cache_control([value]) == expected


@pytest.mark.parametrize("tail", [b"=", b'=""', b'=","', b'="a b"', b"='a'x;", b";", b' ="a"'])
def test_an_unreadable_qualification_is_none(tail: bytes) -> None:
    assert parse_cache_control([b"private" + tail]) == CacheControl(private=True)
    assert parse_cache_control([b"no-cache" + tail]) == CacheControl(no_cache=True)


@pytest.mark.parametrize(
    "value", [b"no-store=1", b"no-store;", b"no-store ; x=1", b"No-Store: yes", b"no-store\x00"]
)
def test_a_malformed_restriction_restricts(value: bytes) -> None:
    assert parse_cache_control([b"max-age=60, " + value]) == CacheControl(no_store=True, max_age=60)


@pytest.mark.parametrize("name", [b"public", b"immutable", b"must-understand", b"only-if-cached"])
@pytest.mark.parametrize("tail", [b"=1", b";", b" x", b"=", b"\xff", b"s"])
def test_a_malformed_permission_permits_nothing(name: bytes, tail: bytes) -> None:
    assert parse_cache_control([name + tail]) == CacheControl()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"max-stale", MAX_SECONDS), (b"max-stale=5", 5), (b"max-stale=", 0), (b"max-stale=x", 0)],
)
def test_max_stale_alone_is_unlimited(value: bytes, seconds: int) -> None:
    assert parse_cache_control([value]).max_stale == seconds


@pytest.mark.parametrize("tail", [b'x="', b'x="a, public', b'"', b'x="\\', b'x="\\"', b'"a" b"'])
def test_an_open_quote_grants_nothing_and_stores_nothing(tail: bytes) -> None:
    found = parse_cache_control([b"max-age=60, " + tail + b", s-maxage=600, public"])
    assert found == CacheControl(max_age=60, no_store=True)


def test_an_oversized_field_stores_nothing() -> None:
    assert parse_cache_control([b"public, " * 2000]) == CacheControl(no_store=True)
    assert parse_cache_control([b"public"] * 2000) == CacheControl(no_store=True)


@given(st.lists(st.binary(), max_size=5))
@example([b"\n"])
@example([b'"\\'])
@example([b"\xff=\x00"])
def test_any_bytes_parse(lines: list[bytes]) -> None:
    assert isinstance(parse_cache_control(lines), CacheControl)


DIRECTIVE_BYTES = st.sampled_from(
    [*FLAGS, *SECONDS, b'"', b"\\", b",", b"=", b" ", b"\t", b"0", b"9", b"x", b"\n", b";"]
)


@given(st.lists(DIRECTIVE_BYTES, max_size=40).map(b"".join))
def test_case_never_matters(value: bytes) -> None:
    found = parse_cache_control([value])
    assert parse_cache_control([value.upper()]) == found
    assert parse_cache_control([value.swapcase()]) == found


@given(st.lists(DIRECTIVE_BYTES, max_size=40).map(b"".join), st.sampled_from([*FLAGS]))
def test_a_restriction_on_a_line_of_its_own_is_never_hidden(value: bytes, name: bytes) -> None:
    found = parse_cache_control([value, name])
    assert getattr(found, FLAGS[name])


def serialise(found: CacheControl) -> list[bytes]:
    members = [name for name, attribute in FLAGS.items() if getattr(found, attribute)]
    for name, attribute in SECONDS.items():
        if (seconds := getattr(found, attribute)) is not None:
            members.append(name + b"=%d" % seconds)
    for name, names in ((b"no-cache", found.no_cache_fields), (b"private", found.private_fields)):
        if names:
            members.append(name + b'="' + b", ".join(names) + b'"')
    return members


names = st.lists(st.sampled_from([b"a", b"x-name", b"set-cookie"]), max_size=3).map(tuple)
controls = st.builds(
    CacheControl,
    **dict.fromkeys(FLAGS.values(), st.booleans()),
    **dict.fromkeys(SECONDS.values(), st.none() | st.integers(0, MAX_SECONDS)),
    no_cache_fields=names,
    private_fields=names,
)


@given(controls, st.data())
def test_what_is_written_is_read_back(found: CacheControl, data: st.DataObject) -> None:
    members = data.draw(st.permutations(serialise(found)))
    cut = data.draw(st.integers(0, len(members)))
    assert parse_cache_control([b", ".join(members)]) == found
    assert parse_cache_control([b",".join(members[:cut]), b" ,".join(members[cut:])]) == found


@pytest.mark.parametrize(
    "pattern",
    [
        b",",
        b'"',
        b"\\",
        b'"\\',
        b'\\"',
        b'",',
        b'"",',
        b" ",
        b"\n",
        b'no-cache="a",',
        b"max-age=1,",
    ],
)
@pytest.mark.parametrize("head", [b"", b'"', b'"\\', b"max-age="])
@pytest.mark.parametrize("size", [8192, 65536])
def test_large_hostile_fields_complete(pattern: bytes, head: bytes, size: int) -> None:
    value = (head + pattern * size)[:size]
    found = parse_cache_control([value])
    assert not found.public
    assert found.no_store or size == 8192
