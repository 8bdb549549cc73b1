"""Settings: precedence, and each source by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.errors import SettingError
from apsperf_mw.settings import Setting, Settings, catalogue, flatten, load, nest

NOWHERE = Path(__file__).parent / "no-such-directory"
MEMORY = Settings().drivers["memory"]


def from_file(directory: Path, name: str, text: str | bytes) -> Settings:
    (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(environ={}, directory=directory)[0]


def test_code_wins_over_environment_over_file_over_framework_over_default(tmp_path: Path) -> None:
    (tmp_path / "apsperf.toml").write_text("[ttl]\nshort = 2\nmedium = 2\nlong = 2")
    tree, sources = load(
        code={"ttl": {"short": 4}},
        environ={"APSPERF_TTL__SHORT": "3", "APSPERF_TTL__MEDIUM": "3", "PATH": "/bin"},
        framework={"ttl": {"short": 1, "medium": 1, "long": 1}, "DATABASE": {"Driver": "one"}},
        directory=tmp_path,
    )
    assert (tree.ttl.short, tree.ttl.medium, tree.ttl.long) == (4, 3, 2)
    assert sources["ttl.short"] == "code"
    assert sources["ttl.medium"] == "APSPERF_TTL__MEDIUM"
    assert sources["ttl.long"] == "apsperf.toml"
    assert (tree.database.driver, sources["database.driver"]) == ("one", "framework")
    assert (tree.default, sources["default"]) == ("memory", "default")


def test_drivers_of_all_sources_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "apsperf.toml").write_text('[drivers]\na = "redis://a"\nb = "redis://b"')
    tree, sources = load(
        code={"drivers": {"c-1": "my.module:factory"}},
        environ={"APSPERF_DRIVERS__B": "redis://e"},
        directory=tmp_path,
    )
    assert tree.drivers == {
        "memory": MEMORY,
        "a": "redis://a",
        "b": "redis://e",
        "c-1": "my.module:factory",
    }
    assert sources["drivers.memory"] == "default"
    assert sources["drivers.b"] == "APSPERF_DRIVERS__B"
    assert Settings().drivers == {"memory": MEMORY}


def test_code_may_unset_what_a_lower_source_set() -> None:
    tree, sources = load(
        {"cache": {"driver": None}}, environ={"APSPERF_CACHE__DRIVER": "x"}, directory=NOWHERE
    )
    assert (tree.cache.driver, sources["cache.driver"]) == (None, "code")


def test_the_own_file_hides_pyproject(tmp_path: Path) -> None:
    pyproject = '[project]\ndependencies = ["apsperf"]\n[tool.apsperf.ttl]\nshort = 7'
    assert from_file(tmp_path, "pyproject.toml", pyproject).ttl.short == 7
    assert load(environ={}, directory=tmp_path)[1]["ttl.short"] == "pyproject.toml"
    assert from_file(tmp_path, "apsperf.toml", "").ttl.short == 300


@pytest.mark.parametrize("text", ["nonsense [", "tool = 'apsperf'", 'a = ["apsperf-mw"] ]'])
def test_a_pyproject_without_our_table_is_not_our_concern(tmp_path: Path, text: str) -> None:
    assert from_file(tmp_path, "pyproject.toml", text) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb =", r"apsperf\.toml: Invalid value .*line 2"),
        ("a = 1\nb = [", r"apsperf\.toml: .*line 2"),
        (b"a = 1\n\nb = '\xff'", r"apsperf\.toml: line 3 is not UTF-8"),
        ("a = " + "[" * 5000, r"apsperf\.toml: nested too deeply"),
        ("[ttl]\nshort = -1", r"ttl\.short: got -1 from apsperf\.toml; accepted: integer"),
        ("[ttl]\nshrt = 1", r"'ttl\.shrt' in apsperf\.toml; the nearest is ttl\.short"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_file(tmp_path, "apsperf.toml", text)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "apsperf.toml").mkdir()
    with pytest.raises(SettingError, match=r"apsperf\.toml: cannot be read: "):
        load(environ={}, directory=tmp_path)


def test_flat_framework_keys_are_nested() -> None:
    config = {
        "DEBUG": True,
        "APSPERFECT": 1,
        "APSPERF_DEFAULT": "file",
        "APSPERF_CACHE__DRIVER": "redis://h",
        "APSPERF_TTL": {"SHORT": 1},
        "APSPERF": {"timing": {"ENABLED": False}, "TTL__LONG": 2},
    }
    tree = nest(config)
    assert tree == {
        "default": "file",
        "cache": {"driver": "redis://h"},
        "ttl": {"short": 1, "long": 2},
        "timing": {"enabled": False},
    }
    assert load(framework=tree, environ={}, directory=NOWHERE)[0].ttl.long == 2


@pytest.mark.parametrize(
    "config",
    [
        {"APSPERF_TTL__SHORT": 1, "apsperf": {"ttl": {"SHORT": 1}}},
        {"APSPERF_TTL": 1, "APSPERF_TTL__SHORT": 1},
        {"APSPERF_TTL__SHORT": 1, "APSPERF_TTL": 1},
    ],
)
def test_a_setting_given_twice_by_the_framework_is_an_error(config: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"^'apsperf\.ttl(\.short)?' is given twice by"):
        nest(config)


def test_a_framework_value_that_is_no_table_is_an_error() -> None:
    with pytest.raises(SettingError, match=r"^APSPERF: got True from framework; accepted: a table"):
        nest({"APSPERF": True})


ENV_NAMES = st.sampled_from([s.environment.replace("<NAME>", "X") for s in catalogue()])
ANY_NAME = ENV_NAMES | st.text(max_size=30).map("APSPERF_{}".format)
ANY_TEXT = st.text() | st.floats().map(str) | st.integers().map(str) | st.sampled_from(["on", "x"])


def outcome(**given_by: Any) -> Settings | str:
    """The tree, or the message of the refusal; no other exception is caught."""
    try:
        return load(**given_by, directory=NOWHERE)[0]
    except SettingError as error:
        return str(error)


def is_sound(found: Settings | str) -> bool:
    """Whether a message can be shown on one line, or a tree is within all bounds."""
    if isinstance(found, str):
        return found.isprintable()
    return msgspec.convert(msgspec.to_builtins(found), Settings) == found


@given(st.dictionaries(ANY_NAME, ANY_TEXT | st.characters(categories=["Cs"]), max_size=3))
def test_any_environment_is_read_or_refused(environ: dict[str, str]) -> None:
    assert is_sound(outcome(environ=environ))


ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=4,
)
KNOWN = {word for setting in catalogue() for word in setting.path.split(".")}
ANY_TREE = st.dictionaries(
    st.sampled_from(sorted(KNOWN)) | st.text(max_size=5),
    ANY_VALUE | st.dictionaries(st.sampled_from(sorted(KNOWN)) | st.integers(), ANY_VALUE),
)


@given(ANY_TREE, ANY_TREE)
def test_any_code_and_framework_values_are_read_or_refused(
    code: dict[str, Any], framework: dict[str, Any]
) -> None:
    assert is_sound(outcome(code=code, framework=framework, environ={}))


# Settings with a form of their own.
FORMS: dict[str, st.SearchStrategy[Any]] = {
    "admin.path": st.sampled_from(["/-/apsperf", "/ops"]),
    "health.live_path": st.sampled_from(["/-/healthz", "/live"]),
    "health.ready_path": st.sampled_from(["/-/readyz", "/ready"]),
    "prometheus.path": st.sampled_from(["/-/metrics", "/metrics"]),
    "tracing.rules": st.sampled_from([[], ["/health*=0", "/=0.25"]]),
    "tracing.trusted_proxies": st.sampled_from([[], ["10.0.0.0/8", "::1"]]),
    "logging.channels": st.sampled_from([[], ["cache", "memory"]]),
    "admin.token": st.sampled_from(["", "0123456789abcdef"]),
    "cache.admission": st.sampled_from(["uses", "package.module:make"]),
    "cache.key": st.sampled_from(["query", "mine"]),
    "cache.normal_forms": st.lists(st.sampled_from(["accept=spaced", "x-a=a.b:c"]), max_size=2),
    "cache.routes": st.just([]),
    "sealed.keys": st.lists(st.sampled_from(["0123456789abcdef", "x" * 512]), max_size=2),
}


def good_values(setting: Setting) -> st.SearchStrategy[Any]:
    """Values within the bounds of every setting of this kind."""
    if setting.path in FORMS:
        return FORMS[setting.path]
    if get_origin(setting.kind) is tuple:
        return st.lists(st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), max_size=3)
    if get_args(setting.kind):
        return st.sampled_from(get_args(setting.kind))
    return {
        bool: st.booleans(),
        int: st.integers(1, 1_000_000),
        float: st.floats(0.01, 1),
        str: st.sampled_from(["redis://user:p%20w@h:1/0?a=b", "package.module:make"]),
    }[setting.kind]


GOOD = st.fixed_dictionaries(
    {},
    optional={
        setting.path if setting.path != "drivers" else "drivers.x": good_values(setting)
        for setting in catalogue()
    },
)


@given(GOOD)
def test_what_code_gives_is_what_the_tree_holds(values: dict[str, Any]) -> None:
    code: dict[str, Any] = {}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        (code.setdefault(section, {}) if section else code)[name] = value
    tree, sources = load(code, environ={}, directory=NOWHERE)
    held = flatten(tree)
    for path, value in values.items():
        assert held[path] == (tuple(value) if isinstance(value, list) else value)
    assert {path for path, source in sources.items() if source == "code"} == set(values)


@given(GOOD)
def test_the_same_values_as_strings_give_the_same_tree(values: dict[str, Any]) -> None:
    names = {path: f"APSPERF_{path.upper().replace('.', '__')}" for path in values}
    environ = {
        names[path]: ",".join(value) if isinstance(value, list) else str(value)
        for path, value in values.items()
    }
    tree, sources = load(environ=environ, directory=NOWHERE)
    held = flatten(tree)
    for path, value in values.items():
        assert held[path] == (tuple(value) if isinstance(value, list) else value)
        assert sources[path] == names[path]
