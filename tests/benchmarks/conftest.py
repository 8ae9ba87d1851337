"""The script that runs papers, as a module."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2]


@pytest.fixture
def papers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`benchmarks/papers.py`, which is run in the checkout."""
    monkeypatch.chdir(FOLDER)
    spec = importlib.util.spec_from_file_location("papers", FOLDER / "benchmarks" / "papers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
