"""A cache for the user's own data, on the drivers of the registry."""
