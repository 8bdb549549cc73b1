"""Which of Django's cache tests are not for this back end, and which cannot pass, and why."""

from __future__ import annotations

# Of Django's other back ends and what is inside them, by the beginning of the class's name.
OTHERS = (
    "LocMemCacheTests",
    "DBCache",
    "CreateCacheTable",
    "FileBased",
    "PyLibMC",
    "PyMemcache",
    "RedisCacheTests",
)
MODELS = "it keeps a model or a query set, which is an object of any class: only pickle can"
PICKLE = "it expects the error of pickle; ours names the type"
BOUNDS = "MAX_ENTRIES culls nothing here: the driver has bounds of its own, in bytes"
INSIDE = "it looks into the local-memory cache"
EXPECTED: dict[str, str] = {
    "test_add_fail_on_pickleerror": PICKLE,
    "test_cache_read_for_model_instance": MODELS,
    "test_cache_read_for_model_instance_with_deferred": MODELS,
    "test_cache_write_for_model_instance_with_deferred": MODELS,
    "test_caches_set_with_timeout_as_none_set_non_expiring_key": INSIDE,
    "test_caches_with_unset_timeout_set_expiring_key": INSIDE,
    "test_cull": BOUNDS,
    "test_data_types": "two of its values, a function and a class, are code: only pickle can",
    "test_set_fail_on_pickleerror": PICKLE,
    "test_zero_cull": BOUNDS,
}
