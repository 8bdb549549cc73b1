"""Stacks that were seen, and how often. Pure, but that frames are looked at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Different stacks that are kept, and frames of one.
MOST_STACKS = 20_000
MOST_DEPTH = 256
# As pyinstrument has them: function, file, first line, and the line that runs.
SEPARATOR, LINE = "\x00", "\x01l"

Stack = tuple[str, ...]


class Stacks:
    """The stacks of a profile, outermost frame first."""

    def __init__(self) -> None:
        self.counts: Counter[Stack] = Counter()
        self.samples = 0
        self.lost = 0

    def add(self, stack: Stack) -> None:
        """Count a stack; a new one past the most is lost, and counted."""
        self.samples += 1
        if stack in self.counts or len(self.counts) < MOST_STACKS:
            self.counts[stack] += 1
        else:
            self.lost += 1


# A route's name may have them, and they could end a page's script.
_MARKUP = str.maketrans("<>&", "\u2039\u203a+")


def stack_of(frame: FrameType | None, root: str) -> Stack:
    """A thread's frames, below a root of the profile's own."""
    root = root.translate(_MARKUP)
    told = [named(each) for each in outward(frame)][:MOST_DEPTH]
    return (f"{root}{SEPARATOR}<apsperf>{SEPARATOR}0", *reversed(told))


def named(frame: FrameType) -> str:
    """A frame as it is told."""
    code = frame.f_code
    identity = SEPARATOR.join((code.co_name, code.co_filename, str(code.co_firstlineno)))
    return f"{identity}{LINE}{frame.f_lineno}"


def outward(frame: FrameType | None) -> Iterator[FrameType]:
    """The frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def local(frame: FrameType, name: str) -> Any:
    """A frame's variable, or None where it has none."""
    return frame.f_locals.get(name)
