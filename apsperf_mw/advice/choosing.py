"""Which candidates are worth having: greedily, the best first, while each is worth it."""

from __future__ import annotations

from collections import Counter, defaultdict
from heapq import heapify, heappop, heappush
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct

from apsperf_mw.advice.candidates import PAGE_BYTES, candidates_of, made
from apsperf_mw.advice.planners import Plan, Unplanned
from apsperf_mw.advice.reading import tables_of, target_of, usages_of
from apsperf_mw.advice.workload import WRITES, wanting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from apsperf_mw.advice.candidates import Candidate, Index, Table
    from apsperf_mw.advice.planners import Planner
    from apsperf_mw.advice.reading import Usage
    from apsperf_mw.advice.workload import Query

# A statement has to be made cheaper by this share for an index to be worth it; what is less may be
# an error of the planner's.
LEAST_SHARE = 0.2
# What an index has to save of the whole workload, or of the mean of its statements.
LEAST_SCORE = 0.015
# Worth of space: an index as large as all tables has to save this share of the workload.
SPACE = 0.1
# What an index saves that spares the table itself is made of pages that are in memory, mostly.
COVERING = 10
# What is saved by an index less, and is not missed.
NOT_MISSED = 0.03


class Asked(Struct, eq=False):
    """A statement of the workload, and what it asks of tables."""

    query: Query
    usages: list[Usage]
    tables: set[str]
    before: Plan


class Advisor:
    """Chooses for one workload on one database, for so many seconds."""

    def __init__(self, planner: Planner, queries: Sequence[Query], budget_s: float) -> None:
        self.planner = planner
        self.tables: dict[str, Table] = planner.tables()
        self.indexes: list[Index] = planner.indexes()
        self.unplanned: list[tuple[Query, str]] = []
        self._until = monotonic() + budget_s
        self._plans: dict[tuple[int, frozenset[Candidate]], Plan] = {}
        self._written = written_rows(queries, self.tables, planner.dialect)
        self._on: set[Candidate] = set()
        self.asked = list(self._read(queries))
        self._space = sum(table.pages * PAGE_BYTES for table in self.tables.values()) or 1.0

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return monotonic() > self._until

    def _read(self, queries: Sequence[Query]) -> Iterator[Asked]:
        columns = {table.name: table.columns for table in self.tables.values()}
        for query in wanting(queries):
            if self.late:
                self.unplanned.append((query, "the time was over"))
                continue
            usages = usages_of(query, columns, self.planner.dialect)
            try:
                before = self.planner.plan(query)
            except Unplanned as fault:
                self.unplanned.append((query, str(fault)))
                continue
            yield Asked(query, usages, tables_of(usages), before)

    def choose(self, most: int) -> list[Candidate]:
        """The best, at most so many."""
        chosen: list[Candidate] = []
        gone: set[Candidate] = set()  # what was not missed once is not tried again
        pool = self._pool(chosen)
        while self._extend(chosen, pool, most):
            kept = self._pruned(chosen)
            gone.update(set(chosen).difference(kept))
            chosen = kept
            # What is left to save is less now, and the planner may want others beside these.
            pool = (pool | self._pool(chosen)).difference(chosen, gone)
        return chosen

    def _extend(self, chosen: list[Candidate], pool: set[Candidate], most: int) -> bool:
        """Add the best, while they are worth it; whether there was one."""
        queue = [(-1e9, candidate, -1) for candidate in sorted(pool)]
        heapify(queue)
        before = len(chosen)
        while queue and len(chosen) < most and not self.late:
            score, candidate, at = heappop(queue)
            if at == len(chosen):
                chosen.append(candidate)
            elif (score := self._score(candidate, chosen)) > LEAST_SCORE:
                heappush(queue, (-score, candidate, len(chosen)))
        return len(chosen) > before

    def plan(self, asked: Asked, chosen: Iterable[Candidate]) -> Plan:
        """The statement's plan with these indexes; the one before where there is no other."""
        mine = frozenset(each for each in chosen if each.table in asked.tables)
        if not mine:
            return asked.before
        key = id(asked), mine
        found = self._plans.get(key)
        if found is None:
            self._have(mine, asked.tables)
            try:
                found = self.planner.plan(asked.query)
            except Unplanned:
                found = asked.before
            self._plans[key] = found
        return found

    def size(self, candidate: Candidate) -> int:
        """Its bytes."""
        self._have({*self._on, candidate}, set())
        return self.planner.size(candidate)

    def _have(self, wanted: Iterable[Candidate], of: set[str]) -> None:
        """Have these candidates, and no other of these tables."""
        wanted = set(wanted)
        for each in [each for each in self._on if each.table in of and each not in wanted]:
            self.planner.drop(each)
            self._on.discard(each)
        for each in wanted - self._on:
            self.planner.add(each)
            self._on.add(each)

    def _pool(self, chosen: list[Candidate]) -> set[Candidate]:
        """What the planner would use, of all that might serve; and what of it might do as well."""
        pool: set[Candidate] = set()
        self._have(chosen, set(self.tables))
        known = [*self.indexes, *map(made, chosen)]
        for asked in sorted(self.asked, key=lambda each: -each.before.cost * each.query.calls):
            if self.late:
                break
            mine = candidates_of(asked.usages, self.tables, known, wide=self.planner.wide)
            narrow = [each for each in mine if not each.include]
            for some in (mine, narrow, [each for each in narrow if len(each.columns) == 1]):
                pool |= self._used(asked, some)
        return pool

    def _used(self, asked: Asked, candidates: list[Candidate]) -> set[Candidate]:
        try:
            used = self.planner.chosen(asked.query, candidates) if candidates else []
        except Unplanned:
            return set()
        return {shorter for each in used for shorter in (each, *shorter_of(each, candidates))}

    def _score(self, candidate: Candidate, chosen: list[Candidate]) -> float:
        """What it saves, of the whole and of the mean of its statements; 0: it is not worth it."""
        saved = shares = 0.0
        worth = False
        least = self.planner.least_gain * (COVERING if candidate.include else 1)
        for asked in self.asked:
            if candidate.table not in asked.tables:
                continue
            before = self.plan(asked, chosen).cost
            gain = before - self.plan(asked, [*chosen, candidate]).cost
            saved += gain * asked.query.calls
            shares += gain / before
            worth = worth or (gain >= least and gain >= LEAST_SHARE * before)
            if self.late:
                return 0.0
        if not worth:
            return 0.0
        saved -= self._written[candidate.table] * self.planner.write_cost(candidate)
        space = SPACE * self.size(candidate) / self._space
        return 0.5 * saved / self._total(chosen) + 0.5 * shares / len(self.asked) - space

    def _total(self, chosen: list[Candidate]) -> float:
        """The cost of the workload with these: what there is to save for the next."""
        costs = [self.plan(each, chosen).cost * each.query.calls for each in self.asked]
        return sum(costs) or 1.0

    def _pruned(self, chosen: list[Candidate]) -> list[Candidate]:
        """Without those that others have made superfluous."""
        kept = list(chosen)
        for candidate in reversed(chosen):
            rest = [each for each in kept if each is not candidate]
            if not self.late and not self._missed(candidate, kept, rest):
                kept = rest
        return kept

    def _missed(self, candidate: Candidate, kept: list[Candidate], rest: list[Candidate]) -> bool:
        for asked in self.asked:
            if candidate.table in asked.tables:
                with_it, without = self.plan(asked, kept).cost, self.plan(asked, rest).cost
                if without - with_it >= max(NOT_MISSED * without, self.planner.least_gain):
                    return True
        return False


def shorter_of(used: Candidate, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that have fewer of its columns, from the first on."""
    return [
        each
        for each in candidates
        if each.table == used.table
        and each.where == used.where
        and each != used
        and used.columns[: len(each.columns)] == each.columns
        and {*used.include, *used.columns}.issuperset(each.include)
    ]


def written_rows(
    queries: Iterable[Query], tables: dict[str, Table], dialect: str
) -> defaultdict[str, float]:
    """How often rows of each table are written: once for each statement that does."""
    counts: Counter[str] = Counter()
    for query in queries:
        if query.verb in WRITES and (table := target_of(query, dialect)) in tables:
            counts[table] += query.calls
    return defaultdict(float, counts)
