"""How a command reaches the store of an app: over HTTP, in this process, or by the purge file."""
