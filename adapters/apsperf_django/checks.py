"""What `manage.py check` says of the suite: settings, drivers, and where the middleware stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import Error, Tags, Warning, register  # noqa: A004 - Django's name for it

from apsperf_django.guards import HARMLESS_MIDDLEWARE, decides
from apsperf_mw.errors import APSPerfError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.checks import CheckMessage

MIDDLEWARE = "apsperf_django.middleware.SuiteMiddleware"
# These keep what the suite keeps already.
DJANGOS = (
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.middleware.cache.CacheMiddleware",
)


@register(Tags.caches)  # type: ignore[untyped-decorator]
def check_settings(**_: Any) -> list[CheckMessage]:
    """`APSPERF`: unknown keys, values that are not accepted, drivers that there are not."""
    from apsperf_django import get_suite

    try:
        suite = get_suite()
        suite.driver("database")
    except APSPerfError as error:
        return [Error(f"APSPERF: {error}", id="apsperf.E001")]
    return []


@register(Tags.caches)  # type: ignore[untyped-decorator]
def check_order(**_: Any) -> list[CheckMessage]:
    """Whether the middleware is there, once, and where it should stand."""
    return list(_order(list(settings.MIDDLEWARE or ())))


def _order(names: list[str]) -> Iterator[CheckMessage]:
    count = names.count(MIDDLEWARE)
    if count != 1:
        said = "is not in MIDDLEWARE" if not count else f"is in MIDDLEWARE {count} times"
        yield Warning(
            f"{MIDDLEWARE} {said}.",
            hint="Put it first, once; or silence this where the suite is round the application.",
            id="apsperf.W001",
        )
        return
    place = names.index(MIDDLEWARE)
    if place:
        yield Warning(
            f"{MIDDLEWARE} stands after {', '.join(names[:place])}: each hit passes through them.",
            hint="Put it first; or silence this where hits are to pass through them.",
            id="apsperf.W002",
        )
    deciding = [each for each in names if each not in HARMLESS_MIDDLEWARE and decides(each)]
    if deciding:
        yield Warning(
            f"{', '.join(deciding)} looks at each view before it runs (process_view): a hit passes"
            " none of it, so nothing is stored unless its mark says shared=True.",
            hint="Guard views by decorators; or silence this where that is what you want.",
            id="apsperf.W006",
        )
    for each in DJANGOS:
        if each in names:
            yield Warning(
                f"{each} caches what the suite caches.", hint="Take one out.", id="apsperf.W003"
            )


@register(Tags.security, deploy=True)  # type: ignore[untyped-decorator]
def check_exposed(**_: Any) -> list[CheckMessage]:
    """What is open to the world where a project is deployed."""
    from apsperf_django import get_suite

    try:
        asked = get_suite().settings
    except APSPerfError:
        return []  # which is said above
    found: list[CheckMessage] = []
    if asked.prometheus.enabled and not asked.prometheus.token:
        found.append(
            Warning(
                f"APSPERF: whoever asks for {asked.prometheus.path} is told the project's numbers.",
                hint="Set prometheus.token, or have the server in front refuse the path.",
                id="apsperf.W004",
            )
        )
    bearers = [name for name in ("admin", "profiling") if getattr(asked, name).enabled]
    if bearers and not settings.SECURE_SSL_REDIRECT:
        found.append(
            Warning(
                f"APSPERF: {' and '.join(bearers)}: the token may go over the wire in clear.",
                hint="Have the project, or the server in front, redirect to HTTPS.",
                id="apsperf.W005",
            )
        )
    return found
