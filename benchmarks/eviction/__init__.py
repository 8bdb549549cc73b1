"""How well the memory driver's eviction does, on traces of real requests."""
