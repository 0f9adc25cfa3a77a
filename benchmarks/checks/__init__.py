"""Texts and times against recordings whose timeline is known."""
