"""`manage.py apsperf_report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):  # type: ignore[misc]
    """Asks a running server by its admin endpoint; the token is that of the settings."""

    help = "Say where the project's time goes, route by route, and what to do about it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where the server is."""
        parser.add_argument("--server", metavar="URL", required=True)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        """Ask, and print."""
        from apsperf_django import get_suite
        from apsperf_mw.cli_admin import server_at
        from apsperf_mw.cli_report import in_words
        from apsperf_mw.errors import APSPerfError
        from apsperf_mw.printed import as_json

        token = get_suite().settings.admin.token or None
        try:
            told = server_at(options["server"], token).ask("GET", "report")
        except APSPerfError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(as_json(told) if options["json"] else in_words(told))
