"""From the results of cells to rows, comparisons and ranks."""
