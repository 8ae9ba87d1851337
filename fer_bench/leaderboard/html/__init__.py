"""The HTML report of a suite: one file that opens from disk, without network."""
