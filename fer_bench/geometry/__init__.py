"""File formats, alignment, sampling and rendering of 3D faces."""
