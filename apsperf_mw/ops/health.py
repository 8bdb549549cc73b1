"""Whether the process takes requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from apsperf_mw.faults import Faults

SHUTTING_DOWN = "shutting down"


class Health:
    """Ready until it is told to drain, and while every check of the program's says so."""

    def __init__(self, faults: Faults) -> None:
        self.draining = False
        self._faults = faults
        self._checks: dict[str, Callable[[], object]] = {}

    def check(self, name: str, check: Callable[[], object]) -> None:
        """Ask this too: what gives False or raises says that the process is not ready."""
        self._checks[name] = check

    def drain(self) -> None:
        """Take no more requests from now on."""
        self.draining = True

    def reason(self) -> str:
        """Why the process is not ready, or nothing where it is."""
        if self.draining:
            return SHUTTING_DOWN
        for name, check in list(self._checks.items()):
            try:
                if check() is False:
                    return name
            except Exception as fault:
                self._faults.note(f"the readiness check {name}", fault)
                return name
        return ""
