"""What two runs of an ORM's tests are held against."""

from __future__ import annotations

import msgspec
import pytest

from tests.orm_suites.__main__ import HERE, RUNS, labels_of
from tests.orm_suites.results import Tally, differing, fitting, times
from tests.transparency.results import Exemption, Exemptions, wrongs

BARE = Tally({"T_sqlite+pysqlite_3_40_1::a[1]": "passed", "b": "failed", "c": "skipped"}, 2.0, 3.0)


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        ({"T_sqlite+pysqlite_3_50::a[1]": "passed", "b": "failed", "c": "skipped"}, []),
        ({"T::a[1]": "failed", "b": "failed", "c": "skipped"}, ["T::a[1]"]),
        ({"T::a[1]": "passed", "b": "passed", "c": "skipped"}, ["b"]),
        ({"T::a[1]": "passed", "b": "failed"}, ["c"]),
        ({"T::a[1]": "passed", "b": "failed", "c": "skipped", "d": "passed"}, ["d"]),
    ],
)
def test_whatever_ends_otherwise_is_found(outcomes: dict[str, str], found: list[str]) -> None:
    on = Tally(outcomes, 3.0, 3.0)
    assert differing(BARE, on) == found
    assert times(BARE, on) == 1.5


def test_the_list_is_of_what_is_run_and_has_reasons() -> None:
    allowed = msgspec.toml.decode((HERE / "allowed.toml").read_bytes(), type=Exemptions).allowed
    known = {name for orm, database in RUNS for name in (orm, f"{orm} on {database}")}
    assert {each.project for each in allowed} <= known
    assert all(each.reason.strip() for each in allowed)


@pytest.mark.parametrize(
    ("project", "named", "wrong"),
    [
        ("orm", "T::a", []),
        ("orm on sqlite", "T::a", []),
        ("orm on postgresql", "T::a", ["T::a[1] fails"]),
        ("other", "T::a", ["T::a[1] fails"]),
        ("orm", "b", ["T::a[1] fails", "b may fail, and passes"]),
        ("orm", "not run", ["T::a[1] fails"]),
    ],
)
def test_what_may_differ_is_said_of_an_orm_or_of_it_on_a_database(
    project: str, named: str, wrong: list[str]
) -> None:
    allowed = (Exemption(project, (named,), "so"),)
    assert wrongs("orm", ["T::a[1]"], fitting(allowed, BARE, "orm", "sqlite")) == wrong


@pytest.mark.parametrize("orm", ["django", "sqlalchemy"])
@pytest.mark.parametrize("on_server", [False, True])
def test_the_part_of_each_change_is_less(orm: str, on_server: bool) -> None:
    part = labels_of(orm, on_server=on_server, smoke=True)
    everything = labels_of(orm, on_server=on_server, smoke=False)
    assert all(label.startswith(everything) for label in part)
    assert part != everything
