"""HTTP field values: bytes in, values out. Pure; no parser here raises, whatever the bytes."""
