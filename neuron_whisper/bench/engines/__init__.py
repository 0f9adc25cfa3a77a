"""This system and its peers behind one interface."""
