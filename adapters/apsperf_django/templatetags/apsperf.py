"""`{% cache_tagged %}`: parts of a template that are kept, and purged by tag.

{% load apsperf %}
{% cache_tagged "short" sidebar user.id tags="albums,artists" %} ... {% endcache_tagged %}

A class of time to live or seconds first, then the part's name, then what tells variants apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.template import Library, Node, TemplateSyntaxError
from django.template.base import token_kwargs
from django.utils.safestring import mark_safe

from apsperf_django import get_suite
from apsperf_mw.errors import SettingError
from apsperf_mw.fragments import Personal, kept

if TYPE_CHECKING:
    from django.template import Context, NodeList
    from django.template.base import FilterExpression, Parser, Token

SPACE = "django:fragments"
# What Django notes where somebody's token was asked for.
TOKEN = "CSRF_COOKIE_NEEDS_UPDATE"  # noqa: S105 - it is none
OPTIONS = frozenset({"tags", "stale_while_revalidate"})
USAGE = "{% cache_tagged TTL NAME [VARIANT ...] [tags=...] [stale_while_revalidate=...] %}"

register = Library()


class CacheTagged(Node):  # type: ignore[misc]
    """A part that is kept."""

    def __init__(
        self,
        body: NodeList,
        ttl: FilterExpression,
        name: str,
        variants: list[FilterExpression],
        options: dict[str, FilterExpression],
    ) -> None:
        self.nodelist = body
        self._ttl, self._name = ttl, name
        self._variants, self._options = variants, options

    def render(self, context: Context) -> Any:
        """The part, made or kept."""
        ttl: Any = self._ttl.resolve(context)
        values = [self._name, *(lasting(each.resolve(context)) for each in self._variants)]
        options: dict[str, Any] = {
            name: each.resolve(context) for name, each in self._options.items()
        }
        if "tags" in options:
            options["tags"] = names(options["tags"])

        asked = Asked(getattr(context, "request", None) or context.get("request"))

        def make() -> str:
            with asked:
                made = str(self.nodelist.render(context))
            if asked.personal:
                raise Personal(made)
            return made

        try:
            part: str = kept(get_suite(), SPACE, values, make, ttl=ttl, **options)
        except Personal as personal:
            part = personal.part
        return mark_safe(part)  # noqa: S308 - a template made it


class Asked:
    """Notes whether a part asks for the session or for the token of a form: it is then of one user.

    What was asked for before it stays so after it.
    """

    def __init__(self, request: Any) -> None:
        self.personal = False
        self._meta: dict[str, Any] = {} if request is None else request.META
        self._session: Any = getattr(request, "session", None)

    def __enter__(self) -> None:
        self._token = self._meta.pop(TOKEN, None)
        self._used = getattr(self._session, "accessed", False)
        if self._session is not None:
            self._session.accessed = False

    def __exit__(self, *_: object) -> None:
        used = getattr(self._session, "accessed", False)
        self.personal = bool(used or TOKEN in self._meta)
        if self._token is not None:
            self._meta.setdefault(TOKEN, self._token)
        if self._session is not None:
            self._session.accessed = used or self._used


def lasting(value: Any) -> Any:
    """A variant's value; a lazy text is a text."""
    from django.utils.functional import Promise

    return str(value) if isinstance(value, Promise) else value


def names(given: Any) -> list[str]:
    """Tags, from a list or from text with commas."""
    if isinstance(given, str):
        return [name for each in given.split(",") if (name := each.strip())]
    if isinstance(given, list | tuple | set):
        return [str(each) for each in given]
    raise SettingError(f"cache_tagged: tags={given!r} given; accepted: text with commas, a list")


@register.tag("cache_tagged")  # type: ignore[untyped-decorator]
def cache_tagged(parser: Parser, token: Token) -> CacheTagged:
    """What the tag means."""
    body = parser.parse(("endcache_tagged",))
    parser.delete_first_token()
    _, *bits = token.split_contents()
    if len(bits) < 2:
        raise TemplateSyntaxError(f"cache_tagged: accepted: {USAGE}")
    ttl, name, *rest = bits
    variants, options = [], {}
    for bit in rest:
        named = token_kwargs([bit], parser)
        if unknown := set(named) - OPTIONS:
            raise TemplateSyntaxError(
                f"cache_tagged: {min(unknown)}= given; accepted: {', '.join(sorted(OPTIONS))}"
            )
        options.update(named)
        if not named:
            variants.append(parser.compile_filter(bit))
    return CacheTagged(body, parser.compile_filter(ttl), name.strip("\"'"), variants, options)
