"""What this project must reach beside its peers, measured row by row in one run."""
