"""What two runs of an ORM's tests are held against."""

from __future__ import annotations

import msgspec
import pytest

from tests.orm_suites.__main__ import HERE, RUNS
from tests.orm_suites.results import Tally, differing, times
from tests.transparency.results import Exemptions

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
    assert {each.project for each in allowed} <= {orm for orm, _ in RUNS}
    assert all(each.reason.strip() for each in allowed)
