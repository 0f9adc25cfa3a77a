"""Decoder processes: files of strangers are decoded where a limit or a crash ends one file, not the server."""
