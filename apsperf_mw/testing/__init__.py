"""For tests of apps, drivers and the suite itself. Only `drivers` needs pytest."""
