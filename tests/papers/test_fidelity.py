"""The elements of each system: every statement `equal` names a test that exists."""

import ast
from pathlib import Path

import pytest
import yaml

from fer_bench.errors import InvalidFile
from fer_bench.papers.fidelity import Fidelity, page, read_fidelity
from fer_bench.papers.published import papers

ROOT = Path(__file__).parents[2]
ELEMENT = {"group": "equation", "element": "eq. 1", "paper": "p", "code": "-", "here": "h", "state": "equal"}


def test_every_system_has_a_page() -> None:
    assert set(read_fidelity()) == set(papers())


@pytest.mark.parametrize("paper", papers())
def test_what_is_equal_names_tests_that_exist(paper: str) -> None:
    fidelity = read_fidelity()[paper]
    assert len(fidelity.elements) >= 30
    for element in fidelity.elements:
        for test in element.tests:
            path, _, name = test.partition("::")
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert name.partition("[")[0] in names, f"{paper}, {element.element}: there is no {test}"


def test_the_readme_shows_the_totals() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for paper, fidelity in read_fidelity().items():
        counts = " | ".join(str(count) for count in fidelity.totals.values())
        assert f"| [{paper}](docs/fidelity/{paper}.md) | {counts} |" in readme


def test_a_page_has_a_table_for_each_group() -> None:
    fidelity = Fidelity.model_validate({"sources": ["s"], "elements": [{**ELEMENT, "test": "tests/x.py::test_y"}]})
    text = page("mit", fidelity)
    assert "1 elements: 1 equal." in text
    assert "## Equation\n\n| Element | Paper |" in text
    assert "| eq. 1 | p | - | h | equal; `tests/x.py::test_y` |" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [({}, "no test is named"), ({"state": "departs"}, "departs needs a reason"), ({"state": "same"}, "state")],
)
def test_a_statement_without_support_is_refused(change: dict[str, str], message: str, tmp_path: Path) -> None:
    content = {"sources": ["s"], "elements": [{**ELEMENT, **change}]}
    (tmp_path / "mit_fidelity.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "mit_notes.yaml").write_text("title: MiT\n")
    with pytest.raises(InvalidFile, match=message):
        read_fidelity(tmp_path)
