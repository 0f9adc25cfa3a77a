"""Several modules together: real servers, processes and command lines."""
