"""Audio: files to samples to log-mel windows."""
