"""Dictionaries of structured fields (RFC 9651 §4.2), and targeted fields in them (RFC 9213)."""

from __future__ import annotations

from tests.model.grammar import DIGITS, Directive, Directives

LOWER = "abcdefghijklmnopqrstuvwxyz"
LETTERS = LOWER + LOWER.upper()
KEY_START = LOWER + "*"
KEY = LOWER + DIGITS + "_-.*"
TOKEN = LETTERS + DIGITS + "!#$%&'*+-.^_`|~:/"
BASE64 = LETTERS + DIGITS + "+/="
TARGETS = ("apsperf-cache-control", "cdn-cache-control")  # RFC 9213 §2.2: the first that parses
# What takes something away does so whatever its value is: a house rule.
RESTRICTIONS = ("no-store", "no-cache", "private", "must-revalidate", "proxy-revalidate")
SECONDS = ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")

Value = tuple[str, object]


class Malformed(Exception):
    """The field does not parse, and so says nothing."""


class Scanner:
    """A text that is eaten from its start."""

    def __init__(self, text: str) -> None:
        self.text = text

    def peek(self) -> str:
        """The next character, or nothing at the end."""
        return self.text[:1]

    def take(self) -> str:
        """Eat one character."""
        char, self.text = self.text[:1], self.text[1:]
        if not char:
            raise Malformed
        return char

    def expect(self, char: str) -> None:
        """Eat just this character."""
        if self.take() != char:
            raise Malformed

    def skip(self, chars: str) -> None:
        """Eat what is of these."""
        self.text = self.text.lstrip(chars)

    def while_in(self, chars: str) -> str:
        """Eat what is of these, and return it."""
        eaten = ""
        while self.peek() and self.peek() in chars:
            eaten += self.take()
        return eaten


def parse_dictionary(lines: list[str]) -> dict[str, Value] | None:
    """The members as (type, value), the last of a key; None where the field does not parse."""
    scanner = Scanner(", ".join(lines))
    scanner.skip(" ")
    try:
        return members(scanner)
    except Malformed:
        return None


def members(scanner: Scanner) -> dict[str, Value]:
    """RFC 9651 §4.2.2."""
    found: dict[str, Value] = {}
    while scanner.peek():
        name = key(scanner)
        if scanner.peek() == "=":
            scanner.take()
            found[name] = inner_list(scanner) if scanner.peek() == "(" else item(scanner)
        else:
            found[name] = ("boolean", True)
            parameters(scanner)
        scanner.skip(" \t")
        if not scanner.peek():
            return found
        scanner.expect(",")
        scanner.skip(" \t")
        if not scanner.peek():
            raise Malformed  # a comma with nothing behind it
    return found


def key(scanner: Scanner) -> str:
    """RFC 9651 §4.2.3.3."""
    if not scanner.peek() or scanner.peek() not in KEY_START:
        raise Malformed
    return scanner.while_in(KEY)


def parameters(scanner: Scanner) -> None:
    """RFC 9651 §4.2.3.2; RFC 9213 §2.1: they are ignored."""
    while scanner.peek() == ";":
        scanner.take()
        scanner.skip(" ")
        key(scanner)
        if scanner.peek() == "=":
            scanner.take()
            bare_item(scanner)


def item(scanner: Scanner) -> Value:
    """RFC 9651 §4.2.3."""
    value = bare_item(scanner)
    parameters(scanner)
    return value


def inner_list(scanner: Scanner) -> Value:
    """RFC 9651 §4.2.1.2."""
    scanner.expect("(")
    while True:
        scanner.skip(" ")
        if scanner.peek() == ")":
            scanner.take()
            parameters(scanner)
            return "inner list", None
        item(scanner)
        if scanner.peek() not in {" ", ")"}:
            raise Malformed


def bare_item(scanner: Scanner) -> Value:
    """RFC 9651 §4.2.3.1; dates and display strings are read but mean nothing here."""
    start = scanner.peek()
    if start and start in DIGITS + "-":
        return number(scanner)
    if start == '"':
        return "string", string(scanner)
    if start and start in LETTERS + "*":
        return "token", scanner.while_in(TOKEN)
    if start == ":":
        scanner.take()
        said = scanner.while_in(BASE64)
        scanner.expect(":")
        return "bytes", said
    if start == "?":
        scanner.take()
        return "boolean", boolean(scanner.take())
    if start == "@":
        scanner.take()
        kind, moment = number(scanner)
        if kind != "integer":
            raise Malformed
        return "date", moment
    raise Malformed


def boolean(char: str) -> bool:
    """RFC 9651 §4.2.8."""
    if char not in "01":
        raise Malformed
    return char == "1"


def number(scanner: Scanner) -> Value:
    """RFC 9651 §4.2.4."""
    sign = -1 if scanner.peek() == "-" else 1
    if sign < 0:
        scanner.take()
    whole = scanner.while_in(DIGITS)
    if not whole:
        raise Malformed
    if scanner.peek() != ".":
        if len(whole) > 15:
            raise Malformed
        return "integer", sign * int(whole)
    scanner.take()
    fraction = scanner.while_in(DIGITS)
    if len(whole) > 12 or not 1 <= len(fraction) <= 3:
        raise Malformed
    return "decimal", sign * float(f"{whole}.{fraction}")


def string(scanner: Scanner) -> str:
    """RFC 9651 §4.2.5."""
    scanner.expect('"')
    said = ""
    while (char := scanner.take()) != '"':
        if char == "\\":
            char = scanner.take()
            if char not in '"\\':
                raise Malformed
        elif not " " <= char <= "~":
            raise Malformed
        said += char
    return said


def parse_targeted(lines: list[str]) -> Directives | None:
    """The directives of a targeted field, or None where it is empty or does not parse."""
    found = parse_dictionary(lines)
    if not found:
        return None
    read = [directive(name, value) for name, value in found.items()]
    return Directives(tuple(member for member in read if member is not None))


def directive(name: str, value: Value) -> Directive | None:
    """RFC 9213 §2.1: a value of another type than the directive's is not consumed."""
    kind, said = value
    if name in SECONDS:
        sound = kind == "integer" and isinstance(said, int) and said >= 0
        return Directive(name, str(said), sound=True) if sound else None
    if value == ("boolean", False):
        return None
    return Directive(name, None, sound=value == ("boolean", True) or name in RESTRICTIONS)
