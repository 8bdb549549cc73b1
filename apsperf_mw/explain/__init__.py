"""Why a response was stored or reused, or was not: step by step, with where each rule stands.

Nothing is decided here: the steps ask the functions that decide.
"""
