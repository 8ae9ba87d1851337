"""The critical-difference diagrams of a leaderboard: the section of the page, and the files."""

from collections.abc import Sequence
from pathlib import Path, PurePath
from urllib.parse import quote

from fer_bench.leaderboard.mean_ranks import Ranking, ranking
from fer_bench.leaderboard.pairwise import families
from fer_bench.leaderboard.row import Row


def rank_file(name: str, protocol: str) -> str:
    """File name of a protocol's diagram."""
    return f"{name}-{protocol}-ranks.png"


def ranks_section(name: str, rows: Sequence[Row]) -> str:
    """The diagram of comparable rows, or why it is missing; empty if no rows are compared."""
    if not (family := families(rows)):
        return ""
    found = ranking(family[0])
    if isinstance(found, str):
        return f"No critical-difference diagram: {found}.\n"
    link = quote(PurePath(rank_file(name, rows[0].protocol)).name)
    return (
        f"![Mean ranks and their critical difference]({link})\n\nBlocks are {found.blocks}, each by the mean of its "
        "samples; folds share training samples, and are no blocks.\n"
    )


def draw_ranks(name: str, rows: Sequence[Row], out: Path) -> list[Path]:
    """Write the diagrams, and delete outdated ones; returns the files."""
    drawn = []
    for protocol in dict.fromkeys(row.protocol for row in rows):
        path = out / rank_file(name, protocol)
        family = families([row for row in rows if row.protocol == protocol])
        found = ranking(family[0]) if family else ""
        if isinstance(found, Ranking):
            from fer_bench.leaderboard.pages.rank_figure import draw  # matplotlib

            draw(found, path)
            drawn.append(path)
        else:
            path.unlink(missing_ok=True)
    return drawn
