"""`manage.py apsperf_purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):  # type: ignore[misc]
    """Purges, for all processes that share the store or this host."""

    help = "Make what is stored and carries one of the tags not good any more."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take tags, URLs and prefixes."""
        parser.add_argument("tags", nargs="*", metavar="TAG")
        parser.add_argument("--url", action="append", default=[], dest="urls", metavar="URL")
        parser.add_argument("--prefix", action="append", default=[], dest="prefixes", metavar="URL")
        parser.add_argument("--all", action="store_true", dest="everything", help="all of it")
        parser.add_argument("--hard", action="store_true", help="do not even ask about it")

    def handle(self, **options: Any) -> None:
        """Purge."""
        from apsperf_django import get_suite
        from apsperf_mw.errors import APSPerfError

        what = {name: options[name] for name in ("urls", "prefixes", "everything", "hard")}
        try:
            get_suite().purge(*options["tags"], **what)
        except APSPerfError as error:
            raise CommandError(str(error)) from None
        self.stdout.write("purged")
