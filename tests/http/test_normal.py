from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.http.normal import NORMALISERS, first_choice, spaced, weighted


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (b"", b""),
        (b"a", b"a"),
        (b" a ", b"a"),
        (b"a,b", b"a,b"),
        (b"a , \tb", b"a,b"),
        (b"a ; q=0.5 , b", b"a;q=0.5,b"),
        (b",a,", b",a,"),
        (b"a b", b"a b"),
        (b"A", b"A"),
        (b'"a , b"', b'"a , b"'),
        (b"a, " * 500, b"a, " * 500),
    ],
)
def test_white_space_of_lists(value: bytes, normal: bytes) -> None:
    assert spaced(value) == normal


@pytest.mark.parametrize(
    ("values", "normal"),
    [
        ([b"gzip, br", b"br,gzip", b"GZIP,BR", b"br;q=1, gzip;q=1.0", b",br,,gzip,"], b"br,gzip"),
        ([b"gzip;q=0.5, br", b"br, gzip;q=0.50", b"gzip;q=0.500,br;q=1.000"], b"br,gzip;q=0.5"),
        ([b"br;q=0", b"br;q=0.0", b"br ; q=0.000"], b"br;q=0"),
        ([b"*;q=0.1, de", b"DE,*;q=0.1"], b"de,*;q=0.1"),
        ([b""], b""),
    ],
)
def test_lists_of_preferences_that_mean_the_same(values: list[bytes], normal: bytes) -> None:
    assert {weighted(value) for value in values} == {normal}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"gzip", b"br"),
        (b"gzip", b"gzip;q=0.9"),
        (b"gzip;q=0.1, br", b"gzip, br;q=0.1"),
        (b"gzip", b"gzip, br"),
        (b"gzip;q=0", b""),
        (b"gzip;q=2", b"gzip"),
        (b"gzip;x=1", b"gzip"),
        (b"gzip;q=0.5;x=1", b"gzip;q=0.5"),
        (b"de", b"de-ch"),
    ],
)
def test_lists_of_preferences_that_do_not(one: bytes, other: bytes) -> None:
    assert weighted(one) != weighted(other)


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (b"de", b"de"),
        (b"DE-ch", b"de-ch"),
        (b"de, en;q=0.5", b"de"),
        (b"en;q=0.5, de;q=0.6", b"de"),
        (b"en;q=0.5 , de", b"de"),
        (b"*", b"*"),
        (b"de, en", None),
        (b"de;q=0.5, en;q=0.5", None),
        (b"de;q=0", None),
        (b"", None),
        (b",,", None),
        (b'"de"', None),
        (b"de," + b"x" * 2000, None),
    ],
)
def test_the_first_choice(value: bytes, choice: bytes | None) -> None:
    assert first_choice(value) == choice


names = st.from_regex(rb"[A-Za-z*][A-Za-z0-9-]{0,5}", fullmatch=True)
weights = st.integers(0, 1000).map(lambda thousandths: b"%.3f" % (thousandths / 1000))
spaces = st.sampled_from([b"", b" ", b"\t", b"  "])


@given(
    st.lists(st.tuples(names, weights), max_size=6, unique_by=lambda pair: pair[0].lower()),
    st.data(),
)
def test_order_case_and_space_mean_nothing(
    pairs: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    def written(pairs: list[tuple[bytes, bytes]]) -> bytes:
        members = [
            data.draw(spaces) + name + data.draw(spaces) + b";" + data.draw(spaces) + b"q=" + weight
            for name, weight in pairs
        ]
        return b",".join(members)

    other = [(name.swapcase(), weight) for name, weight in data.draw(st.permutations(pairs))]
    assert weighted(written(pairs)) == weighted(written(other))
    assert first_choice(written(pairs)) == first_choice(written(other))


@given(st.dictionaries(names.map(bytes.lower), weights, max_size=6), st.data())
def test_another_weight_is_another_meaning(
    preferences: dict[bytes, bytes], data: st.DataObject
) -> None:
    def written(preferences: dict[bytes, bytes]) -> bytes:
        return b",".join(b"%b;q=%b" % pair for pair in preferences.items())

    if preferences:
        name = data.draw(st.sampled_from(sorted(preferences)))
        weight = data.draw(weights.filter(lambda weight: weight != preferences[name]))
        other = preferences | {name: weight}
        assert weighted(written(preferences)) != weighted(written(other))


@given(st.binary())
def test_any_bytes_normalise_and_stay_as_they_are_then(value: bytes) -> None:
    for normal in (spaced, *NORMALISERS.values()):
        assert normal(normal(value)) == normal(value)
    choice = first_choice(value)
    assert choice is None or choice in value.lower()


@given(st.text('a*;q=01.5, \t"', max_size=20).map(str.encode))
def test_what_looks_like_preferences_normalises(value: bytes) -> None:
    for normal in (spaced, *NORMALISERS.values()):
        assert normal(normal(value)) == normal(value)
    first_choice(value)


@pytest.mark.parametrize("pattern", [b"a,", b" ", b",", b";q=", b"a;q=0.1,"])
def test_large_hostile_fields_are_left_alone(pattern: bytes) -> None:
    value = pattern * 20_000
    assert weighted(value) == spaced(value) == value
    assert first_choice(value) is None
