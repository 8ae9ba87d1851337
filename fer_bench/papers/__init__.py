"""Published numbers and claims, beside measured ones."""
