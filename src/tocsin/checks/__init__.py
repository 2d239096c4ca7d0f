"""Check types: the registry, and `run`, which owns timing, timeout, assertions and errors."""
