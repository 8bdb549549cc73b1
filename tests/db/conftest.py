"""What the tests of databases share with those of observing."""

from tests.observe.conftest import make_suite, shell, wrap

__all__ = ["make_suite", "shell", "wrap"]
