"""What the suite costs, measured against the bare app: `python -m benchmarks`."""
