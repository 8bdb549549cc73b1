"""Seals: whoever can write to the store can lose values, and change none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw import DriverError, Suite, UnknownDriver
from apsperf_mw.drivers.registry import Registry
from apsperf_mw.drivers.seal import BadSeal, Seals
from apsperf_mw.drivers.sealed import AsyncSealed, BothSealed, Sealed, sealed_driver
from apsperf_mw.drivers.versions import Table, stand_key, versions_key
from apsperf_mw.settings.tree import SealedSettings
from apsperf_mw.testing.dicts import AsyncDictDriver, DictDriver
from apsperf_mw.testing.harness import ASGIClient, Client, WSGIClient
from tests.core.support import numbered

OLD, NEW = "the old one of our keys", "the new one of our keys"
MINUTE_S = 60.0
FORMS = pytest.mark.parametrize("encrypts", [False, True], ids=["signed", "enciphered"])


def seals(*keys: str, encrypts: bool = False) -> Seals:
    return Seals(keys or (NEW,), encrypts=encrypts)


def why(seals: Seals, key: bytes, sealed: bytes) -> str:
    with pytest.raises(BadSeal) as raised:
        seals.open(key, sealed)
    return str(raised.value)


# Seals


@given(key=st.binary(max_size=40), value=st.binary(max_size=200), encrypts=st.booleans())
def test_what_is_sealed_opens_under_its_key_alone(key: bytes, value: bytes, encrypts: bool) -> None:
    made = seals(encrypts=encrypts)
    sealed = made.close(key, value)
    assert made.open(key, sealed) == value
    assert why(made, key + b"x", sealed) == "seal"


@given(
    sealed=st.booleans().flatmap(lambda e: st.just(seals(encrypts=e).close(b"key", b"the value"))),
    at=st.integers(0),
    bit=st.integers(0, 7),
)
def test_no_bit_can_change_unseen(sealed: bytes, at: int, bit: int) -> None:
    bad = bytearray(sealed)
    bad[at % len(bad)] ^= 1 << bit
    assert why(seals(), b"key", bytes(bad)) in ("form", "key", "seal")


@given(junk=st.binary(max_size=100))
def test_junk_bears_no_seal(junk: bytes) -> None:
    for made in (seals(), seals(encrypts=True)):
        assert why(made, b"key", junk) in ("form", "key", "seal", "plain")


@FORMS
def test_bytes_cannot_move_between_key_and_value(encrypts: bool) -> None:
    made = seals(encrypts=encrypts)
    sealed = made.close(b"ab", b"cd")
    head = len(sealed) - 2
    assert why(made, b"abc", sealed[:head] + b"d") in ("seal", "form")
    assert why(made, b"a", sealed[:head] + b"bcd") == "seal"


@FORMS
def test_the_first_key_seals_and_all_open(encrypts: bool) -> None:
    old, both = seals(OLD, encrypts=encrypts), seals(NEW, OLD, encrypts=encrypts)
    new = seals(NEW, encrypts=encrypts)
    assert both.open(b"k", old.close(b"k", b"v")) == b"v"
    assert new.open(b"k", both.close(b"k", b"v")) == b"v"
    assert why(new, b"k", old.close(b"k", b"v")) == "key"
    assert why(old, b"k", both.close(b"k", b"v")) == "key"


def test_enciphered_nothing_shows_and_nothing_repeats() -> None:
    made = seals(encrypts=True)
    one, other = (made.close(b"k", b"a secret page") for _ in range(2))
    assert b"secret" not in one
    assert one[5:] != other[5:]
    assert seals().open(b"k", one) == b"a secret page"  # who turns it off still reads


def test_where_all_must_be_enciphered_nothing_plain_is_taken() -> None:
    assert why(seals(encrypts=True), b"k", seals().close(b"k", b"v")) == "plain"


def test_what_enciphering_needs_is_said_at_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = seals(encrypts=True).close(b"k", b"v")
    for name in [*sys.modules]:
        if name.partition(".")[0] == "cryptography":
            monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DriverError, match=r"sealed\.encrypt is true.*apsperf-mw\[crypto\]"):
        seals(encrypts=True)
    assert why(seals(), b"k", hidden) == "cipher"


# Drivers


@pytest.fixture
def inner() -> DictDriver:
    return DictDriver()


@pytest.fixture
def driver(inner: DictDriver) -> Any:
    return sealed_driver(inner, seals())


def test_what_somebody_else_put_there_is_a_miss_and_counted(driver: Any, inner: DictDriver) -> None:
    driver.set(b"a", b"value of a", MINUTE_S)
    driver.set(b"b", b"value of b", MINUTE_S)
    inner.held[b"b"] = inner.held[b"a"]
    inner.held[b"c"] = b"value of c"
    inner.held[b"d"] = seals(OLD).close(b"d", b"value of d")
    found = driver.get_many([b"a", b"b", b"c", b"d"])
    assert found == {b"a": b"value of a"}
    assert [driver.get(key) for key in (b"b", b"c", b"d")] == [None] * 3
    told = {name: count for name, count in driver.stats().items() if name.startswith("refused")}
    assert told == {"refused_seal": 2, "refused_form": 2, "refused_key": 2}


def test_a_forged_value_does_not_keep_a_right_one_out(driver: Any, inner: DictDriver) -> None:
    inner.held[b"k"] = b"forged"
    assert driver.add(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"
    assert not driver.add(b"k", b"again", MINUTE_S)


def test_a_forged_table_of_versions_revives_nothing(driver: Any, inner: DictDriver) -> None:
    before = driver.bump(b"space", [b"other"])
    bumped = driver.bump(b"space", [b"tag"])
    forged = Table(bumped.generation, before.position, 0, {b"other": before.position})
    inner.held[versions_key(b"space")] = forged.frame()
    told = driver.versions(b"space", before.position)
    assert told.generation == bumped.generation
    assert told.floor >= bumped.position  # all that is older cannot be judged
    del inner.held[stand_key(b"space")]
    assert driver.look(b"k", b"space").generation != bumped.generation
    assert driver.versions(b"space", 0).generation != bumped.generation
    assert driver.bump(b"space", []).generation != bumped.generation


def test_an_older_table_put_back_revives_nothing_here(driver: Any, inner: DictDriver) -> None:
    driver.bump(b"space", [b"other"])
    older = {key: inner.held[key] for key in (versions_key(b"space"), stand_key(b"space"))}
    bumped = driver.bump(b"space", [b"tag"])
    assert driver.look(b"k", b"space").position == bumped.position
    inner.held.update(older)
    assert driver.look(b"k", b"space").generation == b""
    assert driver.versions(b"space", 0).generation == b""
    assert driver.stats()["refused_older"] >= 2


def test_leases_go_through(driver: Any, inner: DictDriver) -> None:
    token = driver.lease(b"k", MINUTE_S)
    assert inner.lease(b"k", MINUTE_S) is None
    assert driver.commit(b"k", token, b"v", MINUTE_S)
    assert inner.held[b"k"] != b"v"
    assert driver.get(b"k") == b"v"


class Both(DictDriver):
    suspends = True

    async def aget(self, key: bytes) -> bytes | None:
        return self.get(key)


def test_a_sealed_driver_has_the_faces_of_the_one_within() -> None:
    for inner, kind in ((DictDriver(), Sealed), (AsyncDictDriver(), AsyncSealed)):
        driver = sealed_driver(inner, seals())
        assert type(driver) is kind
        assert (driver.blocks, driver.suspends) == (inner.blocks, inner.suspends)
    both = sealed_driver(Both(), seals())
    assert type(both) is BothSealed
    assert both.suspends
    with pytest.raises(DriverError, match=r"sealed\.keys"):
        Sealed.from_url("sealed+memory://")


# By name


def registry(*keys: str) -> Registry:
    return Registry({"safe": "sealed+memory://?max_entries=5"}, SealedSettings(keys=keys))


def test_a_sealed_driver_is_named_by_its_url() -> None:
    found = registry(NEW)
    driver = found.get("safe")
    assert isinstance(driver, Sealed)
    assert driver.set(b"k", b"v", MINUTE_S)
    assert driver.get(b"k") == b"v"
    assert found.get("safe") is driver
    with pytest.raises(UnknownDriver, match=r"'sealed\+nothing://' is not known; known: file, mem"):
        found.get("sealed+nothing://")
    with pytest.raises(DriverError, match="max_entries is 'x'"):
        found.get("sealed+memory://?max_entries=x")


def test_without_a_key_there_is_no_sealed_driver() -> None:
    for found in (registry(), Registry({"safe": "sealed+memory://"})):
        with pytest.raises(DriverError, match=r"set sealed\.keys \(APSPERF_SEALED__KEYS\)"):
            found.get("safe")


def test_keys_come_from_the_environment_and_are_shown_to_nobody(tmp_path: Path) -> None:
    environ = {"APSPERF_SEALED__KEYS": f"{NEW.replace(' ', '-')},{OLD.replace(' ', '-')}"}
    code = "from apsperf_mw.cli import main; main(['config'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "APSPERF_SEALED__KEYS" in done.stdout
    assert '"***"' in done.stdout
    assert "our-keys" not in done.stdout


@pytest.fixture(params=["asgi", "wsgi"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    suite = Suite(
        cache={"driver": f"sealed+file://{tmp_path}/cache"},
        sealed={"keys": [NEW.replace(" ", "-")], "encrypt": True},
    )
    kind = ASGIClient if request.param == "asgi" else WSGIClient
    return kind(suite, numbered())


def test_pages_are_kept_under_seal(client: Client, tmp_path: Path) -> None:
    assert client.ask().cache.stored
    assert client.ask().cache.hit
    held: Any = client.suite.driver("cache")
    assert b"answer 1" not in b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    held._inner.clear()
    assert client.ask().body == b"answer 2"
    assert not client.suite.faults.counts
    client.suite.close()
