"""Which traces are sampled."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from apsperf_mw.observe.ids import LOW_BITS, bound_of, random_bits, trace_id, unsampled_low

ratios = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.5, 1.0]))


@given(ratios, st.integers(1, (1 << 128) - 1))
def test_a_trace_is_sampled_where_opentelemetry_samples_it(ratio: float, trace: int) -> None:
    decision = TraceIdRatioBased(ratio).should_sample(None, trace, "").decision
    theirs = decision.value == 2  # RECORD_AND_SAMPLE
    assert (trace & LOW_BITS < bound_of(ratio)) == theirs


@given(ratios)
def test_low_bits_that_are_not_sampled(ratio: float) -> None:
    low = unsampled_low(bound_of(ratio))
    assert 0 <= low <= LOW_BITS
    assert low >= bound_of(ratio) or ratio == 1.0


@pytest.mark.parametrize("low", [0, 1, LOW_BITS])
def test_a_trace_id_ends_in_its_low_bits(low: int) -> None:
    trace = trace_id(low)
    assert 0 < trace < 1 << 128
    assert trace & LOW_BITS == low or trace == 1


def test_a_program_that_seeds_its_generator_does_not_repeat_ids() -> None:
    random.seed(7)
    first = random_bits(64)
    random.seed(7)
    assert random_bits(64) != first
