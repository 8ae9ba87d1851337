"""A benchmark suite for 3D, 4D and 2D facial expression recognition."""

__version__ = "0.1.0"
