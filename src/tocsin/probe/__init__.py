"""Probes: places far from the server that run its checks. Both ends of the wire, each at the mercy of the other."""
