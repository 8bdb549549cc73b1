"""The only place that knows threads and event loops."""
