"""Jobs: long files transcribed in the background, stored in a private directory that outlives the process."""
