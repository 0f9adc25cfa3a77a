"""The reference target: plain PyTorch, which every other target is tested against."""
