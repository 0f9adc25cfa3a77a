"""Faults, floods and hostile clients by the hundreds; run by make targets."""
