"""Text: languages and tokens."""
