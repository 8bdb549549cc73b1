"""How statements are read: places for values, scripts, and the columns of conditions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.advice.candidates import Candidate, Index, made, quoted
from apsperf_mw.advice.reading import Usage, usages_of
from apsperf_mw.advice.workload import Query, numbered, of_script, statements_of

COLUMNS = {"a": {"x": "int", "y": "int", "z": "text"}, "b": {"x": "int", "a_x": "int"}}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("SELECT %s, %s", "SELECT $1, $2"),
        ("SELECT %(a)s, %(b)s, %(a)s", "SELECT $1, $2, $1"),
        ("SELECT ?, ?", "SELECT $1, $2"),
        ("SELECT :a, :b::int, :a", "SELECT $1, $2::int, $1"),
        ("SELECT $2, $1", "SELECT $1, $2"),
        ("SELECT '%s ?', \"?\", %s", "SELECT '%s ?', \"?\", $1"),
        ("SELECT 'a%%' WHERE x = %s", "SELECT 'a%' WHERE x = $1"),
        ("SELECT 5 %% 2, %s", "SELECT 5 % 2, $1"),
        ("SELECT 5 % 2", "SELECT 5 % 2"),
        ("SELECT 1 -- ? %s\n, ?", "SELECT 1 -- ? %s\n, $1"),
        ("SELECT /* :a */ x::int", "SELECT /* :a */ x::int"),
    ],
)
def test_places_are_numbered(text: str, made: str) -> None:
    assert numbered(text)[0] == made


@given(st.text(alphabet="ab';\"-*/$ \n?%s:", max_size=60))
def test_any_text_is_cut_and_numbered(text: str) -> None:
    assert sum(map(len, statements_of(text))) <= len(text)
    numbered(text)
    usages_of(Query(text), COLUMNS, "postgres")


def test_a_script_is_cut_where_its_statements_end() -> None:
    script = """SELECT ';' FROM "a;b"; -- not here;
    SELECT $$ ; $$ /* nor ; here */;;SELECT 3"""
    parts = list(statements_of(script))
    assert len(parts) == 3
    assert parts[2] == "SELECT 3"


def test_statements_of_one_shape_are_counted() -> None:
    first, second = of_script(
        "SELECT 1 FROM a; SELECT 2 FROM a; CREATE TABLE c (x int); DELETE FROM b"
    )
    assert (first.calls, second.calls, second.verb) == (2, 1, "DELETE")


def read(text: str, dialect: str = "postgres") -> dict[str, Usage]:
    return {each.table: each for each in usages_of(Query(text), COLUMNS, dialect)}


@pytest.mark.parametrize("dialect", ["postgres", "sqlite"])
def test_conditions_are_told_apart(dialect: str) -> None:
    found = read(
        """SELECT a.z FROM a JOIN b ON b.a_x = a.x
        WHERE a.y = 5 AND b.x > 3 AND a.z IS NULL ORDER BY a.y DESC, a.z""",
        dialect,
    )
    assert found["a"].equal == {"y": "5"}
    assert found["a"].joined == {"b": ["x"]}
    assert found["a"].nulls == ["z"]
    assert found["a"].ordered == [("y", True), ("z", False)]
    assert found["b"].ranged == ["x"]
    assert found["b"].joined == {"a": ["a_x"]}
    assert set(found["a"].used) == {"x", "y", "z"}


def test_names_in_quotes_keep_their_case() -> None:
    columns = {"T": {"Town": "text", "town": "text"}}
    (usage,) = usages_of(Query('SELECT * FROM "T" t WHERE t."Town" = 5'), columns, "postgres")
    assert usage.equal == {"Town": "5"}
    assert usages_of(Query("SELECT * FROM T WHERE Town = 5"), columns, "postgres") == []


@pytest.mark.parametrize(
    "text", ["", "nonsense", "SELECT", "SELECT 1", "INSERT INTO a VALUES (1)", "SELECT * FROM c"]
)
def test_what_has_nothing_to_find_has_no_usage(text: str) -> None:
    assert read(text) == {}


def test_sorting_by_two_tables_wants_no_index() -> None:
    found = read("SELECT * FROM a JOIN b ON b.a_x = a.x ORDER BY a.y, b.x")
    assert found["a"].ordered == found["b"].ordered == []


@pytest.mark.parametrize(
    ("index", "candidate", "serves"),
    [
        (("x", "y"), ("x",), True),
        (("x", "y"), ("y",), False),
        (("x",), ("x", "y"), False),
    ],
)
def test_an_index_serves_for_its_first_columns(
    index: tuple[str, ...], candidate: tuple[str, ...], serves: bool
) -> None:
    assert Index("i", "a", index, "").serves(Candidate("a", candidate)) is serves


def test_a_unique_index_leaves_nothing_to_find() -> None:
    unique = Index("i", "a", ("x",), "", unique=True)
    assert unique.serves(Candidate("a", ("x", "y")))
    assert not unique.serves(Candidate("a", ("y",)))


def test_an_index_is_read_backwards_too() -> None:
    down = made(Candidate("a", ("x", "y"), ("x", "y")))
    assert down.serves(Candidate("a", ("x", "y")))
    assert not down.serves(Candidate("a", ("x", "y"), ("y",)))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("name", "name"),
        ("order", '"order"'),
        ("A", '"A"'),
        ('a"b', '"a""b"'),
        ("lower(a)", "lower(a)"),
    ],
)
def test_names_are_quoted_where_they_must_be(name: str, told: str) -> None:
    assert quoted(name) == told


def test_names_of_indexes_are_not_too_long() -> None:
    long = Candidate("t" * 40, ("c" * 40,))
    assert len(long.name) <= 60
    assert long.ddl() == f"CREATE INDEX {long.name} ON {'t' * 40} ({'c' * 40})"
