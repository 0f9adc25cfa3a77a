"""Decodes one 30 s window. Pure: no device, no clock."""
