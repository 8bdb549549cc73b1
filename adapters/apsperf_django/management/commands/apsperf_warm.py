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
        from apsperf_mw.cli_warm import NOT_LASTING
        from apsperf_mw.printed import as_json

        suite = get_suite()
        wanted = options["paths"] or [each.template for each in suite.lists() if each.has_one_url]
        base = {"base": options["base"]} if options["base"] else {}
        report = suite.warm(wanted, app=get_wsgi_application(), **base)
        self.stdout.write(as_json(report) if options["json"] else str(report))
        if not report.lasting:
            self.stderr.write(NOT_LASTING)
        if not report.ok:
            raise SystemExit(1)
