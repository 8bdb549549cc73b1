"""Commands for `manage.py`: `apsperf_doctor`, `apsperf_warm`, `apsperf_purge`, `apsperf_report`."""
