"""What a running server costs, and requests to it."""
