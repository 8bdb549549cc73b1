"""Profiles as pyinstrument writes them, which is loaded here: import it late."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pyinstrument.renderers import ConsoleRenderer, HTMLRenderer, SpeedscopeRenderer
from pyinstrument.session import Session

if TYPE_CHECKING:
    from apsperf_mw.profiling.sampling import Profile

# What pyinstrument's page has round what it tells: its script, then a second one with the data.
SCRIPTS = ("the program", "the data")
DATA = "const sessionData = "
CALL = "pyinstrumentHTMLRenderer.render("

KINDS = {
    "html": "text/html; charset=utf-8",
    "speedscope": "application/json",
    "text": "text/plain; charset=utf-8",
}


def written(profile: Profile, form: str) -> str:
    """The profile in one of the forms."""
    session = session_of(profile)
    if form == "html":
        return str(HTMLRenderer().render(session))
    if form == "speedscope":
        return str(SpeedscopeRenderer(show_all=True).render(session))
    return str(ConsoleRenderer(show_all=True).render(session))


def guarded(page: str, nonce: str) -> str:
    """A page whose two scripts bear the nonce, and whose data cannot be markup.

    `LookupError` where the page is not as pyinstrument has made it so far.
    """
    before, data, rest = page.partition(DATA)
    told, call, after = rest.rpartition(CALL)
    if not (data and call) or before.count("<script>") != len(SCRIPTS):
        raise LookupError("pyinstrument's page has another form")
    before = before.replace("<script>", f'<script nonce="{nonce}">')
    return before + data + told.replace("<", "\\u003c") + call + after


def session_of(profile: Profile) -> Session:
    """The profile as a session of pyinstrument's."""
    stacks = profile.stacks
    each_s = profile.duration_s / max(stacks.samples, 1)
    records = [(list(stack), count * each_s) for stack, count in stacks.counts.items()]
    return Session(
        frame_records=records,
        start_time=profile.started,
        duration=profile.duration_s,
        min_interval=profile.interval_s,
        max_interval=profile.interval_s,
        sample_count=stacks.samples,
        start_call_stack=[""],  # nothing of it is to be left out
        target_description=profile.about,
        cpu_time=profile.cpu_s,
        sys_path=sys.path,
        sys_prefixes=[sys.prefix, sys.base_prefix],
    )
