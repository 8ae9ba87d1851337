"""The architecture, held by a walk over the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fer_bench"
FLOORS = {
    "__init__": 0,
    "records": 0,
    "expressions": 0,
    "errors": 0,
    "processes": 0,
    "protocols": 1,
    "metrics": 1,
    "geometry": 1,
    "nn": 1,
    "representations": 2,
    "data": 3,
    "twins": 3,
    "methods": 3,
    "cells": 4,
    "cli": 5,
    "cli_data": 5,
    "cli_models": 5,
    "cli_papers": 5,
    "cli_protocol": 5,
    "__main__": 6,
}
# On one floor, these may not know each other; everything else on a floor is one folder's own business.
STRANGERS = {"data", "twins", "methods"}
WITHOUT = {  # folder -> packages that may not be imported there
    "protocols": {"torch", "lightning"},
    "metrics": {"torch", "lightning"},
    "geometry": {"lightning"},
    "nn": {"lightning"},
    "representations": {"lightning"},
    "twins": {"torch", "lightning"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The folder or module directly below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            assert node.module
            whole = node.module == "fer_bench"  # `from fer_bench import data` names the module second
            yield from (f"fer_bench.{alias.name}" for alias in node.names) if whole else [node.module]


def violations(path: Path) -> list[str]:
    here = part(path)
    found = []
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top in WITHOUT.get(here, ()):
            found.append(f"{path.name} imports {name}")
        target = rest.partition(".")[0]
        if top != "fer_bench" or target not in FLOORS or target == here:
            continue
        higher = FLOORS[target] > FLOORS[here]
        neighbours = FLOORS[target] == FLOORS[here] and {target, here} <= STRANGERS
        if higher or neighbours:
            found.append(f"{path.name} (floor {FLOORS[here]}) imports {name} (floor {FLOORS[target]})")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_lower_floors(path: Path) -> None:
    assert part(path) in FLOORS, f"{path} stands on no floor"
    assert violations(path) == []


def test_the_walk_sees_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    bad = tmp_path / "metrics" / "bad.py"
    bad.parent.mkdir()
    bad.write_text("import torch.nn\nfrom fer_bench import bench\ndef f():\n    from fer_bench.data.base import x\n")
    assert len(violations(bad)) == 3


def test_files_stay_readable() -> None:
    too_long = [path.name for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 350]
    assert too_long == []
