"""Settings: the list of them, how values are read, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apsperf_mw.errors import SettingError
from apsperf_mw.settings import Settings, catalogue, flatten, load, table

NOWHERE = Path(__file__).parent / "no-such-directory"
STRATEGY = "name of a strategy or module:object"
MEMORY = "memory://?max_bytes=67108864&max_entries=65536"
CREDENTIALS = (
    "x-api-key",
    "x-auth-token",
    "x-access-token",
    "x-csrf-token",
    "x-amz-security-token",
    "proxy-authorization",
    "api-key",
    "x-session-token",
    "remote-user",
    "x-remote-user",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-access-token",
    "x-authenticated-user",
    "x-webauth-user",
    "x-goog-authenticated-user-email",
    "x-goog-authenticated-user-id",
    "x-goog-iap-jwt-assertion",
    "cf-access-jwt-assertion",
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-amzn-oidc-accesstoken",
    "x-client-cert",
    "x-ssl-client-cert",
    "ssl-client-cert",
)
URL, NAME = "URL or module:factory", "driver name, URL or module:factory"
LIFETIME, COUNT = "integer, 1 to 2147483648", "integer, 1 to 1000000"
SECONDS, INTERVAL = "number, 0 to 86400", "number, 0.01 to 86400"
HEADERS, COOKIES = "list of header names", "list of cookie names"
ALL = [
    ("default", NAME, "memory", "APSPERF_DEFAULT"),
    ("drivers", URL, {"memory": MEMORY}, "APSPERF_DRIVERS__<NAME>"),
    ("ttl.short", LIFETIME, 300, "APSPERF_TTL__SHORT"),
    ("ttl.medium", LIFETIME, 1800, "APSPERF_TTL__MEDIUM"),
    ("ttl.long", LIFETIME, 86400, "APSPERF_TTL__LONG"),
    ("ttl.negative", "integer, 0 to 2147483648", 0, "APSPERF_TTL__NEGATIVE"),
    ("ttl.jitter", "number, 0 to 1", 0.0, "APSPERF_TTL__JITTER"),
    ("cache.enabled", "true or false", True, "APSPERF_CACHE__ENABLED"),
    ("cache.driver", NAME, None, "APSPERF_CACHE__DRIVER"),
    (
        "cache.max_entry_bytes",
        "integer, 1 to 1099511627776",
        1048576,
        "APSPERF_CACHE__MAX_ENTRY_BYTES",
    ),
    ("cache.max_variants", COUNT, 64, "APSPERF_CACHE__MAX_VARIANTS"),
    ("cache.patience_s", SECONDS, 5.0, "APSPERF_CACHE__PATIENCE_S"),
    ("cache.hit_for_miss_s", SECONDS, 10.0, "APSPERF_CACHE__HIT_FOR_MISS_S"),
    ("cache.error_ttl_s", SECONDS, 10.0, "APSPERF_CACHE__ERROR_TTL_S"),
    ("cache.heuristic", "true or false", False, "APSPERF_CACHE__HEURISTIC"),
    ("cache.heuristic_max_s", LIFETIME, 86400, "APSPERF_CACHE__HEURISTIC_MAX_S"),
    ("cache.stale_on_error", "true or false", False, "APSPERF_CACHE__STALE_ON_ERROR"),
    ("cache.keep_stale_s", "number, 0 to 2147483648", 3600.0, "APSPERF_CACHE__KEEP_STALE_S"),
    (
        "cache.request_directives",
        "one of ignore, honour",
        "ignore",
        "APSPERF_CACHE__REQUEST_DIRECTIVES",
    ),
    ("cache.min_uses", COUNT, 1, "APSPERF_CACHE__MIN_USES"),
    ("cache.admission", STRATEGY, "uses", "APSPERF_CACHE__ADMISSION"),
    ("cache.status_key", "true or false", False, "APSPERF_CACHE__STATUS_KEY"),
    ("cache.status_header", "true or false", True, "APSPERF_CACHE__STATUS_HEADER"),
    ("cache.keep_tag_headers", "true or false", False, "APSPERF_CACHE__KEEP_TAG_HEADERS"),
    ("cache.store_set_cookie", "true or false", False, "APSPERF_CACHE__STORE_SET_COOKIE"),
    ("cache.share_with_cookie", "true or false", False, "APSPERF_CACHE__SHARE_WITH_COOKIE"),
    ("cache.ignore_cookies", COOKIES, (), "APSPERF_CACHE__IGNORE_COOKIES"),
    ("cache.credential_headers", HEADERS, CREDENTIALS, "APSPERF_CACHE__CREDENTIAL_HEADERS"),
    (
        "cache.routes",
        "list of tables: path, ttl, tags, shared, vary, stale_while_revalidate",
        (),
        "APSPERF_CACHE__ROUTES",
    ),
    ("cache.key", STRATEGY, "query", "APSPERF_CACHE__KEY"),
    ("cache.sort_query", "true or false", False, "APSPERF_CACHE__SORT_QUERY"),
    (
        "cache.ignore_params",
        "list of names, which may end in *",
        (),
        "APSPERF_CACHE__IGNORE_PARAMS",
    ),
    ("cache.only_params", "list of names, which may end in *", (), "APSPERF_CACHE__ONLY_PARAMS"),
    (
        "cache.hosts",
        "list of hosts, with the port unless it is the scheme's",
        (),
        "APSPERF_CACHE__HOSTS",
    ),
    ("cache.namespace", "text", "", "APSPERF_CACHE__NAMESPACE"),
    ("cache.compression", "one of none, zlib, zstd", "none", "APSPERF_CACHE__COMPRESSION"),
    (
        "cache.compress_from_bytes",
        "integer, 1 to 1099511627776",
        8192,
        "APSPERF_CACHE__COMPRESS_FROM_BYTES",
    ),
    ("cache.purge_file", "auto, none or a path", "auto", "APSPERF_CACHE__PURGE_FILE"),
    ("cache.trusted_headers", HEADERS, (), "APSPERF_CACHE__TRUSTED_HEADERS"),
    (
        "cache.normal_forms",
        "list of header=name of a strategy or module:object",
        (),
        "APSPERF_CACHE__NORMAL_FORMS",
    ),
    ("cache.key_headers", HEADERS, (), "APSPERF_CACHE__KEY_HEADERS"),
    ("admin.enabled", "true or false", False, "APSPERF_ADMIN__ENABLED"),
    ("admin.path", "path from /, without a slash at its end", "/-/apsperf", "APSPERF_ADMIN__PATH"),
    ("admin.token", "text of 16 to 512 visible characters", "", "APSPERF_ADMIN__TOKEN"),
    ("admin.http_purge", "true or false", False, "APSPERF_ADMIN__HTTP_PURGE"),
    (
        "sealed.keys",
        "list of texts of 16 to 512 visible characters, with no comma and no [ at the start",
        (),
        "APSPERF_SEALED__KEYS",
    ),
    ("sealed.encrypt", "true or false", False, "APSPERF_SEALED__ENCRYPT"),
    ("database.driver", NAME, None, "APSPERF_DATABASE__DRIVER"),
    ("database.record", "true or false", True, "APSPERF_DATABASE__RECORD"),
    (
        "database.max_connections",
        "integer, 1 to 1000000",
        50,
        "APSPERF_DATABASE__MAX_CONNECTIONS",
    ),
    (
        "database.connection_timeout",
        "number, 0 to 86400",
        10.0,
        "APSPERF_DATABASE__CONNECTION_TIMEOUT",
    ),
    ("database.ping_idle_s", "number, 0 to 86400", 30.0, "APSPERF_DATABASE__PING_IDLE_S"),
    ("database.leak_s", "number, 0 to 86400", 60.0, "APSPERF_DATABASE__LEAK_S"),
    ("database.prepare", "one of auto, always, never", "auto", "APSPERF_DATABASE__PREPARE"),
    ("database.prepare_after", "integer, 0 to 1000000", 5, "APSPERF_DATABASE__PREPARE_AFTER"),
    (
        "database.prepared_statements",
        "integer, 1 to 1000000",
        100,
        "APSPERF_DATABASE__PREPARED_STATEMENTS",
    ),
    ("database.samples", "true or false", True, "APSPERF_DATABASE__SAMPLES"),
    ("database.unused_loads", "number, 0 to 1", 0.0, "APSPERF_DATABASE__UNUSED_LOADS"),
    ("database.depends", "true or false", True, "APSPERF_DATABASE__DEPENDS"),
    ("database.rows", "true or false", False, "APSPERF_DATABASE__ROWS"),
    ("database.notify", "true or false", False, "APSPERF_DATABASE__NOTIFY"),
    ("database.cache_all", "true or false", False, "APSPERF_DATABASE__CACHE_ALL"),
    ("database.query_ttl", "one of short, medium, long", "medium", "APSPERF_DATABASE__QUERY_TTL"),
    (
        "database.query_cache_limit",
        "integer, 1 to 1048576",
        1024,
        "APSPERF_DATABASE__QUERY_CACHE_LIMIT",
    ),
    ("timing.enabled", "true or false", True, "APSPERF_TIMING__ENABLED"),
    ("timing.server_timing", "one of off, on, token", "off", "APSPERF_TIMING__SERVER_TIMING"),
    ("timing.token", "text of 16 to 512 visible characters", "", "APSPERF_TIMING__TOKEN"),
    ("timing.request_id", "true or false", False, "APSPERF_TIMING__REQUEST_ID"),
    ("memory.enabled", "true or false", True, "APSPERF_MEMORY__ENABLED"),
    ("memory.interval_s", "number, 0.01 to 86400", 10.0, "APSPERF_MEMORY__INTERVAL_S"),
    ("memory.request_ratio", "number, 0 to 1", 0.05, "APSPERF_MEMORY__REQUEST_RATIO"),
    ("memory.leak_watch", "true or false", True, "APSPERF_MEMORY__LEAK_WATCH"),
    ("memory.soft_limit", "number, 0 to 1", 0.9, "APSPERF_MEMORY__SOFT_LIMIT"),
    ("tracing.enabled", "true or false", True, "APSPERF_TRACING__ENABLED"),
    ("tracing.sample_ratio", "number, 0 to 1", 0.1, "APSPERF_TRACING__SAMPLE_RATIO"),
    (
        "tracing.rules",
        "list of /path=share or /path*=share, a share from 0 to 1",
        (),
        "APSPERF_TRACING__RULES",
    ),
    ("tracing.errors", "true or false", False, "APSPERF_TRACING__ERRORS"),
    ("tracing.slow_s", "number, 0 to 86400", 0.0, "APSPERF_TRACING__SLOW_S"),
    ("tracing.trust_remote_parent", "true or false", False, "APSPERF_TRACING__TRUST_REMOTE_PARENT"),
    (
        "tracing.trusted_proxies",
        "list of addresses, or networks as 10.0.0.0/8",
        (),
        "APSPERF_TRACING__TRUSTED_PROXIES",
    ),
    (
        "tracing.query_values",
        "list of names, which may end in *",
        (),
        "APSPERF_TRACING__QUERY_VALUES",
    ),
    (
        "tracing.request_headers",
        "list of header names, which may end in *",
        (),
        "APSPERF_TRACING__REQUEST_HEADERS",
    ),
    (
        "tracing.response_headers",
        "list of header names, which may end in *",
        (),
        "APSPERF_TRACING__RESPONSE_HEADERS",
    ),
    ("exporter.kind", "one of auto, none, console, memory, otlp", "auto", "APSPERF_EXPORTER__KIND"),
    ("exporter.interval_s", "number, 0.01 to 86400", 60.0, "APSPERF_EXPORTER__INTERVAL_S"),
    (
        "exporter.histograms",
        "one of explicit, exponential",
        "explicit",
        "APSPERF_EXPORTER__HISTOGRAMS",
    ),
    ("exporter.max_series", "integer, 1 to 1000000", 2000, "APSPERF_EXPORTER__MAX_SERIES"),
    ("exporter.max_spans", "integer, 1 to 1000000", 2048, "APSPERF_EXPORTER__MAX_SPANS"),
    ("exporter.flush_timeout_s", "number, 0 to 86400", 2.0, "APSPERF_EXPORTER__FLUSH_TIMEOUT_S"),
    ("prometheus.enabled", "true or false", False, "APSPERF_PROMETHEUS__ENABLED"),
    (
        "prometheus.path",
        "path from /, without a slash at its end",
        "/-/metrics",
        "APSPERF_PROMETHEUS__PATH",
    ),
    ("prometheus.token", "text of 16 to 512 visible characters", "", "APSPERF_PROMETHEUS__TOKEN"),
    ("prometheus.directory", "path of a directory", "", "APSPERF_PROMETHEUS__DIRECTORY"),
    ("logging.enabled", "true or false", True, "APSPERF_LOGGING__ENABLED"),
    (
        "logging.threshold",
        "one of debug, info, warning, error",
        "warning",
        "APSPERF_LOGGING__THRESHOLD",
    ),
    (
        "logging.channels",
        "list of performance, database, cache, memory",
        ("performance", "database", "cache", "memory"),
        "APSPERF_LOGGING__CHANNELS",
    ),
    ("logging.json", "true or false", False, "APSPERF_LOGGING__JSON"),
    ("logging.slow_request_s", "number, 0 to 86400", 1.0, "APSPERF_LOGGING__SLOW_REQUEST_S"),
    ("logging.log_slow_queries", "true or false", True, "APSPERF_LOGGING__LOG_SLOW_QUERIES"),
    ("logging.slow_query_s", "number, 0 to 86400", 0.5, "APSPERF_LOGGING__SLOW_QUERY_S"),
    ("logging.interval_s", "number, 0.01 to 86400", 60.0, "APSPERF_LOGGING__INTERVAL_S"),
    ("profiling.enabled", "true or false", False, "APSPERF_PROFILING__ENABLED"),
    ("profiling.token", "text of 16 to 512 visible characters", "", "APSPERF_PROFILING__TOKEN"),
    ("profiling.max_s", "number, 0.01 to 86400", 30.0, "APSPERF_PROFILING__MAX_S"),
    ("profiling.interval_s", "number, 0.0001 to 1", 0.001, "APSPERF_PROFILING__INTERVAL_S"),
    ("health.enabled", "true or false", False, "APSPERF_HEALTH__ENABLED"),
    (
        "health.live_path",
        "path from /, without a slash at its end",
        "/-/healthz",
        "APSPERF_HEALTH__LIVE_PATH",
    ),
    (
        "health.ready_path",
        "path from /, without a slash at its end",
        "/-/readyz",
        "APSPERF_HEALTH__READY_PATH",
    ),
]


def from_code(**code: Any) -> Settings:
    return load(code, environ={}, directory=NOWHERE)[0]


def from_environ(**environ: str) -> Settings:
    return load(environ=environ, directory=NOWHERE)[0]


def test_this_is_every_setting() -> None:
    assert [(s.path, s.accepts, s.default, s.environment) for s in catalogue()] == ALL
    assert all(setting.description.endswith(".") for setting in catalogue())


def test_the_defaults_are_accepted_and_are_what_an_empty_tree_holds() -> None:
    tree, sources = load(environ={}, directory=NOWHERE)
    assert tree == Settings() == from_code(**msgspec.to_builtins(Settings()))
    assert set(sources.values()) == {"default"}
    assert sources.keys() == flatten(tree).keys()
    with pytest.raises(AttributeError):
        tree.cache.enabled = False  # type: ignore[misc]


def test_readme_has_the_table_of_today() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    found = re.search(r"<!-- settings -->\n(.*?)<!-- /settings -->", readme, re.DOTALL)
    assert found is not None, "README.md has no <!-- settings --> block"
    assert found[1] == table(), "run: python -m apsperf_mw.settings"


def test_the_readme_command_replaces_the_block_and_nothing_else(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- settings -->old<!-- /settings -->\nz é\n", "utf-8")
    subprocess.run([sys.executable, "-m", "apsperf_mw.settings", str(readme)], check=True)
    written = readme.read_text("utf-8")
    assert written == f"a\n<!-- settings -->\n{table()}<!-- /settings -->\nz é\n"


@pytest.mark.parametrize("text", ["true", "1", "YES", "On", " true\n"])
def test_words_for_true(text: str) -> None:
    assert from_environ(APSPERF_TIMING__REQUEST_ID=text).timing.request_id is True


@pytest.mark.parametrize("text", ["false", "0", "No", "OFF"])
def test_words_for_false(text: str) -> None:
    assert from_environ(APSPERF_TIMING__ENABLED=text).timing.enabled is False


def test_numbers_and_lists_from_strings() -> None:
    tree = from_environ(
        APSPERF_TTL__SHORT=" 60 ",
        APSPERF_TRACING__SAMPLE_RATIO=".5",
        APSPERF_CACHE__KEY_HEADERS="Accept-Language, X-Tenant,",
        APSPERF_CACHE__CREDENTIAL_HEADERS="",
        APSPERF_CACHE__IGNORE_COOKIES="_Ga",
    )
    assert (tree.ttl.short, tree.tracing.sample_ratio) == (60, 0.5)
    assert tree.cache.key_headers == ("accept-language", "x-tenant")
    assert (tree.cache.credential_headers, tree.cache.ignore_cookies) == ((), ("_Ga",))


@pytest.mark.parametrize(
    "driver", ["memory", "third-party.name", "redis://h/0", "file:///tmp/é", "my.module:make.it"]
)
def test_a_driver_is_a_name_a_url_or_a_factory(driver: str) -> None:
    assert from_code(default=driver, cache={"driver": driver}).default == driver


@pytest.mark.parametrize(
    ("path", "value", "given_as"),
    [
        ("ttl.short", 0, "0"),
        ("ttl.short", True, "True"),
        ("ttl.short", "300", "'300'"),
        ("ttl.long", 2**31 + 1, "2147483649"),
        pytest.param("ttl.long", 10**5000, "a value of type int", id="huge"),
        ("tracing.sample_ratio", float("nan"), "nan"),
        ("tracing.sample_ratio", 1.01, "1.01"),
        ("cache.patience_s", float("inf"), "inf"),
        ("cache.patience_s", -1, "-1"),
        ("memory.interval_s", 0, "0"),
        ("cache.enabled", 1, "1"),
        ("cache.driver", "", "''"),
        ("cache.driver", "a b", "'a b'"),
        ("cache.driver", {"password": "x"}, "a value of type dict"),
        ("default", None, "None"),
        ("default", ":x", "':x'"),
        ("drivers.shared", "redis", "'redis'"),
        ("drivers.shared", "redis://u:hunter2 @h", "'redis://u:***@h'"),
        ("drivers.shared", "redis://h\n", r"'redis://h\n'"),
        ("exporter.kind", "jaeger", "'jaeger'"),
        ("cache.key_headers", "accept", "'accept'"),
        ("cache.key_headers", ["a b"], "['a b']"),
        ("cache.key_headers", {"accept"}, "a value of type set"),
    ],
)
def test_a_bad_value_names_the_key_what_was_given_and_what_is_accepted(
    path: str, value: object, given_as: str
) -> None:
    section, _, name = path.partition(".")
    accepted = {path: accepts for path, accepts, _, _ in ALL}.get(path, URL)
    with pytest.raises(SettingError) as caught:
        from_code(**{section: {name: value} if name else value})
    assert str(caught.value) == f"{path}: got {given_as} from code; accepted: {accepted}"


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "1e3", "nan", "9" * 5000, "\udcff"], ids=lambda text: ascii(text[:9])
)
def test_a_bad_string_names_its_variable(text: str) -> None:
    with pytest.raises(SettingError, match=r"^ttl\.short: got '.* from APSPERF_TTL__SHORT; "):
        from_environ(APSPERF_TTL__SHORT=text)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"cache": {"drver": "x"}}, "'cache.drver' in code; the nearest is cache.driver"),
        ({"cach": {"driver": "x"}}, "'cach' in code; the nearest is cache"),
        ({"Default": "x"}, "'Default' in code; the nearest is default"),
        ({"cache.driver": "x"}, "'cache.driver' in code; the nearest is cache.driver"),
        ({"drivers": {1: "redis://h"}}, "'drivers.1' in code; the nearest is drivers"),
    ],
)
def test_an_unknown_key_names_itself_and_the_nearest(code: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"^unknown setting {re.escape(message)}$"):
        from_code(**code)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("APSPERF_CACHE_DRIVER", "APSPERF_CACHE__DRIVER"),
        ("APSPERF_cache__driver", "APSPERF_CACHE__DRIVER"),
        ("APSPERF_CACHE__DRIVER__X", "APSPERF_CACHE__DRIVER"),
        ("APSPERF_DRIVERS", "APSPERF_DRIVERS__<NAME>"),
        pytest.param("APSPERF_" + "X" * 100_000, "APSPERF_", id="long"),
    ],
)
def test_an_unknown_variable_names_itself_and_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingError, match=f"'{name[:60]}.* environment; the nearest is {nearest}"):
        from_environ(**{name: "x"})


def test_a_section_must_be_a_table_and_a_driver_name_plain() -> None:
    with pytest.raises(SettingError, match=r"^cache: got False from code; accepted: a table$"):
        from_code(cache=False)
    with pytest.raises(SettingError, match=r"^drivers: got 'Shared' from code; accepted: names"):
        from_code(drivers={"Shared": "redis://h"})


def test_importing_and_loading_brings_in_nothing_heavy() -> None:
    heavy = {"click", "tomllib", "difflib", "asyncio", "opentelemetry"}
    script = (
        "import sys; before = set(sys.modules)\n"
        "from apsperf_mw.settings import load; load(environ={}, directory='no-such-directory')\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "msgspec" in done.stdout.split()
    assert not heavy & set(done.stdout.split())
