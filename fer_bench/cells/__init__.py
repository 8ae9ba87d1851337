"""One cell: training, scoring, and everything that is kept in its folder."""
