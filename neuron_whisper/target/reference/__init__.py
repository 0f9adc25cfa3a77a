"""The reference target: plain PyTorch, the oracle of every other."""
