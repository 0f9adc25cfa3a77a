"""The server's settings: declared once, read from flags, environment and a TOML file."""
