"""Error rates and speed over a manifest of recordings."""
