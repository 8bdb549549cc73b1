"""What the HTTP cache tests said is read as their own result page reads it."""

from __future__ import annotations

import msgspec

from tests.conformance.__main__ import ALLOWED, names
from tests.conformance.results import Case, Exemption, Exemptions, report, unknown

FAILED = ("Assertion", "Response 2 comes from cache")

CASES = [
    Case("fresh", "reuses", "optimal", result=True),
    Case("stale", "does not reuse", depends_on=("fresh",), result=True),
    Case("age", "reads [Age](http://age)", result=FAILED),
    Case("deeper", "adds to it", depends_on=("age",), result=True),
    Case("deepest", "adds more", "optimal", depends_on=("deeper",), result=FAILED),
    Case("setup", "is set up", result=("Setup", "Response 1 status is 500, not 200")),
    Case("retry", "asks twice", result=("Setup", "retry")),
    Case("hung", "hangs up", result=("FetchError", "socket hang up")),
    Case("skipped", "is not run"),
    Case("behaviour", "does it?", "check", result=FAILED),
    Case("needs check", "counts", depends_on=("behaviour",), result=True),
]
FOUND = report("one", CASES)


def test_a_test_passes_only_if_those_that_it_depends_on_do() -> None:
    assert FOUND.outcomes == {
        "fresh": "pass",
        "stale": "pass",
        "age": "fail",
        "deeper": "dependency",
        "deepest": "dependency",
        "setup": "setup",
        "retry": "retry",
        "hung": "fail",
        "skipped": "untested",
        "behaviour": "fail",
        "needs check": "dependency",
    }


def test_each_kind_is_counted_by_itself() -> None:
    assert FOUND.count("required") == (1, 8)
    assert FOUND.count("optimal") == (1, 2)
    assert FOUND.count("check") == (0, 1)


def test_all_that_did_not_pass_is_found_but_for_checks_the_required_first() -> None:
    found = FOUND.findings(())
    ids = [finding.case.id for finding in found]
    assert ids == ["age", "deeper", "setup", "retry", "hung", "skipped", "needs check", "deepest"]
    said = {finding.case.id: finding.message for finding in found}
    assert said["age"] == "Response 2 comes from cache"
    assert said["deeper"] == "needs age, which did not pass; itself: passed"
    assert said["hung"] == "FetchError: socket hang up"
    assert "reads Age\n" in str(found[0])


def test_a_test_may_fail_only_on_the_servers_that_its_exemption_names() -> None:
    exemptions = (Exemption("age", ("one",), "why"), Exemption("setup", ("two",), "why"))
    reasons = {finding.case.id: finding.reason for finding in FOUND.findings(exemptions)}
    assert reasons["age"] == "why"
    assert reasons["setup"] == ""


def test_an_exemption_from_a_test_that_passes_is_stale_on_that_server() -> None:
    exemptions = (Exemption("stale", ("one",), "why"), Exemption("fresh", ("two",), "why"))
    assert FOUND.stale(exemptions) == [exemptions[0]]


def test_exemptions_from_what_there_is_not_are_errors() -> None:
    def wrong(*exemptions: Exemption) -> str:
        return unknown(exemptions, ["one"], FOUND.cases)

    assert wrong(Exemption("age", ("one",), "why")) == ""
    assert wrong(Exemption("gone", ("one",), "why")) == "there is no test gone"
    assert wrong(Exemption("age", ("two",), "why")).startswith("age names servers ['two']")
    assert wrong(Exemption("age", (), "why")).startswith("age names servers []")
    assert wrong(Exemption("age", ("one",), " ")) == "age has no reason"
    assert wrong(*[Exemption("age", ("one",), "why")] * 2) == "age is listed twice"


def test_the_list_in_the_repository_can_be_read() -> None:
    listed = msgspec.toml.decode(ALLOWED.read_bytes(), type=Exemptions).allowed
    assert unknown(listed, names(), [exemption.id for exemption in listed]) == ""
