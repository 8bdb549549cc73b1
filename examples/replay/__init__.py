"""The demo's parts: the workload, the servers, the load client, the OTLP sink, the report."""
