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
    if isinstance(least, tuple):
        least = dict.fromkeys(least, 1)
    found = url_texts(url, tuple(least))
    return {name: whole_number(url, name, value, least[name]) for name, value in found.items()}


def url_texts(url: str, names: tuple[str, ...]) -> dict[str, str]:
    """The options as they are written; raises `DriverError` for one that is not named."""
    from urllib.parse import parse_qsl, urlsplit

    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    for name in options:
        if name not in names:
            raise DriverError(f"{url}: unknown option {name!r}; accepted: {', '.join(names)}")
    return options


def whole_number(url: str, name: str, value: str, least: int = 1) -> int:
    """What an option's value says; raises `DriverError` for anything else."""
    if not (value.isascii() and value.isdigit() and int(value) >= least):
        accepted = f"a whole number above {least - 1}"
        raise DriverError(f"{url}: {name} is {value!r}; accepted: {accepted}")
    return int(value)
