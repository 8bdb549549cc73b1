"""Observers of requests, and the one exporter behind them."""
