"""The figures of papers, drawn from results."""
