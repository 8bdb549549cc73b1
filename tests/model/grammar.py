"""Field values by their grammar, read character by character.

What does not follow the grammar has no meaning in the RFCs. The house gives it one: it may take
a permission away and never give one.
"""

from __future__ import annotations

from dataclasses import dataclass

OWS = " \t"  # RFC 9110 §5.6.3
DIGITS = "0123456789"
TCHARS = frozenset(
    "!#$%&'*+-.^_`|~" + DIGITS + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)  # RFC 9110 §5.6.2
MOST_SECONDS = 2**31  # RFC 9111 §1.2.2


def is_token(text: str) -> bool:
    """Whether the text is a token (RFC 9110 §5.6.2)."""
    return text != "" and all(char in TCHARS for char in text)


def lower(text: str) -> str:
    """The text with letters of ASCII in lower case: no others have a case in a field."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def split_list(text: str) -> tuple[list[str], bool]:
    """The members of a list, and whether a quote is left open.

    A comma within a quoted-string separates nothing (RFC 9110 §5.6.4), and empty members do not
    count (§5.6.1.2).
    """
    members, member, quoted, escaped = [], "", False, False
    for char in text:
        if char == "," and not quoted:
            members.append(member)
            member = ""
            continue
        member += char
        if quoted and escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
    members.append(member)
    return [found.strip(OWS) for found in members if found.strip(OWS)], quoted


def quoted_string(text: str) -> str | None:
    """What a quoted-string says, or None where the text is none (RFC 9110 §5.6.4)."""
    if len(text) < 2 or text[0] != '"':
        return None
    said, rest = "", text[1:]
    while rest and rest[0] != '"':
        if rest[0] == "\\":
            rest = rest[1:]
            if not rest:
                return None
        said += rest[0]
        rest = rest[1:]
    return said if rest == '"' else None


def names_in(text: str) -> list[str]:
    """The members of a list without quotes, in lower case."""
    return [lower(name.strip(OWS)) for name in text.split(",") if name.strip(OWS)]


@dataclass(frozen=True)
class Directive:
    """One cache directive; `sound` is whether it follows the grammar (RFC 9111 §5.2)."""

    name: str
    argument: str | None
    sound: bool


def parse_directive(text: str) -> Directive | None:
    """token [ "=" ( token / quoted-string ) ]; of anything else the token that it starts with."""
    end = 0
    while end < len(text) and text[end] in TCHARS:
        end += 1
    name, rest = lower(text[:end]), text[end:]
    if not name:
        return None
    if not rest:
        return Directive(name, None, sound=True)
    argument = rest[1:]
    if rest[0] == "=" and is_token(argument):
        return Directive(name, argument, sound=True)
    if rest[0] == "=" and quoted_string(argument) is not None:
        return Directive(name, quoted_string(argument), sound=True)
    return Directive(name, None, sound=False)


@dataclass(frozen=True)
class Directives:
    """The directives of a message, in order."""

    members: tuple[Directive, ...] = ()

    def named(self, name: str) -> list[Directive]:
        """Those of this name."""
        return [member for member in self.members if member.name == name]

    def restricts(self, name: str) -> bool:
        """Whether a directive that takes something away is there, well formed or not."""
        return self.named(name) != []

    def permits(self, name: str) -> bool:
        """Whether a directive that gives something is there: well formed, without argument."""
        return any(member.sound and member.argument is None for member in self.named(name))

    def seconds(self, name: str) -> int | None:
        """The first one's seconds (RFC 9111 §4.2.1); 0, and so stale, where it has none."""
        named = self.named(name)
        if not named:
            return None
        return delta_seconds(named[0].argument or "") if named[0].sound else 0

    def limit(self, name: str) -> int | None:
        """As `seconds`, but no argument means no limit (max-stale, RFC 9111 §5.2.1.2)."""
        named = self.named(name)
        if named and named[0].sound and named[0].argument is None:
            return MOST_SECONDS
        return self.seconds(name)

    def unqualified(self, name: str) -> bool:
        """Whether `private` or `no-cache` is there without field names that can be read."""
        return any(field_names(member) is None for member in self.named(name))

    def qualified(self, name: str) -> set[str]:
        """The field names of `private` or `no-cache` (RFC 9111 §5.2.2.4, §5.2.2.7)."""
        return {said for member in self.named(name) for said in field_names(member) or ()}


def field_names(directive: Directive) -> list[str] | None:
    """The field names of a qualified directive, or None for one that is not."""
    if not directive.sound or directive.argument is None:
        return None
    names = names_in(directive.argument)
    return names if names and all(map(is_token, names)) else None


def parse_cache_control(lines: list[str]) -> Directives:
    """All directives of all lines; behind an open quote a no-store may be hidden: it counts."""
    found: list[Directive] = []
    for line in lines:
        members, is_open = split_list(line)
        found += [read for member in members if (read := parse_directive(member))]
        if is_open:
            found.append(Directive("no-store", None, sound=True))
    return Directives(tuple(found))


def delta_seconds(text: str) -> int:
    """1*DIGIT, at most 2^31 (RFC 9111 §1.2.2); 0 for anything else."""
    if not text or any(char not in DIGITS for char in text):
        return 0
    return min(int(text), MOST_SECONDS)


def parse_vary(lines: list[str]) -> set[str] | None:
    """The field names; None where nothing matches (RFC 9111 §4.1): `*`, or what is no name."""
    names = set(names_in(",".join(lines)))
    return names if "*" not in names and all(map(is_token, names)) else None


def parse_age(lines: list[str]) -> int:
    """0 where it is absent; as old as can be where it is not one number (RFC 9111 §4.2.1, §5.1)."""
    if len(lines) > 1:
        return MOST_SECONDS
    texts = [line.strip(OWS) for line in lines]
    is_number = all(text and all(char in DIGITS for char in text) for text in texts)
    return sum(map(delta_seconds, texts)) if is_number else MOST_SECONDS


def parse_content_length(lines: list[str]) -> int | None:
    """The length, None where absent, -1 where invalid; the same one again is allowed (§8.6)."""
    if not lines:
        return None
    values = {value.strip(OWS) for value in ",".join(lines).split(",")}
    value = values.pop()
    readable = value != "" and all(char in DIGITS for char in value) and len(value) < 19
    return int(value) if readable and not values else -1


def parse_etag(text: str) -> tuple[bool, str] | None:
    """Whether it is weak, and what it is; None where it is no entity-tag (RFC 9110 §8.8.3)."""
    weak = text.startswith("W/")
    opaque = text[2:] if weak else text
    if len(opaque) < 2 or opaque[0] != '"' or opaque[-1] != '"':
        return None
    inner = opaque[1:-1]
    if all(char == "!" or "#" <= char <= "~" or "\x80" <= char <= "\xff" for char in inner):
        return weak, inner
    return None


def split_tags(text: str) -> list[str]:
    """The members of a list of entity-tags, within which a quote knows no escape."""
    members, member, quoted = [], "", False
    for char in text:
        if char == "," and not quoted:
            members.append(member)
            member = ""
            continue
        member += char
        quoted = quoted != (char == '"')
    return [found.strip(OWS) for found in (*members, member)]


def names_tag(lines: list[str], etag: str | None) -> bool:
    """Whether If-None-Match is `*` or names the tag, weakly compared (RFC 9110 §13.1.2)."""
    value = ",".join(lines)
    if value.strip(OWS) == "*":
        return True
    if not etag:
        return False
    tag = parse_etag(etag)
    if tag is None:  # The house: a tag that is none matches the same bytes.
        bare = [] if '"' in value else [member.strip(OWS) for member in value.split(",")]
        return etag == value.strip(OWS) or etag in bare
    members = [parse_etag(member) for member in split_tags(value)]
    return any(member is not None and member[1] == tag[1] for member in members)  # §8.8.3.2
