"""The parts of the driver contract, as tests; `apsperf_mw.testing.drivers` puts them together."""
