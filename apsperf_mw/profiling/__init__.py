"""Profiles on demand: of one request, or of a worker for some seconds."""
