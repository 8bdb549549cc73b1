"""Ids of traces and spans, and the share of traces that is sampled."""

from __future__ import annotations

import os
from random import Random

# A generator of our own: a program that seeds the shared one would repeat its trace ids. It is
# seeded anew in each forked child, for the same reason.
_random = Random()  # noqa: S311 - ids need to differ, not to be secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

random_bits = _random.getrandbits

# Sampling looks at the low 64 bits of a trace id, as OpenTelemetry's ratio sampler does.
LOW_BITS = (1 << 64) - 1


def bound_of(ratio: float) -> int:
    """The number below which the low bits of sampled trace ids lie."""
    return round(ratio * (1 << 64))


def trace_id(low: int) -> int:
    """A new trace id that ends in these bits."""
    return random_bits(64) << 64 | low or 1


def unsampled_low(bound: int) -> int:
    """Low bits of a trace id that nobody who uses the same ratio samples."""
    return min(bound + (random_bits(64) * (LOW_BITS + 1 - bound) >> 64), LOW_BITS)


def span_id() -> int:
    """A new span id."""
    return random_bits(64) or 1
