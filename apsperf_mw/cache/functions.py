"""`@suite.cached`: functions whose results are kept, by their arguments."""

from __future__ import annotations

from functools import partial, update_wrapper
from inspect import iscoroutinefunction
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

from apsperf_mw.cache.calls import MISSING
from apsperf_mw.cache.faces import loop_face, thread_face
from apsperf_mw.cache.memo import Memo, Names
from apsperf_mw.cache.stores import store_of
from apsperf_mw.errors import DriverError
from apsperf_mw.runtime.step import step

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Self

    from apsperf_mw.cache.calls import Call, Calls
    from apsperf_mw.cache.memo import Options

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")
Done = TypeVar("Done")


class Cached(Generic[P, R, Done]):
    """A function whose results are kept; looks like the function itself."""

    _memo: Memo
    __wrapped__: Callable[P, R]

    def __init__(self, memo: Memo, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self._memo = memo
        # By these `inspect` knows a coroutine function and its globals.
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__globals__"):
            setattr(self, name, getattr(function, name))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result, kept or made."""
        raise NotImplementedError

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Done:
        """Forget the result of this call; one that is being made is not kept."""
        raise NotImplementedError

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function now and keep what it returns."""
        raise NotImplementedError

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self: Cached[Concatenate[Any, Q], R, Done], instance: object, owner: type | None = None
    ) -> Bound[Q, R, Done]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Bind as a function would; a classmethod binds its class, on every Python alike."""
        if instance is None:
            return self
        return MethodType(self, instance) if instance is owner else Bound(self, instance)

    def __reduce__(self) -> str:
        return self.__qualname__  # type: ignore[attr-defined,no-any-return]

    def __repr__(self) -> str:
        return f"<cached {self.__wrapped__!r}>"


class Bound(Generic[P, R, Done]):
    """A cached function as the method of an object."""

    def __init__(self, function: Cached[Any, R, Done], instance: object) -> None:
        self.__func__ = function
        self.__self__ = instance

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Cached.__call__`."""
        return self.__func__(self.__self__, *args, **kwargs)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> Done:
        """As `Cached.invalidate`."""
        return self.__func__.invalidate(self.__self__, *args, **kwargs)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """As `Cached.refresh`."""
        return self.__func__.refresh(self.__self__, *args, **kwargs)

    @property
    def __wrapped__(self) -> Callable[P, R]:
        return MethodType(self.__func__.__wrapped__, self.__self__)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__func__.__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)


class CachedFunction(Cached[P, R, None]):
    """A plain function; whoever waits for another call's result blocks its thread."""

    def __init__(self, memo: Memo, function: Callable[P, R]) -> None:
        super().__init__(memo, function)
        try:
            face = memo.calls.face(thread_face)
        except DriverError as fault:
            raise DriverError(f"{memo.name} must be an async function: {fault}") from None
        self._store = store_of(face, memo.calls.faults)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result, kept or made."""
        call = self._memo.call(args, kwargs)
        if call is None:
            return self.__wrapped__(*args, **kwargs)
        value = self._memo.calls.glance(call, self._store)
        return self._fetched(call) if value is MISSING else cast("R", value)

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the result of this call; one that is being made is not kept."""
        key = self._memo.key(args, kwargs)
        if not self._memo.calls.closed:
            step(self._memo.calls.erase(key, self._store))

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function now and keep what it returns."""
        if self._memo.calls.closed:
            return self.__wrapped__(*args, **kwargs)
        return self._run(self._memo.refreshing(args, kwargs))

    def _fetched(self, call: Call) -> R:
        self._memo.tag(call)
        value = step(self._memo.calls.arrive(call, self._store, partial(self._behind, call)))
        return self._run(call) if value is MISSING else cast("R", value)

    def _run(self, call: Call) -> R:
        # Not in a coroutine, where a function could not raise StopIteration.
        with self._memo.calls.leading(call):
            value: R = self.__wrapped__(*call.args, **call.kwargs)
        step(self._memo.calls.settle(call, value, self._store))
        return value

    def _behind(self, call: Call) -> bool:
        return self._memo.calls.background.spawn_thread(partial(self._again, call))

    def _again(self, call: Call) -> None:
        if step(self._memo.calls.again(call, self._store)):
            self._run(call)


class CachedCoroutine(Cached[P, "Coroutine[Any, Any, T]", "Coroutine[Any, Any, None]"]):
    """An async function; whoever waits for another call's result gives its loop back."""

    def __init__(self, memo: Memo, function: Callable[P, Coroutine[Any, Any, T]]) -> None:
        super().__init__(memo, function)
        self._store = store_of(memo.calls.face(loop_face), memo.calls.faults)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result, kept or made."""
        call = self._memo.call(args, kwargs)
        if call is None:
            return await self.__wrapped__(*args, **kwargs)
        value = self._memo.calls.glance(call, self._store)
        return await self._fetched(call) if value is MISSING else cast("T", value)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Forget the result of this call; one that is being made is not kept."""
        key = self._memo.key(args, kwargs)
        if not self._memo.calls.closed:
            await self._memo.calls.erase(key, self._store)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function now and keep what it returns."""
        if self._memo.calls.closed:
            return await self.__wrapped__(*args, **kwargs)
        return await self._run(self._memo.refreshing(args, kwargs))

    async def _fetched(self, call: Call) -> T:
        self._memo.tag(call)
        value = await self._memo.calls.arrive(call, self._store, partial(self._behind, call))
        return await self._run(call) if value is MISSING else cast("T", value)

    async def _run(self, call: Call) -> T:
        with self._memo.calls.leading(call):
            value: T = await self.__wrapped__(*call.args, **call.kwargs)
        await self._memo.calls.settle(call, value, self._store)
        return value

    def _behind(self, call: Call) -> bool:
        calls = self._memo.calls
        return calls.background.spawn_task(partial(self._again, call), partial(calls.drop, call))

    async def _again(self, call: Call) -> None:
        if await self._memo.calls.again(call, self._store):
            await self._run(call)


class Functions:
    """The cached functions of one suite."""

    def __init__(self, calls: Calls, *, local: bool) -> None:
        self.calls = calls
        self.names = Names(local=local)

    def decorator(self, said: Options) -> Decorator:
        """What `@suite.cached(...)` is."""
        return Decorator(self, said)


class Decorator:
    """Makes a function a cached one; raises `SettingError` for what is no function."""

    def __init__(self, functions: Functions, said: Options) -> None:
        self._functions = functions
        self._said = said

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, T]]
    ) -> CachedCoroutine[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> CachedFunction[P, R]: ...
    def __call__(self, function: Callable[..., Any]) -> Any:
        """The function with the cache round it."""
        memo = Memo(self._functions.calls, function, self._said, self._functions.names)
        made = CachedCoroutine if iscoroutinefunction(function) else CachedFunction
        return made(memo, function)
