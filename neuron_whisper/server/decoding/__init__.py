"""Decoding of uploads in child processes."""
