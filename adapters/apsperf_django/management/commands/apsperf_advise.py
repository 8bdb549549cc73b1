"""`manage.py apsperf_advise`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from apsperf_mw.advice.advising import Advice

WHERE = "one of --server, --queries and --statistics is needed"


class Command(BaseCommand):  # type: ignore[misc]
    """Says which indexes are wanted: by a running server, by a file, or by the database itself."""

    help = "Say which indexes a workload wants, each tried on the database's own planner."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where the workload is, and what is to be done with the advice."""
        parser.add_argument("--server", metavar="URL", help="what a running server has sent")
        parser.add_argument("--queries", metavar="FILE", help="SQL statements; - for stdin")
        parser.add_argument("--statistics", action="store_true", help="of pg_stat_statements")
        parser.add_argument("--database", default="default", metavar="ALIAS")
        parser.add_argument("--budget", type=float, default=30.0, metavar="SECONDS")
        parser.add_argument("--max-indexes", type=int, default=10)
        parser.add_argument("--migration", metavar="APP", help="write a migration for its models")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, **options: Any) -> None:
        """Ask, print, and write."""
        from apsperf_mw.errors import APSPerfError
        from apsperf_mw.printed import as_json

        given = [bool(options[name]) for name in ("server", "queries", "statistics")]
        if sum(given) != 1:
            raise CommandError(WHERE)
        try:
            advice = self._asked(options) if options["server"] else self._advised(options)
        except APSPerfError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(as_json(advice.as_dict()) if options["json"] else str(advice))
        if options["migration"]:
            self._write(advice, options["migration"], options["database"])

    def _asked(self, options: Any) -> Advice:
        from apsperf_django import get_suite
        from apsperf_mw.cli_advise import asked, of_answer

        token = get_suite().settings.admin.token or None
        limits = {"budget_s": options["budget"], "max_indexes": options["max_indexes"]}
        return of_answer(asked(options["server"], token, options["database"], limits))

    def _advised(self, options: Any) -> Advice:
        from apsperf_django.doors import DjangoDoor
        from apsperf_mw.advice.sources import advise_through, counted
        from apsperf_mw.advice.workload import of_script
        from apsperf_mw.cli_advise import read

        door = DjangoDoor(options["database"])
        if options["statistics"]:
            queries = door.through(counted)
        else:
            queries = of_script(read(options["queries"]))
        limits = {"budget_s": options["budget"], "max_indexes": options["max_indexes"]}
        return advise_through(door, queries, **limits)

    def _write(self, advice: Advice, app: str, alias: str) -> None:
        from apsperf_django.migrations import Unknown, write

        try:
            written = write(advice.proposals, app, alias)
        except Unknown as error:
            raise CommandError(str(error)) from None
        if written is None:
            self.stdout.write(f"nothing of it is for the models of {app}")
            return
        self.stdout.write(f"\nwritten: {written.path}\nadd to Meta.indexes, so that it stays:")
        for model, index in written.indexes:
            self.stdout.write(f"  {model}: {index}")
