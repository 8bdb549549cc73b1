"""Masking: what people see of a secret is `***`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apsperf_mw.settings import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://user:hunter2@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis://:hunter2@host", "redis://:***@host"),
        ("redis://:p@ss/w?r#d@host/0", "redis://:***@host/0"),
        ("https://token@host/dsn", "https://***@host/dsn"),
        ("https://token:@host", "https://***@host"),
        ("redis://:hunter2", "redis://:***"),
        ("redis://a:1@h,b:2@i/0", "redis://a:***@i/0"),
        ("redis://h/0?password=hunter2&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h?db=1&Access_Token=x", "redis://h?db=1&Access_Token=***"),
        ("s3://b?api-key=x&secret_id=y", "s3://b?api-key=***&secret_id=***"),
        ("redis://h?pass%77ord=x", "redis://h?password=***"),
        ("tiered://?l1=memory://&l2=redis://:x@h", "tiered://?l1=memory://&l2=redis://:***@h"),
        ("tiered://?l2=redis%3A%2F%2F%3Ax%40h", "tiered://?l2=redis://:***@h"),
        ("host=db password=hunter2", "host=db password=***"),
    ],
)
def test_secrets_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "memory",
        "my.module:factory",
        "memory://?max_bytes=67108864&max_entries=65536",
        "redis://host:6379/0?key_prefix=app%20a",
        "redis://[::1]:6379/0",
        "file:///tmp/a@b?mode=x",
        "redis://h:1,i:2/0",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


@given(st.text(min_size=8).map("q9{}".format))
def test_no_password_is_ever_left(password: str) -> None:
    assert password not in mask(f"redis://user:{password}@host:6379/0")
    assert password not in mask(f"redis://:{password}")


@given(st.text(st.characters(exclude_characters="&"), min_size=8).map("q9{}".format))
def test_no_secret_parameter_is_ever_left(secret: str) -> None:
    assert secret not in mask(f"redis://host/0?db=1&token={secret}&ssl=1")
