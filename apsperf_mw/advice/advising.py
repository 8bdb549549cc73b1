"""Advice on the indexes of one database: what to make, what to drop, and the proof."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from apsperf_mw.advice.choosing import Advisor
from apsperf_mw.errors import SettingError
from apsperf_mw.observe.lines import safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apsperf_mw.advice.candidates import Candidate, Index
    from apsperf_mw.advice.choosing import Asked
    from apsperf_mw.advice.planners import Planner
    from apsperf_mw.advice.workload import Query

BUDGET_S = 30.0
MOST_INDEXES = 10
# A statement is helped where it costs less by this share.
HELPED_SHARE = 0.05
MOST_SHOWN = 5


class Helped(Struct):
    """A statement that an index makes cheaper, and its costs without any and with all."""

    statement: str
    calls: int
    before: float
    after: float


class Proposal(Struct):
    """An index to make. `plan` is the evidence: that of the statement which gains most."""

    ddl: str
    table: str
    columns: list[str]
    size_bytes: int
    helps: list[Helped]
    plan: str
    include: list[str] = []
    where: str = ""
    name: str = ""
    descending: list[str] = []
    kind: str = ""

    def __str__(self) -> str:
        lines = [f"{self.ddl};", f"  {self.size_bytes / 1024:.0f} KB; helps:"]
        for each in self.helps[:MOST_SHOWN]:
            ratio = each.before / max(each.after, 1e-9)
            costs = f"{each.before:.0f} -> {each.after:.0f} ({ratio:.1f}x)"
            lines.append(f"    {costs}, {each.calls} calls: {safe(each.statement)}")
        if (more := len(self.helps) - MOST_SHOWN) > 0:
            lines.append(f"    and {more} more")
        return "\n".join([*lines, "  plan:", *(f"    {line}" for line in self.plan.splitlines())])


class Dropped(Struct):
    """An index that nobody would miss, and why."""

    name: str
    table: str
    size_bytes: int
    why: str


class Advice(Struct):
    """What to do about a database's indexes; nothing of it is done.

    Costs are in `unit`, of the whole workload. `unplanned` are statements that could not be tried.
    """

    unit: str
    statements: int
    before: float
    after: float
    proposals: list[Proposal]
    superfluous: list[Dropped]
    unplanned: list[tuple[str, str]]
    took_s: float
    complete: bool

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return to_builtins(self)  # type: ignore[no-any-return]

    def __str__(self) -> str:
        ratio = self.before / max(self.after, 1e-9)
        head = f"{self.statements} statements cost {self.before:.0f} ({self.unit})"
        if self.proposals:
            head += f", with {len(self.proposals)} more indexes {self.after:.0f}: {ratio:.1f}x"
        else:
            head += "; no index is worth it"
        notes = [f"not tried: {safe(text)}: {why}" for text, why in self.unplanned[:MOST_SHOWN]]
        if (more := len(self.unplanned) - MOST_SHOWN) > 0:
            notes.append(f"not tried: {more} more")
        if not self.complete:
            notes.append(f"the time was over after {self.took_s:.0f} s: there may be more")
        drops = [
            f"superfluous: {each.name} on {each.table}{sized(each.size_bytes)}: {each.why}"
            for each in self.superfluous
        ]
        return "\n\n".join(
            filter(None, [head, *map(str, self.proposals), "\n".join(drops + notes)])
        )


def advise(
    planner: Planner,
    queries: Sequence[Query],
    *,
    budget_s: float = BUDGET_S,
    max_indexes: int = MOST_INDEXES,
) -> Advice:
    """Advice for these statements; takes so many seconds at most. `SettingError` for no number."""
    if not budget_s > 0:
        raise SettingError(f"budget_s: {budget_s!r} given; accepted: seconds, more than 0")
    if type(max_indexes) is not int or max_indexes < 0:
        raise SettingError(f"max_indexes: {max_indexes!r} given; accepted: a whole number, 0 on")
    began = monotonic()
    advisor = Advisor(planner, queries, budget_s)
    chosen = advisor.choose(max_indexes)
    complete = not advisor.late
    after = {id(each): advisor.plan(each, chosen).cost for each in advisor.asked}
    proposals = [_proposal(advisor, each, chosen) for each in chosen]
    return Advice(
        planner.unit,
        len(advisor.asked),
        sum(each.before.cost * each.query.calls for each in advisor.asked),
        sum(after[id(each)] * each.query.calls for each in advisor.asked),
        sorted(proposals, key=_saved, reverse=True),
        list(superfluous(advisor.indexes, advisor.asked)),
        [(query.shape, why) for query, why in advisor.unplanned],
        monotonic() - began,
        complete,
    )


def sized(size_bytes: int) -> str:
    """Where it is known."""
    return f", {size_bytes / 1024:.0f} KB" if size_bytes else ""


def _saved(proposal: Proposal) -> float:
    return sum((each.before - each.after) * each.calls for each in proposal.helps)


def _proposal(advisor: Advisor, candidate: Candidate, chosen: list[Candidate]) -> Proposal:
    """One of those that were chosen, with the statements that use it."""
    planner, helps, best = advisor.planner, [], ("", 0.0)
    table = advisor.tables[candidate.table]
    size = advisor.size(candidate)
    for asked in advisor.asked:
        plan = advisor.plan(asked, chosen)
        before = asked.before.cost
        if candidate in plan.tries and plan.cost < (1 - HELPED_SHARE) * before:
            helps.append(Helped(asked.query.shape, asked.query.calls, before, plan.cost))
            best = max(best, (plan.text, before / max(plan.cost, 1e-9)), key=lambda each: each[1])
    return Proposal(
        candidate.ddl(concurrently=planner.wide and not table.partitioned),
        candidate.table,
        list(candidate.columns),
        size,
        sorted(helps, key=lambda each: (each.after - each.before) * each.calls),
        best[0],
        list(candidate.include),
        candidate.where,
        candidate.name,
        list(candidate.descending),
        candidate.kind,
    )


def superfluous(indexes: Sequence[Index], asked: Sequence[Asked]) -> Iterable[Dropped]:
    """Indexes that another one serves for, and those that nobody uses."""
    used = {name for each in asked for name in each.before.uses}
    gone: set[str] = set()
    for index in indexes:
        other = next((each for each in indexes if covers(each, index, gone)), None)
        if other is not None:
            gone.add(index.name)
            used.add(other.name)
            yield Dropped(index.name, index.table, index.size_bytes, f"{other.name} does as well")
    for index in indexes:
        if index.unused and index.name not in used | gone:
            why = "nothing of this workload uses it"
            yield Dropped(index.name, index.table, index.size_bytes, why)


def covers(other: Index, index: Index, gone: set[str]) -> bool:
    """Whether the other does all that the index does."""
    if other is index or other.name in gone or not other.name or index.unique or not index.name:
        return False
    if not (other.plain and index.plain and index.columns) or other.table != index.table:
        return False
    width = len(index.columns)
    held = {*other.columns, *other.include}.issuperset(index.include)
    same = other.columns[:width] == index.columns and other.where == index.where
    return same and held and other.forms[:width] == index.forms[:width]
