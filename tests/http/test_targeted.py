from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.fields import MAX_SECONDS, CacheControl
from apsperf_mw.http.targeted import parse_dictionary, parse_targeted


@pytest.mark.parametrize(
    ("lines", "members"),
    [
        ([b""], {}),
        ([b"a"], {b"a": b"?1"}),
        ([b"a=1"], {b"a": b"1"}),
        ([b"a=1, b=2.5,c=?0"], {b"a": b"1", b"b": b"2.5", b"c": b"?0"}),
        ([b"a=1\t,\t b"], {b"a": b"1", b"b": b"?1"}),
        ([b"a=1", b"b"], {b"a": b"1", b"b": b"?1"}),
        ([b"a=1, a=2"], {b"a": b"2"}),
        ([b"a=1, b, a"], {b"b": b"?1", b"a": b"?1"}),
        ([b'a="x, \\"y\\" \\\\"'], {b"a": b'"x, \\"y\\" \\\\"'}),
        ([b"a=token/x:y*"], {b"a": b"token/x:y*"}),
        ([b"a=:aGk=:"], {b"a": b":aGk=:"}),
        ([b"a=@1659578233"], {b"a": b"@1659578233"}),
        ([b'a=%"caf%c3%a9"'], {b"a": b'%"caf%c3%a9"'}),
        ([b"a=(1 2 b;q=1);x"], {b"a": b"("}),
        ([b"a=()"], {b"a": b"("}),
        ([b"a;x=1; y;z=?0, b=2;x"], {b"a": b"?1", b"b": b"2"}),
        ([b"*a_-.*9=1"], {b"*a_-.*9": b"1"}),
        ([b" a=1 "], {b"a": b"1"}),
        ([b"a=1\t"], {b"a": b"1"}),
        ([b"a \t , b\t"], {b"a": b"?1", b"b": b"?1"}),
        ([b"a=-1"], {b"a": b"-1"}),
    ],
)
def test_dictionaries(lines: list[bytes], members: dict[bytes, bytes]) -> None:
    assert parse_dictionary(lines) == members


@pytest.mark.parametrize(
    "value",
    [
        b"A=1",
        b"a=1,",
        b",a=1",
        b"a=1,,b",
        b"a=1 b=2",
        b"a=",
        b"a =1",
        b"a= 1",
        b'a="x',
        b'a="\\x"',
        b'a="\x7f"',
        b"a=1.",
        b"a=1.2345",
        b"a=1234567890123456",
        b"a=1234567890123.1",
        b"a=?2",
        b"a=:x",
        b"a=(1",
        b"a=(1,2)",
        b"a;X=1",
        b"a; =1",
        b"1a",
        b"\xe9=1",
        b"a=1\n",
        b"\ta=1",
        b"\t",
        b"a,\t",
        b"a=1\tb",
        b"a=x" + b"x" * 9000,
    ],
)
def test_what_does_not_parse_says_nothing(value: bytes) -> None:
    assert parse_dictionary([value]) is None
    assert parse_targeted([value]) is None


@pytest.mark.parametrize(
    ("value", "control"),
    [
        (b"max-age=60", CacheControl(max_age=60)),
        (b"s-maxage=60, max-age=5", CacheControl(s_maxage=60, max_age=5)),
        (b"max-age=60, must-revalidate", CacheControl(max_age=60, must_revalidate=True)),
        (b"no-store", CacheControl(no_store=True)),
        (b"no-store=?0", CacheControl()),
        (b"no-store=?1", CacheControl(no_store=True)),
        (b"no-store=1", CacheControl(no_store=True)),
        (b'private="x"', CacheControl(private=True)),
        (b"private=(a b)", CacheControl(private=True)),
        (b'no-cache="set-cookie"', CacheControl(no_cache=True)),
        (b"public=1", CacheControl()),
        (b"public", CacheControl(public=True)),
        (b"immutable, no-transform", CacheControl(immutable=True, no_transform=True)),
        (b"must-understand", CacheControl(must_understand=True)),
        (b"max-age", CacheControl()),
        (b"max-age=-1", CacheControl()),
        (b"max-age=1.5", CacheControl()),
        (b'max-age="60"', CacheControl()),
        (b"max-age=60;x=1", CacheControl(max_age=60)),
        (b"max-age=999999999999999", CacheControl(max_age=MAX_SECONDS)),
        (b"stale-while-revalidate=5", CacheControl(stale_while_revalidate=5)),
        (b"stale-if-error=5", CacheControl(stale_if_error=5)),
        (b"only-if-cached, max-stale=1, min-fresh=1", CacheControl()),
        (b"unknown=1", CacheControl()),
    ],
)
def test_directives(value: bytes, control: CacheControl) -> None:
    assert parse_targeted([value]) == control


@pytest.mark.parametrize("lines", [[], [b""], [b" "], [b"", b""]])
def test_an_empty_list_says_nothing(lines: list[bytes]) -> None:
    assert parse_targeted(lines) is None


keys = st.from_regex(rb"[a-z*][a-z0-9_\-.*]{0,8}", fullmatch=True)
strings = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
bare = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1).map(lambda number: b"%d" % number),
    strings.map(lambda text: b'"%b"' % text.replace("\\", "\\\\").replace('"', '\\"').encode()),
    st.from_regex(rb"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]{0,8}", fullmatch=True),
    st.sampled_from([b"?0", b"?1", b":aGk=:", b"@1", b"1.5", b"-0.125"]),
)
parameters = st.lists(
    st.tuples(keys, bare).map(lambda pair: b";%b=%b" % pair) | keys.map(lambda key: b"; " + key),
    max_size=2,
).map(b"".join)


@given(st.dictionaries(keys, bare, max_size=5), st.data())
def test_a_dictionary_reads_back(members: dict[bytes, bytes], data: st.DataObject) -> None:
    written = []
    for key, value in members.items():
        item = key if value == b"?1" else key + b"=" + value
        written.append(item + data.draw(parameters))
    comma = data.draw(st.sampled_from([b",", b", ", b" , ", b"\t,\t"]))
    assert parse_dictionary([comma.join(written)]) == members
    assert parse_dictionary(written) == members


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_parse(lines: list[bytes]) -> None:
    parse_dictionary(lines)
    parse_targeted(lines)


@given(st.text('a=1,;"\\() ?:@%.-\t', max_size=30).map(str.encode))
def test_what_looks_like_a_dictionary_parses(value: bytes) -> None:
    members = parse_dictionary([value])
    if members:
        assert all(members)
        control = parse_targeted([value])
        assert control == CacheControl()


@pytest.mark.parametrize("pattern", [b"a,", b"a;", b"(", b'"\\', b"a=(", b"a;b", b"=", b" ", b"1."])
def test_large_hostile_fields_complete(pattern: bytes) -> None:
    assert parse_dictionary([pattern * 20_000]) in (None, {})
    parse_dictionary([b"a=" + pattern * (8000 // len(pattern))])
