"""Pages about methods, datasets and protocols, and the lists of `fer-bench list`."""
