"""`manage.py apsperf_doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):  # type: ignore[misc]
    """Prints a checkup; ends with 1 where something is broken."""

    help = "Say what works of the suite, what does not, and what may surprise."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take `--json`."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        """Look, and print."""
        from apsperf_django import get_suite
        from apsperf_mw.printed import as_json

        checkup = get_suite().doctor()
        self.stdout.write(as_json(checkup) if options["json"] else str(checkup))
        if not checkup.healthy:
            raise SystemExit(1)
