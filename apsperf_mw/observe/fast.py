"""OpenTelemetry's OTLP exporters, given spans in bytes where they can take them."""

from __future__ import annotations

from os import environ
from typing import TYPE_CHECKING, Any

from apsperf_mw.observe.environment import longest_value, old_names
from apsperf_mw.observe.otlp import Encoder, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apsperf_mw.observe.ring import Record
    from apsperf_mw.observe.spans import Shown

    Readable = Callable[[Sequence[Record]], Any]


def fast(exporter: Any, shown: Shown) -> Any:
    """The exporter with a shorter way, or itself where its release does not offer one."""
    if old_names(environ) or longest_value(environ):
        return exporter  # which gets both names, or short values, in the SDK's form
    client = getattr(exporter, "_client", None)
    if callable(getattr(client, "export", None)):
        return FastHTTP(exporter, shown)
    if callable(getattr(exporter, "_translate_data", None)):
        return FastGRPC(exporter, shown)
    return exporter


class Fast:
    """Keeps the encoder, which needs a span of the SDK's to begin with."""

    def __init__(self, exporter: Any, shown: Shown) -> None:
        self._exporter = exporter
        self._shown = shown
        self._encoder: Encoder | None = None

    def encode(self, records: Sequence[Record], readable: Readable) -> bytes:
        """The records as an OTLP request."""
        if self._encoder is None:
            self._encoder = Encoder(*surroundings(readable(records[:1])), self._shown)
        return self._encoder(records)

    def shutdown(self) -> None:
        """Let the exporter go."""
        self._exporter.shutdown()


class FastHTTP(Fast):
    """Hands the bytes to the exporter's client: endpoint, fields, retries are the exporter's."""

    def take(self, records: Sequence[Record], readable: Readable) -> Any:
        """Export the records."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        sent = self._exporter._client.export(self.encode(records, readable))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


class FastGRPC(Fast):
    """Has the exporter's own translation replaced by ours; the rest is the exporter's."""

    def __init__(self, exporter: Any, shown: Shown) -> None:
        super().__init__(exporter, shown)
        self._readable: Readable | None = None
        exporter._translate_data = self._translate

    def take(self, records: Sequence[Record], readable: Readable) -> Any:
        """Export the records."""
        self._readable = readable
        return self._exporter.export(records)

    def _translate(self, records: Sequence[Record]) -> Any:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        assert self._readable is not None
        return ExportTraceServiceRequest.FromString(self.encode(records, self._readable))
