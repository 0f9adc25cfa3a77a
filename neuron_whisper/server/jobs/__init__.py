"""Jobs: long files transcribed in the background, kept in a private directory that outlives the process."""
