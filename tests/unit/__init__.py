"""One test file for each module, in the package's own folders."""
