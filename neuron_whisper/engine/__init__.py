"""The slot engine: continuous batching of windows."""
