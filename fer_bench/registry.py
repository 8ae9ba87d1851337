"""Finds components by their files: a method or dataset is one file, and the file name is its id."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from fer_bench.errors import FerBenchError, InvalidSuite, UnknownName
from fer_bench.protocols import PROTOCOLS, Protocol
from fer_bench.yaml_text import read_yaml

if TYPE_CHECKING:
    from fer_bench.data.base import FaceDataModule
    from fer_bench.methods.base import Method
    from fer_bench.representations.base import Representation
    from fer_bench.twins.base import TwinWriter

_BASES = {"methods": "Method", "data": "FaceDataModule", "representations": "Representation"}


def methods() -> list[str]:
    """Ids of all methods, without importing any."""
    return _components("methods")


def datasets() -> list[str]:
    """Ids of all datasets that have a reader, without importing any."""
    return _components("data")


def twins() -> list[str]:
    """Ids of all datasets that have a twin."""
    twin_files = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "twins")])}
    return [name for name in datasets() if name in twin_files]


def load_method(name: str, where: str = "") -> type[Method]:
    """The method of an id; raises `UnknownName` with the near misses."""
    if name not in methods():
        raise UnknownName("method", name, methods(), where)
    from fer_bench.methods.base import Method

    return _only_subclass("methods", name, Method)


def representations() -> list[str]:
    """Names of all representations, without importing any."""
    return _components("representations")


def dataset_module(name: str, where: str = "") -> str:
    """The module of a dataset's reader, which is not imported; raises `UnknownName` with the near misses."""
    if name not in datasets():
        raise UnknownName("dataset", name, datasets(), where)
    return f"fer_bench.data.{name}"


def load_dataset(name: str, where: str = "") -> type[FaceDataModule]:
    """The dataset of an id; raises `UnknownName` with the near misses."""
    dataset_module(name, where)
    from fer_bench.data.base import FaceDataModule

    return _only_subclass("data", name, FaceDataModule)


def card(package: str, name: str) -> str:
    """The docstring of a method or dataset, read from its source: nothing heavy is imported for a list."""
    return inspect.cleandoc(_docstrings(package)[name])


def headline(package: str, name: str) -> str:
    """The first line of a method's or dataset's file: its name and source."""
    source = _sources(package)[name].read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def ships(method: str) -> bool:
    """Whether a method comes with the package, and not from the folder that FER_BENCH_METHODS names."""
    return _sources("methods")[method].parent == Path(__file__).parent / "methods"


def recipe_epochs(method: str) -> int:
    """Length of the training that a method's own recipe asks for, all stages together: the default of `epochs` in its
    constructor, read from its source, so that a table of results needs no torch."""
    for node in ast.walk(ast.parse(_sources("methods")[method].read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            named = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            for argument, default in zip(named, node.args.defaults, strict=True):
                if argument.arg == "epochs":
                    found = ast.literal_eval(default)
                    return sum(found) if isinstance(found, (list, tuple)) else int(found)
    raise TypeError(f"{method}: the constructor of a method has `epochs` with a default")


def load_twin(name: str) -> TwinWriter:
    """The writer of a dataset's twin; raises `UnknownName`."""
    if name not in twins():
        raise UnknownName("twin", name, twins())
    writer: TwinWriter = importlib.import_module(f"fer_bench.twins.{name}").write_twin
    return writer


def representation_class(name: str, where: str = "") -> type[Representation]:
    """The representation of a name; raises `UnknownName` with the near misses."""
    if name not in representations():
        raise UnknownName("representation", name, representations(), where)
    from fer_bench.representations.base import Representation

    return _only_subclass("representations", name, Representation)


def load_representation(text: str) -> Representation:
    """A representation from its spelling on the command line: `views`, `points:count=1024`, `views:size=64;yaws=[0]`.

    Raises:
        UnknownName: the representation or a parameter does not exist.
        InvalidSuite: the value of a parameter does not fit.
    """
    name, _, parameters = text.partition(":")
    chosen = representation_class(name, "--representation")
    fields = [field.name for field in dataclasses.fields(chosen)]
    values = {}
    for part in filter(None, parameters.split(";")):
        key, _, value = part.partition("=")
        if key not in fields:
            raise UnknownName(f"parameter of {name}", key, fields, "--representation")
        try:
            read = read_yaml(value)
        except yaml.YAMLError:
            raise InvalidSuite(f"--representation {text}: the value of {key} is not readable.") from None
        values[key] = tuple(read) if isinstance(read, list) else read
    try:
        built: Representation = chosen(**values)
    except TypeError:  # a word where a number belongs
        raise InvalidSuite(f"--representation {text}: a value is of the wrong kind; see docs/data.md.") from None
    return built


def find_protocol(name: str, where: str = "") -> Protocol:
    """The protocol of an id; raises `UnknownName` with the near misses."""
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS, where)
    return PROTOCOLS[name]


def benchmarks_folder() -> Path:
    """The suites that come with the package: `benchmarks/` of a checkout, or its copy in an installed package."""
    package = Path(__file__).parent
    installed = package / "_benchmarks"
    return installed if installed.is_dir() else package.parent / "benchmarks"


def suites() -> dict[str, Path]:
    """Name -> file of the suites that come with the package: `quickstart`, `mit/table1`."""
    folder = benchmarks_folder()
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}


def find_suite(name: str) -> tuple[str, Path]:
    """(name, file) of a suite named like `mit/table1`, or by the path of a YAML file anywhere."""
    known = suites()
    if name in known:
        return name, known[name]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        for suite, file in known.items():
            if file.resolve() == path.resolve():
                return suite, file
        return path.stem, path
    if path.suffix in {".yaml", ".yml"} and path.with_suffix("").as_posix() not in known:
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise FerBenchError(f"{name}: {what}; name a suite's YAML file, or one of `fer-bench list suites`.")
    raise UnknownName("suite", name, known)


def _components(package: str) -> list[str]:
    return sorted(_docstrings(package))


@cache
def _docstrings(package: str) -> dict[str, str]:
    """Stem -> docstring of the component, for each file that defines one; sources are read, nothing is imported."""
    found = {}
    for path in _sources(package).values():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and _BASES[package] in {
                b.id for b in node.bases if isinstance(b, ast.Name)
            }:
                found[path.stem] = ast.get_docstring(node) or ""
    return found


def _sources(package: str) -> dict[str, Path]:
    """Stem -> file of what may define a component: those of the package and, of methods, those in the folder that
    FER_BENCH_METHODS names."""
    files = {path.stem: path for path in (Path(__file__).parent / package).glob("*.py")}
    if package != "methods" or not (named := os.environ.get("FER_BENCH_METHODS")):
        return files
    folder = Path(named)
    if not folder.is_dir():
        raise FerBenchError(f"FER_BENCH_METHODS: {folder} is no folder; name the one that holds your methods.")
    for path in sorted(folder.glob("*.py")):
        if path.stem in files:
            raise FerBenchError(f"{path}: {path.stem} is a method of fer_bench; give yours another name.")
        try:
            ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError) as error:
            raise FerBenchError(f"{path}: is not Python ({error}).") from None
        files[path.stem] = path
    return files


def _import(package: str, name: str) -> ModuleType:
    path = _sources(package)[name]
    if path.parent == Path(__file__).parent / package:
        return importlib.import_module(f"fer_bench.{package}.{name}")
    full = f"fer_bench_own_methods.{name}"
    if full in sys.modules:
        return sys.modules[full]
    spec = importlib.util.spec_from_file_location(full, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[full] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[full]
        raise
    return module


def _only_subclass(package: str, name: str, base: type) -> Any:
    module = _import(package, name)
    found = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, base) and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} must define exactly one subclass of {base.__name__}, not {len(found)}")
    return found[0]
