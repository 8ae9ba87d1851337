"""From a suite to a leaderboard: registry, suite, cell, fit, score, launch, store, statistics, leaderboard."""
