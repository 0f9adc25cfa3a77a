"""Targets: where the program runs, behind one contract."""
