"""All that was measured, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.eviction.tables import tables as eviction_tables
from benchmarks.report import imports_table, in_process_table, servers_table

if TYPE_CHECKING:
    from benchmarks.report import Report


def tables(report: Report) -> str:
    """Every table that has rows."""
    parts = []
    if report.in_process:
        parts.append(in_process_table(report.in_process))
    if report.servers:
        parts.append(servers_table(report.servers))
    if report.imports is not None:
        parts.append(imports_table(report.imports))
    if report.eviction is not None:
        parts.append(eviction_tables(report.eviction))
    return "\n\n".join(parts)
