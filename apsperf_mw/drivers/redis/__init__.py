"""The Redis driver: one server, a cluster or sentinels, for threads and for tasks."""

from apsperf_mw.drivers.redis.driver import RedisDriver as RedisDriver

__all__ = ["RedisDriver"]
