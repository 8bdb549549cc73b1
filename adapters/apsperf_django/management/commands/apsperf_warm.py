"""`manage.py apsperf_warm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):  # type: ignore[misc]
    """Asks the project for pages, in this process: for stores that outlive it."""

    help = "Ask for these paths, or for all marked ones that take no parameters."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take paths, and by which URL clients know the project."""
        parser.add_argument("paths", nargs="*", metavar="PATH")
        parser.add_argument("--base", metavar="URL", help="by which clients know the project")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        """Ask, and print what came of it."""
        from django.core.wsgi import get_wsgi_application

        from apsperf_django import get_suite
        from apsperf_django.listing import routes
        from apsperf_mw.cli_warm import NOT_LASTING

        wanted = options["paths"] or [
            each.template for each in routes() if each.rule and not set("<(?") & set(each.template)
        ]
        base = {"base": options["base"]} if options["base"] else {}
        report = get_suite().warm(wanted, app=get_wsgi_application(), **base)
        if options["json"]:
            from msgspec import json

            self.stdout.write(json.format(json.encode(report), indent=2).decode())
        else:
            self.stdout.write(str(report))
        if not report.lasting:
            self.stderr.write(NOT_LASTING)
        if not report.ok:
            raise SystemExit(1)
