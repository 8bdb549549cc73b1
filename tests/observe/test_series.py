"""Histograms, and a bounded number of series whatever clients make up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.exchange import Facts
from apsperf_mw.observe.measures import DURATION_BOUNDS_S
from apsperf_mw.observe.record import Finished
from apsperf_mw.observe.series import OVERFLOW, Histogram, Requests, error_type

durations = st.one_of(st.floats(0, 20), st.sampled_from(DURATION_BOUNDS_S))


def raw(
    method: str = "GET",
    scheme: str = "http",
    route: str = "/items/{id}",
    status: int = 200,
    version: str = "1.1",
    error: str = "",
    result: str = "miss",
) -> Facts:
    return (method, scheme, route, status, version, error, result)


def naive(values: list[float]) -> list[int]:
    """Each value's bucket is the first whose bound it does not exceed."""
    counts = [0] * (len(DURATION_BOUNDS_S) + 1)
    for value in values:
        at = 0
        while at < len(DURATION_BOUNDS_S) and value > DURATION_BOUNDS_S[at]:
            at += 1
        counts[at] += 1
    return counts


@given(st.lists(st.lists(durations, min_size=1), min_size=1, max_size=8))
def test_a_histogram_counts_as_one_by_one(batches: list[list[float]]) -> None:
    histogram = Histogram()
    for batch in batches:
        histogram.add(list(batch))
    values = [value for batch in batches for value in batch]
    assert histogram.buckets == naive(values)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))
    assert (histogram.lowest, histogram.highest) == (min(values), max(values))


def test_the_bounds_are_those_that_the_conventions_advise() -> None:
    assert (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    ) == DURATION_BOUNDS_S


def test_what_clients_make_up_adds_no_series() -> None:
    requests = Requests(2000)
    for n in range(5000):
        requests.count(
            [
                Finished(raw(method=f"M{n}"), 0.1, 0.1),
                Finished(raw(scheme=f"s{n}"), 0.1, 0.1),
                Finished(raw(version=f"{n}.7"), 0.1, 0.1),
            ]
        )
    series = requests.durations.all()
    assert len(series) == 3
    told = [each.attributes for each in series]
    assert len({tuple(sorted(each.items())) for each in told}) == 3
    assert told[0]["http.request.method"] == "_OTHER"
    assert told[1]["url.scheme"] == "_OTHER"
    assert "network.protocol.version" not in told[2]


@pytest.mark.parametrize("most", [1, 2, 10])
def test_past_the_cap_the_rest_share_the_overflow(most: int) -> None:
    requests = Requests(most)
    for n in range(50):
        requests.count([Finished(raw(route=f"/{n}"), 0.1, 0.1)])
    for table in (requests.durations, requests.first_bytes):
        series = table.all()
        assert len(series) == most
        assert series[-1].attributes == OVERFLOW == {"otel.metric.overflow": True}
        assert sum(each.value.count for each in series) == 50
    results = requests.results.all()
    assert len(results) == most
    assert sum(each.value[0] for each in results) == 50


def test_a_series_that_exists_still_counts_past_the_cap() -> None:
    requests = Requests(2)
    requests.count([Finished(raw(route="/a"), 0.1, 0.1)])
    requests.count([Finished(raw(route="/b"), 0.1, 0.1)])
    requests.count([Finished(raw(route="/a"), 0.1, 0.1)])
    assert [each.value.count for each in requests.durations.all()] == [2, 1]


def test_a_request_without_a_response_has_no_first_byte() -> None:
    requests = Requests(10)
    requests.count([Finished(raw(status=0, error="ValueError"), 0.1, -5.0)])
    assert requests.first_bytes.all() == []
    (series,) = requests.durations.all()
    assert series.attributes["error.type"] == "ValueError"
    assert "http.response.status_code" not in series.attributes


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [(200, "", ""), (404, "", ""), (499, "", ""), (500, "", "500"), (503, "", "503"),
     (500, "KeyError", "KeyError"), (0, "KeyError", "KeyError")],
)  # fmt: skip
def test_error_types(status: int, error: str, told: str) -> None:
    assert error_type(status, error) == told


def test_versions_are_told_in_one_way() -> None:
    requests = Requests(10)
    requests.count([Finished(raw(version="2"), 0.1, 0.1), Finished(raw(version="2.0"), 0.1, 0.1)])
    (series,) = requests.durations.all()
    assert series.attributes["network.protocol.version"] == "2"
    assert series.value.count == 2
