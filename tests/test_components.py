"""One file over every method, dataset, twin, representation, protocol and suite, by what each can do, never by name."""

import inspect
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from fer_bench import registry
from fer_bench.cards.describe import KINDS, listing
from fer_bench.commands.check import page
from fer_bench.data.doctor import diagnose
from fer_bench.errors import DatasetNotFound, FerBenchError
from fer_bench.geometry.alignment import align
from fer_bench.geometry.render import render_views
from fer_bench.geometry.scan import Scan
from fer_bench.launch.descriptions import Unsuitable, describe
from fer_bench.papers.published import papers, read_paper
from fer_bench.protocols import PROTOCOLS as ALL_PROTOCOLS
from fer_bench.records import INDEX_COLUMNS, TWIN_MARKER, read_json
from fer_bench.representations.base import Representation
from fer_bench.representations.cache import prepare
from fer_bench.representations.sample_source import Source
from fer_bench.suites.arguments import resolve_arguments, total_epochs
from fer_bench.suites.reading import read_suite
from tests.small_methods import MADE_FOR, OFFERS, TARGETS, attached, batch_for, build, small, training_for

METHODS, DATASETS, TWINS = registry.methods(), registry.datasets(), registry.twins()
PROTOCOLS, SUITES = sorted(ALL_PROTOCOLS), sorted(registry.suites())
# Every layout of every twin, and the first by the twin's name alone.
LAYOUTS = [
    f"{name}:{layout}" if number else name
    for name in TWINS
    for number, layout in enumerate(registry.load_twin(name).layouts)
]
REPRESENTATIONS = registry.representations()
PEOPLE = 2


def test_there_is_something_of_every_kind() -> None:
    assert all((METHODS, DATASETS, TWINS, PROTOCOLS, SUITES))


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_constructor_is_its_configuration(name: str) -> None:
    method = registry.load_method(name)
    parameters = list(inspect.signature(method.__init__).parameters.values())
    assert parameters[1].name == "target"
    for parameter in parameters[2:]:
        assert parameter.default is not parameter.empty, f"{parameter.name} needs the paper's value as its default"
        assert parameter.annotation is not parameter.empty
    named = {p.name for p in parameters}
    assert "epochs" in named and named & {"batch_size", "batch_sizes"}
    assert registry.card("methods", name) == inspect.getdoc(method)
    assert registry.recipe_epochs(name) == total_epochs(resolve_arguments(name, {"method": name}, "")[1])


@pytest.mark.parametrize(("name", "task"), MADE_FOR)
def test_a_method_at_the_papers_size_can_be_described(name: str, task: str) -> None:
    _, arguments = resolve_arguments(name, {"method": name}, "")
    taken = {kind for r in build(name, task).representations for kind in r.takes}
    offered = next(offer for offer in OFFERS if offer & taken)
    described = describe(name, arguments, TARGETS[task], [offered])
    assert isinstance(described.representation, Representation)
    assert described.parameters is None or (described.parameters > 0) == (total_epochs(arguments) > 0)
    assert not described.unsound, "no default may be unsound"
    with pytest.raises(Unsuitable, match=f"^{name} takes a .* and the data offer smell$"):
        describe(name, arguments, TARGETS[task], [frozenset({"smell"})])


@pytest.mark.parametrize(("name", "task"), MADE_FOR)
def test_a_method_learns_and_predicts(name: str, task: str) -> None:
    method = build(name, task)
    batch = batch_for(method, 4)
    method.setup_from_training_set(training_for(method))
    for stage in method.stages if method.epochs else ():
        method.on_stage_start(stage)
        method.train()
        loss = method.loss(batch)
        assert loss.shape == ()
        loss.backward()
        without = [key for key, p in method.named_parameters() if p.requires_grad and p.grad is None]
        assert without == [], "parameters that no gradient reaches break training on several devices"
        method.zero_grad()
    method.eval()
    with torch.inference_mode():
        together = method(batch["input"])
        alone = torch.cat([method(batch["input"][i : i + 1]) for i in range(4)])
    assert together.shape[1:] == ((len(method.target.outputs),) if method.target.outputs else batch["input"].shape[1:])
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    with torch.inference_mode():
        saved = method.predict(batch["input"])
    first = "output" if method.target.outputs else "reconstruction" if "reconstruction" in saved else "identity"
    assert torch.equal(saved[first], together)
    assert all(len(value) == 4 for value in saved.values())


@pytest.mark.parametrize(("name", "task"), MADE_FOR)
def test_a_methods_weights_are_read_back_as_plain_tensors(name: str, task: str, tmp_path: Path) -> None:
    method = build(name, task)
    torch.save(method.state_dict(), tmp_path / "weights.pt")
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    again = attached(registry.load_method(name)(TARGETS[task], **small(name)))
    again.load_state_dict(state)
    for key, value in method.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_has_a_card(name: str) -> None:
    card = registry.card("data", name)
    assert card == inspect.getdoc(registry.load_dataset(name))
    for part in ("What:", "On disk:", "Classes:", "Splits:", "Licence and how to obtain:", "Cite:", "Uncertain:"):
        assert part in card


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_that_is_not_there_says_what_to_do(name: str, tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetNotFound) as caught:
            registry.load_dataset(name).index(root)
        message = str(caught.value)
        assert str(root) in message
        assert "\n" not in message
        assert registry.load_dataset(name).obtain in message
        assert f"fer-bench data twin {name}" in message


class TwinRoots(dict[str, Path]):
    """One of `LAYOUTS` -> its folder, written when it is first asked for, by whichever test process asks first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, twin: str) -> Path:
        name, _, layout = twin.partition(":")
        folder = self.folder / f"{name}{layout}"
        with FileLock(self.folder / f"{folder.name}.lock"):
            if not folder.exists():
                registry.load_twin(name)(folder, subjects=PEOPLE, seed=1, layout=layout or None)
        self[twin] = folder
        return folder


@pytest.fixture(scope="session")
def twin_roots(tmp_path_factory: pytest.TempPathFactory) -> TwinRoots:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "twins"
    folder.mkdir(exist_ok=True)
    return TwinRoots(folder)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_read_by_the_datasets_own_reader(name: str, twin_roots: dict[str, Path]) -> None:
    dataset, root = registry.load_dataset(name), twin_roots[name]
    index = dataset.index(root)
    assert tuple(index.columns) == INDEX_COLUMNS
    assert index["subject"].nunique() in (PEOPLE, 0), "photographs from the web name nobody"
    assert index["id"].is_monotonic_increasing
    assert (root / TWIN_MARKER).is_file()
    assert dataset.source(root).provenance.startswith("twin-")
    assert dataset.survey(root).index.equals(index), "the index is a function of the folder"


@pytest.mark.parametrize("twin", LAYOUTS)
def test_the_doctor_finds_every_fault_of_a_twin(twin: str, twin_roots: dict[str, Path]) -> None:
    diagnosis = diagnose(registry.load_dataset(twin.partition(":")[0]), twin_roots[twin])
    told = json.dumps(diagnosis.to_json(), ensure_ascii=False)
    for fault in read_json(twin_roots[twin] / TWIN_MARKER)["quirks"]:
        named = [word.strip(".:,") for word in fault.split() if re.search(r"\d\d|[_/]\d", word)]  # files have numbers
        assert named, fault
        assert any(part in told or Path(part).stem in told for part in named), f"{fault}\n{told}"
    assert diagnosis.protocols
    assert not any("seem" in finding.text for finding in diagnosis.findings), told
    assert list(page(diagnosis))


@pytest.mark.parametrize("name", ["bu3dfe", "rafdb"])
def test_a_twin_is_never_taken_for_the_dataset_wherever_the_root_is(
    name: str, twin_roots: dict[str, Path], tmp_path: Path
) -> None:
    dataset, root = registry.load_dataset(name), twin_roots[name]
    known = dataset.source(root).provenance
    (tmp_path / "wrapper" / "inside").mkdir(parents=True)
    (tmp_path / "wrapper" / "inside" / "a link").symlink_to(root)
    below = root / ("F0001" if name == "bu3dfe" else "basic")
    for place in (tmp_path / "wrapper", below):
        assert dataset.source(place).provenance == known
        assert diagnose(dataset, place, read=False).provenance == known


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_says_what_it_offers(name: str) -> None:
    write_twin = registry.load_twin(name)
    assert write_twin.dataset == name
    assert 1 <= write_twin.default_subjects <= write_twin.max_subjects
    assert len(set(write_twin.layouts)) == len(write_twin.layouts) >= 1
    with pytest.raises(FerBenchError, match="--subjects"):
        write_twin(Path("nowhere"), subjects=write_twin.max_subjects + 1)
    with pytest.raises(FerBenchError, match="--layout"):
        write_twin(Path("nowhere"), layout="other")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("twin", TWINS)
def test_a_methods_representation_is_extracted_from_a_twin_or_refused(
    name: str, twin: str, twin_roots: dict[str, Path]
) -> None:
    dataset = registry.load_dataset(twin)
    _, arguments = resolve_arguments(name, {"method": name, **small(name)}, "")
    target = TARGETS[registry.load_method(name).tasks[0]]
    try:
        representation = describe(name, arguments, target, [dataset.offers(twin_roots[twin])]).representation
    except Unsuitable:
        return
    source = dataset.source(twin_roots[twin])
    bound = representation.bind(source, dataset.load)
    scans = {place: dataset.load(source.root, source.files[place]) for place in (0, len(source.files) - 1)}
    items = [bound.extract(place, scan)[0] for place, scan in scans.items()]
    for item in items:
        assert (item.shape[1:] if representation.many else item.shape) == representation.shape
        assert item.dtype == representation.dtype
        assert np.isfinite(item.astype(float)).all()
        assert item.std() > 0
    assert not np.array_equal(*items)


@pytest.mark.parametrize("name", REPRESENTATIONS)
@pytest.mark.parametrize("twin", TWINS)
def test_a_representation_is_extracted_from_a_twin_or_refused(
    name: str, twin: str, twin_roots: dict[str, Path], tmp_path: Path
) -> None:
    dataset, root = registry.load_dataset(twin), twin_roots[twin]
    representation, offered = registry.load_representation(name), dataset.offers(root)
    assert representation.takes
    try:
        representation = representation.resolve(offered)
    except FerBenchError as error:
        assert not offered.intersection(representation.takes)
        assert str(error).startswith(f"{name}: needs a dataset with ")
        return
    assert offered.intersection(representation.takes)
    whole = dataset.source(root)
    ids, files = ((each[0], each[-1]) for each in (whole.ids, whole.files))
    source = Source(whole.dataset, root, whole.provenance, ids, files)
    (entry,) = prepare(tmp_path, source, [representation], dataset.load)
    array = entry.open()
    assert array.shape[1:] == representation.bind(source, dataset.load).shape
    assert array.dtype == representation.dtype
    assert np.isfinite(array.astype(float)).all()
    assert array[0].std() > 0
    assert entry.verify() == []
    picture = representation.picture(array[0])
    assert picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.std() > 0
    assert not np.array_equal(array[0], array[-1])


@pytest.mark.parametrize("twin", LAYOUTS)
def test_a_positive_yaw_shows_the_left_cheek_of_a_face_that_is_not_mirrored(
    twin: str, twin_roots: dict[str, Path]
) -> None:
    dataset, root = registry.load_dataset(twin.partition(":")[0]), twin_roots[twin]
    if not dataset.offers(root) & {"mesh", "sequence"}:
        pytest.skip("photographs have no side to turn")
    sample = dataset.load(root, dataset.source(root).files[-1])
    scan = align(sample if isinstance(sample, Scan) else sample[0])
    corners = scan.vertices[scan.triangles]
    front = np.abs(corners[:, :, :2].mean(axis=1) - [0, 10]).max(axis=1) < 40
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[front, 2]
    assert (facing > 0).mean() > 0.9, "a mirrored face shows its triangles from behind"
    left = replace(scan, triangles=scan.triangles[(corners[:, :, 0] > 0).all(axis=1)])
    seen = render_views(left, size=64, field_mm=220, channels=["depth"], angles=[(50, 0), (-50, 0)]) > 0
    assert seen[0].sum() > 2 * seen[1].sum()


@pytest.mark.parametrize("protocol_id", PROTOCOLS)
def test_a_protocol_is_complete(protocol_id: str) -> None:
    protocol = registry.find_protocol(protocol_id)
    assert protocol.id == protocol_id
    assert len(set(protocol.outputs)) == len(protocol.outputs)
    assert len(protocol.outputs) >= (0 if protocol.task == "disentanglement" else 2)
    assert protocol.source
    assert protocol.expected > 0
    assert set(protocol.tested) <= set(protocol.classes)
    for dataset in protocol.datasets:
        assert dataset in DATASETS


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_ships_is_valid(name: str) -> None:
    path = registry.suites()[name]
    suite = read_suite(path)
    assert suite.title
    assert len(path.read_text().splitlines()) < 40
    assert list(suite.identities())
    if suite.paper is None:
        assert suite.table is None
    else:
        assert suite.table


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_listed_and_described(kind: str) -> None:
    names = {
        "methods": METHODS,
        "datasets": DATASETS,
        "protocols": PROTOCOLS,
        "suites": SUITES,
        "papers": sorted(papers()),
        "faults": [f"{name}/{fault.id}" for name in papers() for fault in read_paper(name).notes.faults],
    }[kind]
    lines = listing(kind).splitlines()
    assert [line.split()[0] for line in lines] == names
    assert all(len(line.split()) > 2 for line in lines), "a name and what it is"
    for name in names:
        assert listing(kind, name)
    with pytest.raises(FerBenchError, match="unknown"):
        listing(kind, names[0] + "x")
