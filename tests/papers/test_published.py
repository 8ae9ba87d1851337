"""What papers printed: all of it is there, and each value of the paper's own has something that measures it."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import yaml

from fer_bench import registry
from fer_bench.errors import FerBenchError, InvalidFile, UnknownName
from fer_bench.metrics import score
from fer_bench.papers.faults_page import page
from fer_bench.papers.published import papers, published_folder, read_paper
from fer_bench.papers.published_rows import COLUMNS, Published, read_rows
from fer_bench.suites.reading import read_suite

PAPERS = sorted(papers())
COUNTS = {
    ("mit", "I"): 14,
    ("mit", "II"): 6,
    ("mit", "III"): 4,
    ("mit", "Fig. 3"): 0,
    ("mit", "Fig. 4"): 1,
    ("mit", "Fig. 5"): 0,
    ("mit", "text"): 12,
    ("facet_vlm", "1"): 6,
    ("facet_vlm", "2"): 17,
    ("facet_vlm", "3"): 14,
    ("facet_vlm", "4"): 6,
    ("facet_vlm", "5"): 60,
    ("facet_vlm", "Fig. 3"): 18,
    ("drfer", "I"): 33,
    ("drfer", "II"): 21,
    ("drfer", "III"): 9,
    ("drfer", "Fig. 5"): 1,
    ("drfer", "Fig. 6"): 0,
    ("face_disentanglement", "I"): 27,
    ("face_disentanglement", "II"): 27,
    ("face_disentanglement", "III"): 16,
    ("face_disentanglement", "IV"): 96,
    **{("face_disentanglement", f"Fig. {number}"): 0 for number in (1, 5, 6, 7, 8, 9, 10, 11)},
    ("face_disentanglement", "text"): 31,
    **{("ig3d", str(table)): rows for table, rows in enumerate((10, 16, 28, 36, 63, 6, 28, 12), start=1)},
}
GOOD = {
    "paper": "mine",
    "table": "1",
    "dataset": "BU-3DFE",
    "evaluation": "10-fold",
    "method": "Mine",
    "metric": "accuracy (%)",
    "value": "91.20",
    "protocol": "bu3dfe-s1-cv10@1",
    "entry": "mit-tiny",
    "measure": "accuracy",
}


def write(folder: Path, *rows: dict[str, str], header: tuple[str, ...] = COLUMNS) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "mine_table1.csv"
    path.write_text(text.getvalue())
    return path


def values(paper: str, table: str, **wanted: str) -> list[str]:
    rows = read_paper(paper).find(table).rows
    return [r.value for r in rows if all(getattr(r, key) == value for key, value in wanted.items())]


@pytest.mark.parametrize("name", PAPERS)
def test_every_section_is_there_in_order(name: str) -> None:
    paper = read_paper(name)
    assert {(s.table, len(s.rows)) for s in paper.sections} == {(t, n) for (p, t), n in COUNTS.items() if p == name}
    stems = [section.stem for section in paper.sections]
    kinds = [(stem.rstrip("0123456789"), stem) for stem in stems]
    order = [("table figure text".index(kind), int(stem.removeprefix(kind) or 0)) for kind, stem in kinds]
    assert order == sorted(order)
    assert all(row.table == section.table and row.paper == name for section in paper.sections for row in section.rows)
    assert paper.notes.title
    assert all(section.notes.title for section in paper.sections)


def test_values_are_as_printed() -> None:
    assert values("mit", "I", method="MiT-Base", metric="accuracy (%)") == ["94.32", "88.25", "86.95"]
    assert values("mit", "II", method="MiT-Base", metric="accuracy (%)") == ["99.66"]
    assert values("mit", "III", metric="accuracy (%)") == ["91.67", "84.02"]
    assert values("mit", "Fig. 4") == ["about 10"]
    assert values("mit", "text", metric="parameters (M)") == ["15", "63", "255"]
    assert values("mit", "text", metric="training time (h)") == ["13.9", "15.2", "18.6"]
    assert values("facet_vlm", "1", method="fear") == ["a fearful face"]
    assert values("facet_vlm", "2", method="FACET-VLM (Ours)") == ["87.34", "89.81", "93.21"]
    assert values("facet_vlm", "2", method="Zhen et al. [43]") == ["84.50"], "its zero too"
    assert values("facet_vlm", "3", method="FACET-VLM (Ours)") == ["99.41"]
    assert values("facet_vlm", "4", method="FACET-VLM (Ours)") == ["92.68", "86.12"]
    own = values("facet_vlm", "5", method="FACET-VLM (multi-views)")
    assert own[:6] == ["0.7689", "0.8502", "0.8168", "0.8115", "0.7917", "0.8109"]
    assert own[6:] == ["81.73", "84.81", "86.32", "92.31", "88.47", "86.83"]
    assert values("facet_vlm", "5", method="Left [53]", metric="Accuracy, Others (%)") == ["69.07"]
    assert values("drfer", "I", method="DrFER") == ["89.15", "4.32"]
    assert values("drfer", "I", method="DrFER (baseline)") == ["84.83"]
    assert values("drfer", "II", method="DrFER") == ["86.77", "3.54"]
    assert values("drfer", "II", method="Sui et al. [33]") == ["87.65", "82.86"], "of two on one printed line the first"
    ablations = ["85.92", "87.59", "85.98", "85.04", "87.15", "87.76", "84.83", "86.67", "89.15"]
    assert values("drfer", "III") == ablations
    assert values("face_disentanglement", "I", method="Ours") == ["0.176", "0.180", "0.783", "0.225", "0.772"]
    assert values("face_disentanglement", "II", method="Ours+ne-gt") == ["0.348", "0.339", "1.500", "0.423", "1.467"]
    assert values("face_disentanglement", "III", method="Kacem et al. [17]") == ["2.02"]
    without = values("face_disentanglement", "IV", method="-ne-gt -id-dis", dataset="FaceScape")
    assert without == ["12.020", "0.514", "11.876", "1.791", "1.795", "1.187", "0.300", "1.138"]
    late = {"evaluation": "Late Fusion", "metric": "accuracy"}
    assert values("ig3d", "5", **late) == ["0.8989", "0.8941", "0.9030", "0.9130", "0.9106", "0.9400"]
    assert values("ig3d", "7", metric="CCC")[-2:] == ["0.7891", "0.7901"]
    assert values("ig3d", "8", method="Ours") == ["0.323", "0.294", "0.724", "0.650"]
    gains = values("facet_vlm", "Fig. 3", metric="accuracy gain of full model (pp)")
    assert gains == ["13.00", "11.92", "11.65", "10.34", "8.33", "3.03", "3.15"]


def test_sums_of_all_values_guard_against_a_slip() -> None:
    def total(paper: str, table: str) -> float:
        return round(sum(row.number or 0 for row in read_paper(paper).find(table).rows), 4)

    assert total("mit", "I") == 656.31
    assert total("facet_vlm", "2") == 1431.62
    assert total("facet_vlm", "3") == 1233.44
    assert total("facet_vlm", "5") == 2293.8804
    assert total("facet_vlm", "Fig. 3") == 985.46
    assert total("drfer", "I") == 2747.69
    assert total("drfer", "II") == 1644.47
    assert [total("face_disentanglement", t) for t in ("I", "II", "III", "IV")] == [15.519, 27.58, 21.7, 118.804]
    assert [total("ig3d", str(t)) for t in range(2, 9)] == [8.9874, 20.4508, 22.635, 55.8596, 556.91, 10.0808, 6.006]


def test_flags_and_notes_are_kept() -> None:
    rows = [row for name in PAPERS for row in read_paper(name).rows]
    assert sum(row.derived for row in rows) == 15
    assert all(row.derived == row.note.startswith("DERIVED") for row in rows)
    wrong = [row.value for row in rows if "PRINTED AVERAGE DOES NOT MATCH" in row.note]
    assert wrong == ["0.8109", "86.83"]


def concerned(paper: str, fault: str) -> list[Published]:
    read = read_paper(paper)
    (mark,) = [mark for mark, each in read.faults.items() if each.id == fault]
    return [row for row in read.rows if mark in read.faults_of(row)]


def test_faults_concern_the_values_that_they_should() -> None:
    fused = concerned("ig3d", "broadcast")
    assert {row.value for row in fused if row.metric.startswith("accuracy")} == {"0.8941", "0.9130", "0.9400", "94.00"}
    assert len(fused) == 3 * 7 + 1
    # Every value that the specification of the suites marks so, and no other.
    assert all(row.note.startswith("The public script gives") for row in fused if row.table == "5")
    assert [row.value for row in concerned("facet_vlm", "averages-of-table-5")] == ["0.8109", "86.83"]
    assert {row.table for row in concerned("mit", "one-run-of-images")} == {"II"}
    assert [row.value for row in concerned("mit", "parameter-counts")] == ["15", "63", "255"]
    assert [row.value for row in concerned("ig3d", "misprinted-recall")] == ["0.7418"]
    medians = [row.value for row in concerned("face_disentanglement", "two-medians")]
    assert medians == ["0.772", "1.467", "0.651", "1.404"]
    assert all("Edis" in row.metric for row in concerned("face_disentanglement", "another-edis"))
    assert len(concerned("ig3d", "test-set-selection")) == 176, "every value of its own"
    assert concerned("facet_vlm", "unequal-equations") == []


def test_the_table_of_faults_is_up_to_date() -> None:
    committed = Path(__file__).parent.parent.parent / "leaderboards" / "papers" / "faults.md"
    text = page()
    assert committed.read_text() == text, "run fer-bench paper for any paper"
    assert all(f"`{fault.id}`" in text for name in PAPERS for fault in read_paper(name).faults.values())


@pytest.mark.parametrize("name", PAPERS)
def test_an_own_row_is_measured_by_what_exists(name: str) -> None:
    paper = read_paper(name)
    for section in paper.sections:
        entries = {}
        for suite in section.suites:
            read = read_suite(registry.suites()[suite])
            assert read.paper == name and (read.table == section.table or suite in section.notes.suites)
            entries |= {(protocol, entry): suite for protocol in read.protocols for entry in read.entries}
        for row in section.rows:
            if not row.entry:
                continue
            protocol = registry.find_protocol(row.protocol)
            for entry in (row.entry, *row.minus):
                assert (row.protocol, entry) in entries, row
            truth = np.array(protocol.classes or ["somebody"], object)
            if protocol.task == "valence_arousal":
                truth = np.array([[0.1, 0.2]])
            measured = score(protocol.task, np.eye(len(truth), len(protocol.outputs)), truth, protocol.classes)
            assert row.measure in measured, row
            assert row.number is not None
    own = [row for row in paper.rows if row.entry]
    assert len(own) == {"mit": 13, "facet_vlm": 36, "drfer": 15, "face_disentanglement": 135, "ig3d": 176}[name]
    # Other people's rows are not measured, but for a baseline that is here.
    assert {row.method for row in own if "[" in row.method} <= {"Conv-MeshAE [32]"}


def test_a_table_is_found_by_any_of_its_names() -> None:
    mit, facet = read_paper("mit"), read_paper("facet_vlm")
    for name in ("II", "ii", "Table II", "table2", "2"):
        assert mit.find(name).table == "II", name
    for name in ("Fig. 3", "fig 3", "figure3", "Figure 3"):
        assert mit.find(name).table == facet.find(name).table == "Fig. 3", name
    assert facet.find("3").table == "3"
    with pytest.raises(UnknownName, match=r"paper mit: unknown table 'Fig\. 6'; did you mean 'Fig\. "):
        mit.find("Fig. 6")
    with pytest.raises(UnknownName, match="unknown paper 'facet'; did you mean 'facet_vlm'"):
        read_paper("facet")


def test_a_further_paper_is_further_files(tmp_path: Path) -> None:
    write(tmp_path, GOOD, GOOD | {"method": "Theirs", "protocol": "", "entry": "", "measure": ""})
    (tmp_path / "mine_notes.yaml").write_text("title: Mine\ntables: {'1': {notes: [careful]}}\n")
    (tmp_path / "mine_table1_logs.csv").write_text("epoch\n1\n")
    (tmp_path / "mine_too_table1.csv").write_text("of another paper")
    assert list(papers(tmp_path)) == ["mine"]
    paper = read_paper("mine", tmp_path)
    assert [row.method for row in paper.rows] == ["Mine", "Theirs"]
    assert paper.find("1").notes.notes == ["careful"]


def test_units_and_numbers() -> None:
    row = Published(**dict.fromkeys(COLUMNS, ""))  # type: ignore[arg-type]
    read = [type(row)(**vars(row) | {"value": v}).number for v in ("84.50", "about 10", "-0.2", "a happy face", "1e3")]
    assert read == [84.5, 10.0, -0.2, None, None]
    scales = [
        type(row)(**vars(row) | {"metric": m}).scale for m in ("accuracy (%)", "gain (pp)", "F1-score", "Edis (mm)")
    ]
    assert scales == [100, 100, 1, 1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"paper": "other"}, "row 2 is of the paper 'other'"),
        ({"value": ""}, "row 2 has no value"),
        ({"derived": "no"}, "row 2 says 'no' under derived"),
        ({"measure": ""}, "row 2 names some of protocol, entry and measure"),
        ({"protocol": "", "entry": "", "measure": "", "minus": "x"}, "row 2 has minus or incomparable"),
        ({"value": "high"}, "row 2 is to be measured, and its value 'high' is no number"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, str], says: str) -> None:
    assert read_rows(write(tmp_path, GOOD))
    path = write(tmp_path, GOOD | change)
    with pytest.raises(InvalidFile, match=says) as error:
        read_rows(path)
    assert str(error.value).startswith(f"{path}: ")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read as CSV"):
        read_rows(tmp_path / "mine_table1.csv")
    with pytest.raises(InvalidFile, match="its columns are not paper,table"):
        read_rows(write(tmp_path, GOOD, header=COLUMNS[:-1]))
    path = write(tmp_path, GOOD)
    path.write_text(path.read_text() + "mine,1\n")
    with pytest.raises(InvalidFile, match="row 3 has 2 cells and not 15"):
        read_rows(path)
    with pytest.raises(InvalidFile, match="several tables, or none"):
        read_rows(write(tmp_path, GOOD, GOOD | {"table": "2"}))
    with pytest.raises(UnknownName, match=r"mine_table1\.csv: row 2: unknown protocol 'bu3dfe-s1@1'"):
        read_rows(write(tmp_path, GOOD | {"protocol": "bu3dfe-s1@1"}))
    write(tmp_path, GOOD)
    for text, says in (
        ("title: [", "is not readable YAML"),
        ("notes: []", "title: field required"),
        ("title: Mine\nnote: []", "note: extra inputs"),
        ("", "the whole: "),
    ):
        (tmp_path / "mine_notes.yaml").write_text(text)
        with pytest.raises(InvalidFile, match=says):
            read_paper("mine", tmp_path)
    (tmp_path / "mine_notes.yaml").write_text("title: Mine\ntables: {'7': {}}")
    with pytest.raises(UnknownName, match="unknown table '7'"):
        read_paper("mine", tmp_path)


FAULT = {"id": "slip", "fault": "It slips.", "evidence": "Seen.", "instead": "Not."}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rows": [{"table": "2"}]}, r"fault slip: unknown table '2'"),
        (
            {"rows": [{"table": "1", "methods": ["Mine", "Their"]}]},
            r"unknown method in table 1 'Their'; did you mean 'Th",
        ),
        ({"rows": [{"table": "1", "metrics": ["f1"]}]}, r"unknown metric in table 1 'f1'"),
        ({"rows": [{"table": "1", "methods": ["Mine"], "datasets": ["CoMA"]}]}, r"fault slip: no row of table 1 has"),
        ({"id": "Slip"}, r"faults\.0\.id: string should match"),
        ({"evidence": ""}, r"faults\.0\.evidence: string should have at least 1"),
        ({"colour": "red"}, r"faults\.0\.colour: extra inputs"),
    ],
)
def test_a_fault_of_nothing_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    theirs = {"method": "Theirs", "dataset": "CoMA", "protocol": "", "entry": "", "measure": ""}
    write(tmp_path, GOOD, GOOD | theirs)
    notes = tmp_path / "mine_notes.yaml"
    notes.write_text(yaml.safe_dump({"title": "Mine", "faults": [FAULT | {"rows": [{"table": "1"}]}]}))
    paper = read_paper("mine", tmp_path)
    assert [list(paper.faults_of(row)) for row in paper.rows] == [["F1"], ["F1"]]
    notes.write_text(yaml.safe_dump({"title": "Mine", "faults": [FAULT | change]}))
    with pytest.raises(FerBenchError, match=says) as error:
        read_paper("mine", tmp_path)
    assert str(error.value).startswith(f"{notes}: ")


def test_two_faults_of_one_name_and_deep_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    for text, says in (
        (yaml.safe_dump({"title": "Mine", "faults": [FAULT, FAULT]}), "faults: two faults are named slip"),
        ("[" * 5000, "is not readable YAML"),
        ("!!python/object/apply:os.system [ls]", "is not readable YAML"),
    ):
        (tmp_path / "mine_notes.yaml").write_text(text)
        with pytest.raises(InvalidFile, match=says):
            read_paper("mine", tmp_path)


def test_the_folder_ships() -> None:
    root = Path(__file__).parent.parent.parent
    assert published_folder() == root / "leaderboards" / "published"
    shipped = (root / "pyproject.toml").read_text()
    assert '"leaderboards/published" = "fer_bench/_published"' in shipped
