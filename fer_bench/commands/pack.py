"""The commands that put finished cells into one file, and take them out again."""

from pathlib import Path

from fer_bench.commands.options import load_suite
from fer_bench.errors import FerBenchError
from fer_bench.leaderboard import archive
from fer_bench.terminal import console


def pack(suite_name: str, settings: list[str], runs: Path, out: Path) -> None:
    """Write `<out>/<suite>.zip`, and print how many cells it holds."""
    name, suite = load_suite(suite_name, settings, arguments=False)
    path = out / f"{name}.zip"
    total = sum(1 for _ in suite.identities())
    if count := archive.pack(name, suite, runs, path):
        size = path.stat().st_size / 1000
        console.print(f"packed {count} of {total} cells: {path}, {size:,.0f} kB", highlight=False, soft_wrap=True)
    else:
        raise FerBenchError(
            f"none of {total} cells below {runs / name} is done and trained here; nothing was written. "
            "Name the folder of all runs with --runs."
        )


def unpack(path: Path, runs: Path) -> None:
    """Write the cells of a file below `runs`, and print how many are new."""
    count = archive.unpack(path, runs)
    console.print(f"{count} cells from {path} are new below {runs}", highlight=False, soft_wrap=True)
