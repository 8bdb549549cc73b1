"""Assertions of the comparison show what differs."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.apps.compare")
