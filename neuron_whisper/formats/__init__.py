"""Output formats of a transcript."""
