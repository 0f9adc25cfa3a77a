"""What the headers of a file promise, before a demuxer reserves memory for it."""
