"""The comparison by the name under which `make model` asks for it."""

from __future__ import annotations

from tests.model.test_model import test_the_package_does_as_the_reference

__all__ = ["test_the_package_does_as_the_reference"]
