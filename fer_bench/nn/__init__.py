"""Networks as plain torch modules: what several methods share."""
