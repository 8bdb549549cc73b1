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
from apsperf_mw.fragments import kept

if TYPE_CHECKING:
    from django.template import Context, NodeList
    from django.template.base import FilterExpression, Parser, Token

SPACE = "django:fragments"
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

        def make() -> str:
            return str(self.nodelist.render(context))

        part: str = kept(get_suite(), SPACE, values, make, ttl=ttl, **options)
        return mark_safe(part)  # noqa: S308 - a template made it


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
