"""Capacity planning: computed (never measured) costs of a program on an instance, and its placements there."""
