"""Every error that the suite raises on purpose."""

from __future__ import annotations


class APSPerfError(Exception):
    """The base of all errors raised by the suite."""


class SettingError(APSPerfError, ValueError):
    """A setting is unknown or has a value that is not accepted; raised at set-up only."""


class DriverError(APSPerfError):
    """A driver cannot be made or cannot serve."""


class PurgeError(APSPerfError):
    """A purge was not carried out everywhere; the text says where it was, and where not."""


class UnknownDriver(DriverError, LookupError):
    """No driver is registered under this name or URL scheme."""


class DriverDown(DriverError):
    """A driver's server does not answer; while it is known not to, this is raised at once."""


class LazyLoad(APSPerfError):
    """Something is loaded lazily where that is refused; the message says what to type instead."""


class AdviceError(APSPerfError):
    """No advice can be given on this database; the message says what is missing."""


class BatchError(APSPerfError):
    """A chunk of rows was not written; the message names the first row that cannot be."""
