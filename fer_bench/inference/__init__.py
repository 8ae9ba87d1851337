"""Trained networks on new inputs: prediction and export."""
