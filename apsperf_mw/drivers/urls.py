"""The parts of a driver's URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apsperf_mw.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping


def url_options(url: str, least: Mapping[str, int] | tuple[str, ...]) -> dict[str, int]:
    """The whole-number options of a driver's URL, each with the least value that is accepted.

    Raises `DriverError` for any other option or value; names alone mean numbers above 0.
    """
    from urllib.parse import parse_qsl, urlsplit

    if isinstance(least, tuple):
        least = dict.fromkeys(least, 1)
    options = {}
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if name not in least:
            raise DriverError(f"{url}: unknown option {name!r}; accepted: {', '.join(least)}")
        if not (value.isascii() and value.isdigit() and int(value) >= least[name]):
            accepted = f"a whole number above {least[name] - 1}"
            raise DriverError(f"{url}: {name} is {value!r}; accepted: {accepted}")
        options[name] = int(value)
    return options
