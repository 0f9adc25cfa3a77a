"""Several models behind one server: names, loading, unloading."""
