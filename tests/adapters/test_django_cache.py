"""`SuiteCache` as Django's cache: the contract of Django's back ends, sessions and fragments."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.template import Context, Engine
from django.template.response import TemplateResponse
from django.test import override_settings
from django.utils.safestring import SafeString, mark_safe

from apsperf_django import get_suite
from apsperf_django.cache import SuiteCache
from apsperf_mw.data.values import UnstorableValue
from tests.adapters.django_site import project_with
from tests.functions.support import until

BACKEND = "apsperf_django.cache.SuiteCache"
VERBS = frozenset(
    (
        *("get", "set", "add", "touch", "delete", "clear", "incr", "decr", "has_key"),
        *("get_many", "set_many", "delete_many", "get_or_set", "incr_version", "decr_version"),
    )
)


class Cache:
    """A cache of the project's, by its sync or its async methods."""

    def __init__(self, alias: str, way: str) -> None:
        self.alias, self._way = alias, way

    def __getattr__(self, verb: str) -> Any:
        assert verb in VERBS

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._way == "sync":
                return getattr(caches[self.alias], verb)(*args, **kwargs)

            async def main() -> Any:
                return await getattr(caches[self.alias], f"a{verb}")(*args, **kwargs)

            return asyncio.run(main())

        return call


def caches_on(location: str) -> dict[str, Any]:
    common = {"BACKEND": BACKEND, "LOCATION": location}
    return {
        "default": common,
        "prefixed": {**common, "KEY_PREFIX": "shop"},
        "v2": {**common, "VERSION": 2},
        "apart": {**common, "OPTIONS": {"space": "apart"}},
        "brief": {**common, "TIMEOUT": 0},
    }


@pytest.fixture(params=["memory", "file"])
def _project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    location = "memory" if request.param == "memory" else f"file://{tmp_path}/cache"
    quiet = {"exporter": {"kind": "none"}, "memory": {"enabled": False}}
    with project_with((), APSPERF=quiet, CACHES=caches_on(location)):
        yield
        get_suite().close()


@pytest.fixture(params=["sync", "async"])
def way(request: pytest.FixtureRequest, _project: None) -> str:
    return str(request.param)


@pytest.fixture
def cache(way: str) -> Cache:
    return Cache("default", way)


def test_values_come_back_as_they_were(cache: Cache) -> None:
    value = {"a": (1, {2}), "at": datetime(2026, 1, 2, tzinfo=UTC), "safe": mark_safe("<b>")}
    cache.set("k", value)
    assert cache.get("k") == value
    assert type(cache.get("k")["safe"]) is SafeString
    assert cache.get("other", "default") == "default"
    cache.set("none", None)
    assert cache.get("none", "default") is None


def test_timeouts(cache: Cache) -> None:
    cache.set("forever", 1, None)
    cache.set("past", 1, -1)
    cache.set("zero", 1, 0)
    cache.set("short", 1, 0.01)
    assert cache.get("forever") == 1
    assert [cache.get("past"), cache.get("zero")] == [None, None]
    until(lambda: cache.get("short") is None)
    assert cache.set_many({"a": 1}, 0) == []
    assert not cache.has_key("a")
    cache.set("forever", 1, 0)
    assert not cache.has_key("forever")
    assert cache.add("forever", 1, 0)
    assert not cache.has_key("forever")


def test_the_default_timeout_is_the_settings(way: str) -> None:
    brief = Cache("brief", way)
    brief.set("k", 1)
    assert brief.get("k") is None
    brief.set("k", 1, 60)
    assert brief.get("k") == 1


def test_touch(cache: Cache) -> None:
    cache.set("k", 1, 60)
    assert cache.touch("k", None)
    assert cache.touch("k")
    assert cache.get("k") == 1
    assert cache.touch("k", 0)
    assert not cache.has_key("k")
    assert not cache.touch("k", 60)


def test_add_and_get_or_set(cache: Cache) -> None:
    assert cache.add("k", 1)
    assert not cache.add("k", 2)
    assert cache.get_or_set("k", lambda: 3) == 1
    assert cache.get_or_set("n", lambda: None) is None
    assert cache.get_or_set("m", 5) == 5


def test_numbers(cache: Cache) -> None:
    cache.set("n", 41)
    assert [cache.incr("n"), cache.incr("n", 10), cache.decr("n", 100)] == [42, 52, -48]
    for verb in (cache.incr, cache.decr, cache.incr_version, cache.decr_version):
        with pytest.raises(ValueError, match="Key 'missing' not found"):
            verb("missing")
    cache.set("text", "a")
    with pytest.raises(TypeError):
        cache.incr("text")


def test_many(cache: Cache) -> None:
    assert cache.set_many({"a": 1, "b": 2}) == []
    assert cache.get_many(["a", "b", "x"]) == {"a": 1, "b": 2}
    assert cache.delete_many(["a", "x"]) is None
    assert cache.get_many(["a", "b"]) == {"b": 2}
    assert (cache.delete("b"), cache.delete("b")) == (True, False)


def test_versions_prefixes_and_spaces_keep_apart(way: str, cache: Cache) -> None:
    others = [Cache(alias, way) for alias in ("prefixed", "v2", "apart")]
    cache.set("k", 1)
    assert [other.get("k") for other in others] == [None] * 3
    assert cache.get("k", version=2) is None
    assert cache.incr_version("k") == 2
    assert (cache.get("k"), cache.get("k", version=2), others[1].get("k")) == (None, 1, 1)
    others[2].set("k", 7)
    cache.clear()
    assert (others[1].get("k"), others[2].get("k")) == (None, 7)


def test_what_django_would_pickle_is_refused_by_name(cache: Cache) -> None:
    with pytest.raises(UnstorableValue, match="Engine cannot be kept: nothing is pickled"):
        cache.set("k", Engine())


def test_responses_are_kept_whole(cache: Cache) -> None:
    response = HttpResponse("hé".encode(), status=203, reason="Fine", headers={"X-A": "1"})
    response.set_cookie("c", 'v;"', max_age=5, httponly=True)
    cache.set("r", response)
    back = cache.get("r")
    assert (back.content, back.status_code, back.reason_phrase, back["X-A"]) == (
        response.content,
        203,
        "Fine",
        "1",
    )
    assert back.cookies.output() == response.cookies.output()


def test_a_response_that_is_not_rendered_is_refused(cache: Cache) -> None:
    with pytest.raises(UnstorableValue, match="template is not rendered yet"):
        cache.set("r", TemplateResponse(None, "a.html"))


def test_sessions_live_on_it(cache: Cache) -> None:
    session = SessionStore()
    session["basket"] = {"album": 7}
    session.save()
    assert SessionStore(session.session_key)["basket"] == {"album": 7}
    session.flush()
    assert not SessionStore().exists(str(session.session_key))


def test_template_fragments_live_on_it(cache: Cache) -> None:
    engine = Engine(libraries={"cache": "django.templatetags.cache"})
    template = engine.from_string("{% load cache %}{% cache 60 f u %}{{ u }}{{ n }}{% endcache %}")
    pages = [template.render(Context({"u": u, "n": n})) for n, u in enumerate("aab")]
    assert pages == ["a0", "a0", "b2"]


@pytest.mark.usefixtures("_project")
def test_its_data_cache_has_tags_and_remember() -> None:
    backend: Any = caches["default"]
    assert backend.data.remember("k", lambda: 1, "short", tags="t") == 1
    backend.data.invalidate("t")
    assert backend.data.remember("k", lambda: 2, "short", tags="t") == 2


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="'drvier' given; accepted: driver, space"):
        SuiteCache("memory", {"OPTIONS": {"drvier": "memory", "MAX_ENTRIES": 5}})


def test_options_name_the_driver_too() -> None:
    made = {"default": {"BACKEND": BACKEND, "OPTIONS": {"driver": "memory"}}}
    with project_with(()), override_settings(CACHES=made):
        caches["default"].set("k", 1)
        assert get_suite().registry.get("memory").stats()["entries"] == 1  # type: ignore[union-attr]
