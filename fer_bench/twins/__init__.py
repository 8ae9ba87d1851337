"""Synthetic faces in each dataset's native layout: a file a dataset, each with `write_twin`."""
