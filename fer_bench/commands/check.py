"""`fer-bench data check DATASET`: what a dataset's folder holds, and what can be run on it."""

from __future__ import annotations

import json
from pathlib import Path

from fer_bench import registry
from fer_bench.data.layouts import find_root
from fer_bench.processes import fork_server
from fer_bench.terminal import console


def check(name: str, root: Path | None, names_only: bool, workers: int, as_json: bool) -> int:
    """Tell what a dataset's folder holds and what can be run on it; returns the exit code."""
    module, folder = registry.dataset_module(name), find_root(name, root)
    if workers > 1 and not names_only:
        fork_server(module)
    from fer_bench.commands import display
    from fer_bench.commands.doctor_page import page
    from fer_bench.data.doctor import diagnose

    dataset = registry.load_dataset(name)
    if as_json:
        diagnosis = diagnose(dataset, folder, read=not names_only, workers=workers)
        print(json.dumps(diagnosis.to_json(), indent=2, ensure_ascii=False))
        return diagnosis.exit_code
    with display.reported(console, f"reading {name}") as report:
        diagnosis = diagnose(dataset, folder, read=not names_only, workers=workers, progress=report)
    for line in page(diagnosis):
        console.print(line, highlight=False, soft_wrap=True)
    return diagnosis.exit_code
