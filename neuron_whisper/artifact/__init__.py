"""Artifacts: compiled programs on disk, content-addressed and checked."""
