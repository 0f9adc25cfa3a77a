"""Artifacts in repositories of the Hugging Face hub: pushed whole, pulled whole and checked."""
