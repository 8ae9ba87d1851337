"""Suites: the YAML files and their validation."""
