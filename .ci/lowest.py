"""Print pip constraints that pin every run-time dependency to its lower bound."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path(__file__, "../../pyproject.toml").resolve().read_text())["project"]
LOWER_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*])?\s*>=\s*(?P<version>[^,;\s]+)")


def constraints() -> list[str]:
    """One `name==version` for each dependency; tools and servers of `dev` stay free."""
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"]]
    wanted += [one for name, group in extras.items() if name != "dev" for one in group]
    return [_pin(one) for one in wanted if not one.startswith(PROJECT["name"])]


def _pin(requirement: str) -> str:
    bound = LOWER_BOUND.match(requirement)
    if bound is None:
        raise SystemExit(f"{requirement!r} in pyproject.toml has no lower bound")
    return f"{bound['name']}=={bound['version']}"


if __name__ == "__main__":
    print("\n".join(sorted(constraints())))
