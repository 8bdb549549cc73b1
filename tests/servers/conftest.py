"""Which tests of servers are collected."""

from __future__ import annotations

import os

# Where a run tries each server with each framework in a step of its own.
collect_ignore = ["test_matrix.py"] if os.environ.get("MATRIX") == "none" else []
