"""Other people's clients and tools against a running server: `make conformance`, with an environment of its own."""
