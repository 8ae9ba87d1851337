"""Inputs of methods: each representation maps a `Scan` to an array of fixed shape."""
