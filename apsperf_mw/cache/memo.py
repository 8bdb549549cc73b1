"""What is said once of a cached function, and how its calls get their keys."""

from __future__ import annotations

from inspect import isasyncgenfunction, isfunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apsperf_mw.cache import policy
from apsperf_mw.cache.arguments import Parameters
from apsperf_mw.cache.calls import Call, Calls, Terms
from apsperf_mw.cache.keys import LONGEST, digest
from apsperf_mw.cache.results import Codec
from apsperf_mw.errors import SettingError
from apsperf_mw.runtime.threads import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from apsperf_mw.cache.keys import Key

    Arguments = Mapping[str, Any]
    Tags = Iterable[str] | Callable[[Arguments], Iterable[str]]
    Choose = Callable[[Arguments], object]


class Options(Struct, frozen=True):
    """What `@suite.cached(...)` was given, checked."""

    rule: policy.Rule
    tags: tuple[str, ...] | Callable[[Arguments], Iterable[str]]
    key: Choose | None
    ignore: tuple[str, ...]
    version: str


def options(
    ttl: str | float,
    tags: Tags,
    stale_while_revalidate: float,
    key: Choose | None,
    ignore: Iterable[str],
    version: str | int,
) -> Options:
    """Checked options; raises `SettingError` for anything that cannot be."""
    if callable(ttl):
        raise SettingError(f"cached(ttl=...): {ttl!r} given; write @suite.cached(ttl=...)")
    if key is not None and not callable(key):
        raise SettingError(f"cached(key=...): {key!r} given; accepted: a function of the arguments")
    fixed = () if callable(tags) else tags
    rule = policy.rule(ttl, fixed, stale_while_revalidate=stale_while_revalidate)
    if callable(rule.ttl):
        raise SettingError(f"cached(ttl=...): {ttl!r} given; a function's result has no fields")
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return Options(rule, tags if callable(tags) else rule.tags, key, ignored, str(version))


# The first part of every key; a response's begins with text.
MARK = b"function"


class Names:
    """Numbers the functions of one name, so that none takes another's results.

    Only in this process: where results leave it, what tells such functions apart must be said.
    """

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._lock = Lock()
        self._count: dict[tuple[str, str], int] = {}

    def number(self, name: str, version: str) -> int:
        """The number of one function; `SettingError` where it would not hold elsewhere."""
        with self._lock:
            number = self._count.get((name, version), 0)
            self._count[name, version] = number + 1
        if self._local:
            return number
        if "<" in name and (number or not version):
            raise SettingError(
                f"cached(version=...): {version!r} given; accepted: one that no other {name} has, "
                "for the name says neither which function it is nor what it closes over"
            )
        return 0


def check(function: object) -> None:
    """Raise `SettingError` for what is no function of this kind."""
    if isinstance(function, classmethod | staticmethod):
        raise SettingError(
            f"cached() is given a {type(function).__name__}; write @suite.cached(...) below it"
        )
    if not isfunction(function):
        raise SettingError(f"cached() is given {function!r}; accepted: functions made by def")
    if isgeneratorfunction(function) or isasyncgenfunction(function):
        raise SettingError(
            f"cached() is given the generator {function.__qualname__}; accepted: functions that "
            "return what they make"
        )


class Memo:
    """One function's key, terms and codec."""

    def __init__(
        self, calls: Calls, function: Callable[..., Any], said: Options, names: Names
    ) -> None:
        check(function)
        self.calls = calls
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.codec = Codec(self.name, function)
        self.terms = Terms(
            said.rule.lifetime_s(calls.settings.ttl), said.rule.stale_while_revalidate_s
        )
        self._parameters = Parameters(self.name, function, said.ignore)
        self._choose = said.key
        self._tags = said.tags
        number = names.number(self.name, said.version)
        self._head: Key = (MARK, self.name, said.version, number)

    def call(self, args: tuple[Any, ...], kwargs: Arguments) -> Call | None:
        """The call, or None where the function must simply run; raises `UnkeyableArgument`."""
        if self.calls.closed:
            return None
        try:
            bound = self._parameters.bind(args, kwargs)
        except TypeError:
            return None  # the function itself says it best
        call = self._call(args, kwargs, bound)
        return None if self.calls.is_within(call) else call

    def refreshing(self, args: tuple[Any, ...], kwargs: Arguments) -> Call:
        """A call that leads at once."""
        call = self._call(args, kwargs, self._bound(args, kwargs))
        self.tag(call)
        self.calls.lead(call)
        return call

    def key(self, args: tuple[Any, ...], kwargs: Arguments) -> Key:
        """The key of a call."""
        return self._key(self._bound(args, kwargs))

    def tag(self, call: Call) -> None:
        """Give the call its tags, before the function can change what they are made of."""
        tags = self._tags
        call.tags = policy.rule(1, tags(call.bound)).tags if callable(tags) else tags

    def _bound(self, args: tuple[Any, ...], kwargs: Arguments) -> Arguments:
        """The arguments of a call that is spelt out, the class of a classmethod with them."""
        bound = self._parameters.bind(args, kwargs)
        if not isinstance(bound.get("cls", type), type):
            raise TypeError(f"{self.name}: of a classmethod it takes the class first: f(cls, ...)")
        return bound

    def _call(self, args: tuple[Any, ...], kwargs: Arguments, bound: Arguments) -> Call:
        return Call(self._key(bound), args, kwargs, bound, self.codec, self.terms)

    def _key(self, bound: Arguments) -> Key:
        choose, parameters = self._choose, self._parameters
        data = parameters.encoded(bound) if choose is None else parameters.chosen(choose(bound))
        if len(data) > LONGEST:
            return (*self._head, *digest(data))
        return (*self._head, data)
