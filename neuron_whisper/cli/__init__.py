"""The command line face: one command per file."""
