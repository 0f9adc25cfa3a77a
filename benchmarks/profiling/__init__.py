"""How near the machine's limits the program runs."""
