"""A leaderboard as Markdown, CSV, LaTeX and figures."""
