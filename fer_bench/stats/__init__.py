"""Intervals, the bootstrap, power, and units."""
