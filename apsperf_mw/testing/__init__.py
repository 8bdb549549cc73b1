"""For tests of apps, drivers and the suite itself; needs no test framework."""
