"""What the scripts of `make perf` share: timing, a scan to time with, and the tables they write."""

from __future__ import annotations

import csv
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer_bench.geometry.scan import Scan
from fer_bench.records import atomic_write

OUT = Path(os.environ.get("FER_BENCH_PERF", "runs/perf"))
"""Folder of the tables; `make perf PERF=leaderboards` writes those that are committed."""
HEADER = ("what", "unit", "ours", "peer", "theirs", "ratio")


def seconds(work: Callable[[], object], rounds: int = 15, warm: int = 2) -> float:
    """Median time of a call, after some calls to compile and warm up."""
    times = []
    for number in range(rounds + warm):
        start = time.perf_counter()
        work()
        if number >= warm:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def against(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 15) -> tuple[float, float]:
    """Median times of two calls made in turn, so that whatever slows the machine meanwhile slows both."""
    times = [(seconds(ours, 1, 0), seconds(theirs, 1, 0)) for _ in range(rounds + 1)][1:]
    return statistics.median(mine for mine, _ in times), statistics.median(other for _, other in times)


class Row(NamedTuple):
    """A measurement of ours and of a peer that does the same; a peer of "" is none.

    Attributes:
        unit: `ms` and `mm`, of which less is better, or something a second.
    """

    what: str
    unit: str
    ours: float
    peer: str = ""
    theirs: float = float("nan")

    @classmethod
    def timed(
        cls, what: str, ours: Callable[[], object], peer: str, theirs: Callable[[], object], rounds: int = 9
    ) -> Row:
        """Ours and the peer in turn."""
        mine, other = against(ours, theirs, rounds)
        return cls(what, "ms", 1000 * mine, peer, 1000 * other)

    def cells(self) -> tuple[str, ...]:
        """As written: the ratio says how many times better ours is."""
        ratio = self.theirs / self.ours if self.unit in ("ms", "mm") else self.ours / self.theirs
        return (
            *(self.what, self.unit, f"{self.ours:.4g}"),
            *((self.peer, f"{self.theirs:.4g}", f"{ratio:.2f}") if self.peer else ("", "", "")),
        )


def write_tables(name: str, title: str, conditions: str, rows: Iterable[Row]) -> None:
    """Print each row as it is measured, and write <name>.{csv,md} at the end."""
    cells = []
    for row in rows:
        cells.append(row.cells())
        print(" | ".join(filter(None, cells[-1])), flush=True)
    write_csv(OUT / f"{name}.csv", HEADER, cells)
    lines = [
        f"# {title}",
        "",
        f"Made by `make perf`. Medians of one run, each peer in the same run; {conditions}. The ratio says how many",
        "times better ours is: faster, or nearer to the truth.",
        "",
        f"Machine: {machine()}.",
        "",
        f"| {' | '.join(HEADER)} |",
        f"|{'---|' * len(HEADER)}",
        *(f"| {' | '.join(row)} |" for row in cells),
        "",
    ]
    with atomic_write(OUT / f"{name}.md") as file:
        file.write("\n".join(lines).encode())


def height_field(vertices: int) -> Scan:
    """A domed, rough surface of a square number of vertices, twice as many triangles, and texture coordinates."""
    side = round(vertices**0.5)
    axis = np.linspace(-90, 90, side)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    z = 40 - (x**2 + y**2) / 250 + np.random.default_rng(0).normal(0, 0.5, x.size)
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]).astype(np.int32)
    uv = np.column_stack([x, y]).astype(np.float32) / 180 + 0.5
    return Scan(np.column_stack([x, y, z]).astype(np.float32), triangles, uv=uv)


def machine() -> str:
    """What it was measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in (Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else [])
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table under a temporary name first."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(table.getvalue().encode())
