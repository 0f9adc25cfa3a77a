"""The goals of this project against its peers, measured row by row in one run."""
