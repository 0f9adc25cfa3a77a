"""Models: names, checkpoints, dimensions, sharding."""
