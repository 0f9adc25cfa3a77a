"""What lies in an audio file: recordings, tracks, timestamps, encryption."""
