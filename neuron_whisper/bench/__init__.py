"""Measurements: error rates, parity, speed."""
