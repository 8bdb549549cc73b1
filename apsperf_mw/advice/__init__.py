"""Indexes that a workload wants, each tried on the database's own planner; needs sqlglot."""
