"""Measurements that are run from the repository by make targets; not part of the wheel."""
