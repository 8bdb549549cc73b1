"""What two runs of a framework's tests are held against."""

from __future__ import annotations

import msgspec
import pytest

from tests.transparency.__main__ import HERE, PROJECTS
from tests.transparency.results import Exemption, Exemptions, Tally, broken, wrongs

BARE = Tally({"a[1]": "passed", "a[2]": "passed", "b": "failed", "c": "passed", "d": "skipped"})
WRAPPED = Tally({"a[1]": "passed", "a[2]": "failed", "b": "failed", "d": "failed"})


def test_what_passed_bare_must_pass_wrapped() -> None:
    assert broken(BARE, WRAPPED) == ["a[2]", "c"]
    assert broken(BARE, BARE) == []


@pytest.mark.parametrize(
    ("project", "tests", "reason", "wrong"),
    [
        ("one", ("a", "c"), "it may", []),
        ("one", ("a",), "it may", ["c fails"]),
        ("two", ("a", "c"), "it may", ["a[2] fails", "c fails"]),
        ("one", ("a", "c", "b"), "it may", ["b may fail, and passes"]),
        ("one", ("a", "c"), " ", ["a may fail for no reason", "c may fail for no reason"]),
    ],
)
def test_the_list_names_each_and_no_other(
    project: str, tests: tuple[str, ...], reason: str, wrong: list[str]
) -> None:
    exemption = Exemption(project, tests, reason)
    assert wrongs("one", broken(BARE, WRAPPED), [exemption]) == wrong


def test_the_list_is_of_projects_that_are_run() -> None:
    allowed = msgspec.toml.decode((HERE / "allowed.toml").read_bytes(), type=Exemptions).allowed
    assert {each.project for each in allowed} <= {*PROJECTS}
