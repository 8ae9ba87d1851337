"""Prediction files: reading, pooling, fusing and evaluating them."""
