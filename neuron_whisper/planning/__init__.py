"""What a program costs on an instance, and how to place it there; computed, not measured."""
