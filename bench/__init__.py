"""Figures, measured here: real servers in processes of their own, traffic on loopback only, everything bounded."""
