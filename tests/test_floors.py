"""The architecture, checked on the imports of every file; docs/architecture.md draws it."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "fer_bench"
# From the top down. A package imports packages on lower floors only; those of one floor do not know each other.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands", "cards"},
    {"papers"},
    {"leaderboard"},
    {"launch", "inference", "plots"},
    {"cells"},
    {"suites"},
    {"registry"},
    {"methods", "data"},
    {"representations", "twins", "predictions"},
    {"io", "nn", "protocols", "stats"},
    {"geometry", "metrics", "records", "processes"},
    {"errors", "expressions", "yaml_text", "markdown", "terminal"},
    {"__init__"},  # the version
)
HEIGHT = {name: -floor for floor, names in enumerate(FLOORS) for name in names}
WITHOUT = {  # package -> libraries that may not be imported there
    "protocols": {"torch", "lightning"},
    "metrics": {"torch", "lightning"},
    "stats": {"torch", "lightning"},
    "io": {"torch", "lightning"},
    "predictions": {"torch", "lightning"},
    "geometry": {"lightning"},
    "nn": {"lightning"},
    "representations": {"lightning"},
    "twins": {"torch", "lightning"},
}
MAX_LINES, MAX_FILES = 300, 32
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """`launch.slurm.queue`; a package is named by its folder, and the whole by `__init__`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Full names of imported modules, those inside functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            assert node.module
            for alias in node.names:  # `from fer_bench.cells import fit` imports a module, and may import a name
                below = f"{node.module}.{alias.name}"
                known = below.removeprefix("fer_bench.") in MODULES or node.module == "fer_bench"
                yield below if known else node.module


def violations(path: Path) -> list[str]:
    """Imports of a file that its floor does not allow."""
    module = module_of(path)
    package = module.partition(".")[0]
    found = []
    for name in dict.fromkeys(imports(path)):
        library, _, rest = name.partition(".")
        if library in WITHOUT.get(package, ()):
            found.append(f"{module} imports {name}, which {package} does without")
        target = rest.partition(".")[0]
        if library == "fer_bench" and target in HEIGHT and target != package and HEIGHT[target] >= HEIGHT[package]:
            found.append(f"{module} imports {name}, which is not on a lower floor")
    return found


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of more than one module (Tarjan, 1972)."""
    order, low, stack, numbers = {}, {}, [], count()
    found: list[set[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = next(numbers)
        stack.append(module)
        for other in edges.get(module, ()):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            place = stack.index(module)
            members = {*stack[place:]}
            del stack[place:]
            if len(members) > 1:
                found.append(members)

    for module in edges:
        if module not in order:
            visit(module)
    return found


def test_the_architecture_page_draws_these_floors() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", page, re.MULTILINE)
    drawn = {name: int(floor) for floor, names in rows for name in re.findall(r"`(\w+)(?:/|\.py)`", names)}
    top = len(FLOORS) - 1
    assert drawn == {name: top + height for name, height in HEIGHT.items() if not name.startswith("__")}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_lower_floors(path: Path) -> None:
    assert module_of(path).partition(".")[0] in HEIGHT, f"{path} is on no floor"
    assert violations(path) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = {
        module: {name.removeprefix("fer_bench.") for name in imports(path)} & MODULES.keys() - {module}
        for module, path in MODULES.items()
    }
    assert sum(map(len, edges.values())) > 500
    assert circles(edges) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("metrics/bad.py", "import torch.nn"),
        ("metrics/bad.py", "from fer_bench import cells"),
        ("metrics/bad.py", "def f():\n    from fer_bench.data.base import x"),
        ("methods/bad.py", "from fer_bench.data.base import x"),  # the same floor
        ("launch/slurm/bad.py", "from fer_bench.commands import run"),
        ("terminal.py", "from fer_bench.records import digest"),
    ],
)
def test_a_forbidden_import_is_found(module: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    bad = tmp_path / module
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text(f"{line}\n")
    assert len(violations(bad)) == 1


def test_files_and_folders_stay_readable() -> None:
    long = {module: n for module, path in MODULES.items() if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}
    sizes = Counter(path.parent.relative_to(PACKAGE).as_posix() for path in FILES if path.name != "__init__.py")
    assert {folder: n for folder, n in sizes.items() if n > MAX_FILES} == {}


def test_a_name_belongs_to_one_module() -> None:
    """Modules may share a name where it is the id of a dataset or a method, whose reader, protocols, twin or network
    they are; `base` is what a package's modules extend; and a module of `cli` is named as that of `commands` which it
    calls."""
    places = defaultdict(set)
    for module, path in MODULES.items():
        if path.name != "__init__.py":
            package, _, name = module.rpartition(".")
            places[name].add(package)
    ids = {path.stem for package in ("data", "methods") for path in (PACKAGE / package).glob("*.py")}
    by_id = {"data", "protocols", "twins", "methods", "nn"}
    shared = {
        name: packages
        for name, packages in places.items()
        if len(packages) > 1 and name != "base" and packages != {"cli", "commands"}
        if not (name in ids and packages <= by_id)
    }
    assert shared == {}


def test_tests_mirror_the_package() -> None:
    """A test file for one module lies where the module lies; others are for a whole package, or at the top."""
    tests = Path(__file__).parent
    folders = {folder.relative_to(PACKAGE).as_posix() for folder in PACKAGE.rglob("*") if folder.is_dir()}
    for path in tests.rglob("test_*.py"):
        place = path.parent.relative_to(tests).as_posix()
        assert place in folders | {".", "benchmarks", "golden", "slurm"}, f"{path}: there is no fer_bench/{place}"
        homes = {
            module.rpartition(".")[0] or "."
            for module, file in MODULES.items()
            if file.name != "__init__.py" and module.rpartition(".")[2] == path.stem[5:]
        }
        if place in folders | {"."} and homes:
            assert place.replace("/", ".") in homes, f"{path} tests a module of {' or '.join(homes)}"
