"""`python -m apsperf_mw.settings [README.md]`: write the settings table into the README."""

from __future__ import annotations

import sys
from pathlib import Path

from apsperf_mw.settings.fields import table

START, END = "<!-- settings -->", "<!-- /settings -->"


def rewritten(text: str) -> str:
    """The text with the table of today between its two markers."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"no {START} ... {END} in the file")
    return f"{before}{start}\n{table()}{end}{after}"


if __name__ == "__main__":
    readme = Path(sys.argv[1] if len(sys.argv) > 1 else "README.md")
    readme.write_text(rewritten(readme.read_text("utf-8")), "utf-8")
