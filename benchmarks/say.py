"""Progress of a long measurement."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Show progress, in one line where somebody looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
