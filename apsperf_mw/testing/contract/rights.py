"""The contract's part on leases and on versions of tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apsperf_mw.drivers.versions import NO_MORE, Look, Versions
from apsperf_mw.testing.contract.base import MINUTE_S, Contract

if TYPE_CHECKING:
    from apsperf_mw.drivers.base import Driver

NAMES = [b"", b"*", b"a b", b"a\nb", b"a\0b", b"\xff", b"'\";--", "\N{SNOWMAN}".encode()]


class Leases(Contract):
    """One makes a value; who lost the right to it does not overwrite a newer one."""

    def test_one_at_a_time_has_the_lease(self, driver: Driver) -> None:
        token = driver.lease(b"k", MINUTE_S)
        assert token
        assert driver.lease(b"k", MINUTE_S) is None
        assert driver.lease(b"other", MINUTE_S) not in (None, token)
        assert driver.release(b"k", token)
        assert driver.lease(b"k", MINUTE_S) not in (None, token)

    def test_a_lease_is_no_value(self, driver: Driver) -> None:
        driver.lease(b"k", MINUTE_S)
        assert driver.get(b"k") is None
        assert driver.add(b"k", b"v", MINUTE_S)

    def test_commit_keeps_the_value_and_ends_the_lease(self, driver: Driver) -> None:
        token = driver.lease(b"k", MINUTE_S)
        assert token
        assert driver.commit(b"k", token, b"v", MINUTE_S)
        assert driver.get(b"k") == b"v"
        assert not driver.commit(b"k", token, b"again", MINUTE_S)
        assert not driver.release(b"k", token)
        assert driver.get(b"k") == b"v"
        assert driver.lease(b"k", MINUTE_S)

    def test_a_lease_ends_by_itself(self, driver: Driver) -> None:
        lost = driver.lease(b"k", self.short_s)
        assert lost
        self.wait_out()
        token = driver.lease(b"k", MINUTE_S)
        assert token
        assert not driver.release(b"k", lost)
        assert driver.lease(b"k", MINUTE_S) is None

    def test_a_lost_lease_does_not_overwrite(self, driver: Driver) -> None:
        lost = driver.lease(b"k", self.short_s)
        assert lost
        self.wait_out()
        token = driver.lease(b"k", MINUTE_S)
        assert token
        assert not driver.commit(b"k", lost, b"old", MINUTE_S)
        assert driver.get(b"k") is None
        assert driver.commit(b"k", token, b"new", MINUTE_S)
        assert not driver.commit(b"k", lost, b"old", MINUTE_S)
        assert driver.get(b"k") == b"new"

    @pytest.mark.parametrize("token", [b"", b"x", bytes(16)])
    def test_a_token_that_was_not_given_is_none(self, driver: Driver, token: bytes) -> None:
        assert not driver.release(b"k", token)
        assert not driver.commit(b"k", token, b"v", MINUTE_S)
        assert driver.lease(b"k", MINUTE_S)
        assert not driver.release(b"k", token)
        assert not driver.commit(b"k", token, b"v", MINUTE_S)
        assert driver.get(b"k") is None


class Tags(Contract):
    """What was made void, and when."""

    def test_a_space_begins_at_nothing(self, driver: Driver) -> None:
        assert driver.versions(b"space", 0) == Versions(b"", 0, 0, ())
        driver.set(b"k", b"v", MINUTE_S)
        assert driver.look(b"k", b"space") == Look(b"v", b"", 0)

    def test_a_bump_gives_all_its_names_one_new_position(self, driver: Driver) -> None:
        first = driver.bump(b"space", [b"a", b"b"])
        assert first.generation
        assert first.bumps == ()
        second = driver.bump(b"space", [b"b", b"c"])
        assert second.generation == first.generation
        assert first.position < second.position
        found = driver.versions(b"space", 0)
        assert found[:2] == second[:2]
        assert dict(found.bumps) == {
            b"a": first.position,
            b"b": second.position,
            b"c": second.position,
        }

    def test_only_what_came_later_is_told(self, driver: Driver) -> None:
        first = driver.bump(b"space", [b"a"]).position
        second = driver.bump(b"space", [b"b"]).position
        assert driver.versions(b"space", first).bumps == ((b"b", second),)
        assert driver.versions(b"space", second).bumps == ()
        assert driver.versions(b"space", NO_MORE).position == second

    def test_spaces_are_apart(self, driver: Driver) -> None:
        driver.bump(b"space", [b"a"])
        assert driver.versions(b"spac", 0) == Versions(b"", 0, 0, ())
        assert driver.versions(b"space2", 0).bumps == ()

    def test_names_are_any_bytes(self, driver: Driver) -> None:
        position = driver.bump(b"space", NAMES).position
        assert dict(driver.versions(b"space", 0).bumps) == dict.fromkeys(NAMES, position)

    def test_a_bump_of_nothing_moves_on(self, driver: Driver) -> None:
        first = driver.bump(b"space", [])
        assert driver.bump(b"space", []).position > first.position
        assert driver.versions(b"space", 0).bumps == ()

    def test_a_look_tells_of_every_bump_before_it(self, driver: Driver) -> None:
        driver.set(b"k", b"v", MINUTE_S)
        for _ in range(20):
            done = driver.bump(b"space", [b"a"])
            assert driver.look(b"k", b"space") == Look(b"v", done.generation, done.position)
        assert driver.look(b"none", b"space").value is None

    def test_cleared_a_space_is_another_generation(self, driver: Driver) -> None:
        old = driver.bump(b"space", [b"a"])
        driver.clear(b"space")
        assert driver.versions(b"space", 0).generation != old.generation
        assert driver.bump(b"space", [b"a"]).generation not in (b"", old.generation)

    def test_clear_ends_leases(self, driver: Driver) -> None:
        token = driver.lease(b"space k", MINUTE_S)
        assert token
        driver.clear(b"space")
        assert not driver.commit(b"space k", token, b"v", MINUTE_S)
        assert driver.lease(b"space k", MINUTE_S)
