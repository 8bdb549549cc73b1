"""Warm-up: ask for pages before anybody else does, and report what was stored and what was not.

Only pages of one origin are asked for, by GET, without cookies and credentials, within a budget.
"""

from __future__ import annotations

from apsperf_mw.warm.report import Report
from apsperf_mw.warm.start import Options, awarm, warm

__all__ = ["Options", "Report", "awarm", "warm"]
