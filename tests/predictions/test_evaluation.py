import codecs
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_bench.errors import FerBenchError, InvalidPredictions, UnknownName
from fer_bench.metrics import score
from fer_bench.predictions.evaluation import evaluate

IG3D = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "ig3d_va"
VA = "valence_arousal"
CLASSES = ("happy", "sad", "fear")


def class_table(seed=0, n=12, **columns):
    generator = np.random.default_rng(seed)
    truth = np.array(CLASSES)[np.arange(n) % 3]
    scores = generator.normal(size=(n, 3)) + 0.5 * (truth[:, None] == np.array(CLASSES))
    table = {"id": [f"{i:03d}" for i in range(n)], "label": truth}
    table |= {f"output_{name}": scores[:, i] for i, name in enumerate(CLASSES)}
    return pd.DataFrame(table | columns)


def va_table(seed=0, n=12):
    truth = np.random.default_rng(99).uniform(-1, 1, size=(n, 2)).round(6)
    predicted = truth + 0.3 * np.random.default_rng(seed).normal(size=(n, 2))
    columns = {"val_pred": predicted[:, 0], "val_true": truth[:, 0], "aro_pred": predicted[:, 1]}
    return pd.DataFrame(columns | {"aro_true": truth[:, 1]})


@pytest.fixture
def save(tmp_path):
    def write(table, name="a.csv"):
        path = tmp_path / name
        if isinstance(table, bytes):
            path.write_bytes(table)
        elif isinstance(table, str):
            path.write_text(table)
        elif path.suffix == ".parquet":
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False)
        return path

    return write


@pytest.mark.skipif(not IG3D.is_dir(), reason=f"needs the predictions that Ig3D's authors published, in {IG3D}")
def test_table_7_of_ig3d():
    """Table 7 to its last digit, but for the MAE and CCC of CAGE alone, where the authors' own files say otherwise."""
    files = [IG3D / "cage_2d.csv", IG3D / "emoca_3d.csv"]
    names = ["mse", "mae", "rmse", "ccc_published"]
    alone = evaluate(files, VA).to_frame()[names].round(4).to_numpy().tolist()
    assert alone == [[0.1044, 0.2376, 0.3230, 0.7811], [0.1061, 0.2483, 0.3257, 0.7637]]
    for fuse, printed in {
        "max": [0.1052, 0.2419, 0.3243, 0.7727],
        "min": [0.1053, 0.2441, 0.3245, 0.7726],
        "mean": [0.0956, 0.2325, 0.3092, 0.7891],
        "weighted:0.6": [0.0958, 0.2316, 0.3095, 0.7901],
    }.items():
        evaluation = evaluate(files, VA, fuse=fuse)
        assert [round(evaluation.rows[2].metrics[name], 4) for name in names] == printed
        assert evaluation.rows[2].n == 3991
        assert "joined by row order: no id column" in evaluation.notes
    # Lin's own estimator is smaller by one part in 7982, which the fourth digit shows.
    assert round(evaluation.rows[2].metrics["ccc"], 4) == 0.7900
    # Table 8's row of the paper, from the same fusion; arousal is printed as 0.650, which the files do not give.
    assert round(evaluation.rows[2].metrics["ccc_published_valence"], 4) == 0.7238
    assert round(evaluation.rows[2].metrics["ccc_published_arousal"], 4) == 0.6476


@pytest.mark.parametrize(
    ("fuse", "fused"),
    [
        ("mean", lambda a, b: (a + b) / 2),
        ("max", np.maximum),
        ("min", np.minimum),
        ("weighted:0.25", lambda a, b: 0.25 * a + 0.75 * b),
        ("weighted:1", lambda a, b: a),
    ],
)
def test_fusion_of_valence_and_arousal_without_ids(save, fuse, fused):
    a, b = va_table(1), va_table(2)
    evaluation = evaluate([save(a), save(b, "b.csv")], VA, fuse=fuse)
    truth = a[["val_true", "aro_true"]].to_numpy()
    outputs = [t[["val_pred", "aro_pred"]].to_numpy() for t in (a, b)]
    for row, output in zip(evaluation.rows, [*outputs, fused(*outputs)], strict=True):
        assert row.metrics == pytest.approx(score(VA, output, truth), abs=1e-12)
    assert [row.name for row in evaluation.rows] == ["a", "b", f"{fuse} of 2 files"]
    assert "n = 12 samples in every row" in evaluation.notes
    assert "joined by row order: no id column" in evaluation.notes
    assert any("population" in note for note in evaluation.notes)


@pytest.mark.parametrize("extension", ["csv", "parquet"])
def test_fusion_of_class_scores_joins_by_id_in_any_order(save, extension):
    a, b = class_table(1), class_table(2)
    shuffled = b.sample(frac=1, random_state=0)[["output_fear", "id", "output_sad", "label", "output_happy"]]
    evaluation = evaluate([save(a, f"a.{extension}"), save(shuffled, f"b.{extension}")], "classification", fuse="mean")
    columns = [f"output_{name}" for name in CLASSES]
    outputs = [t[columns].to_numpy() for t in (a, b)]
    for row, output in zip(evaluation.rows, [*outputs, sum(outputs) / 2], strict=True):
        assert row.metrics == pytest.approx(score("classification", output, a["label"].to_numpy(), CLASSES))
    assert "joined by id" in evaluation.notes


def test_own_layout_of_valence_and_arousal_and_truth_in_one_file_only(save):
    a, b = va_table(1), va_table(2)
    first = pd.DataFrame({"id": range(12), "valence": a["val_pred"], "arousal": a["aro_pred"]})
    second = b.rename(columns={"val_pred": "valence", "aro_pred": "arousal"}).assign(id=range(12))
    second = second.rename(columns={"val_true": "valence_true", "aro_true": "arousal_true"})[::-1]
    rows = evaluate([save(first), save(second, "b.parquet")], VA, fuse="mean").rows
    expected = evaluate([save(a, "c.csv"), save(b, "d.csv")], VA, fuse="mean").rows
    for row, other in zip(rows, expected, strict=True):
        assert row.metrics == pytest.approx(other.metrics, abs=1e-12)


def test_protocol_truth_gives_order_classes_and_intervals(save):
    table = class_table()
    truth = table[["id", "label"]].assign(subject=[f"S{i // 3}" for i in range(12)]).astype("string")
    path = save(table.drop(columns="label").sample(frac=1, random_state=1))
    evaluation = evaluate([path], "classification", truth=truth, classes=CLASSES)
    (row,) = evaluation.rows
    assert row.metrics == evaluate([save(table, "b.csv")], "classification").rows[0].metrics
    assert row.interval.low <= row.metrics["accuracy"] <= row.interval.high
    assert row.interval.n_clusters == 4
    frame = evaluation.to_frame()
    assert list(frame.columns[:2]) == ["predictions", "n"]
    assert frame.loc[0, "accuracy_low"] == row.interval.low
    assert any("4 subjects" in note for note in evaluation.notes)


def test_protocol_truth_of_valence_and_arousal(save):
    table = va_table()
    truth = pd.DataFrame({"id": range(12), "valence": table["val_true"], "arousal": table["aro_true"]})
    truth = truth.assign(subject=pd.NA).astype({"id": "string", "valence": "Float64", "arousal": "Float64"})
    whole = evaluate([save(table.assign(id=range(12)))], VA, truth=truth)
    (row,) = whole.rows
    assert row.interval is not None
    assert row.interval.n_clusters == 12, "where nobody knows any subject, each sample stands for itself"
    assert any("does not say who is who" in note for note in whole.notes)
    some = truth.assign(subject=pd.array(["S1", "S2"] + [pd.NA] * 10, dtype="string"))
    assert evaluate([save(table.assign(id=range(12)))], VA, truth=some).rows[0].interval is None
    assert row.metrics == evaluate([save(table, "b.csv")], VA).rows[0].metrics
    with pytest.raises(ValueError, match="no missing value"):
        evaluate([save(table.assign(id=range(12)))], VA, truth=truth.assign(valence=pd.NA))


def test_several_labels_at_once(save):
    text = "id,label,output_positive,output_surprise\na,positive+surprise,1,-1\nb,surprise,-2,3\nc,positive,2,1\n"
    evaluation = evaluate([save(text)], "multilabel")
    (row,) = evaluation.rows
    assert row.metrics["exact_match"] == pytest.approx(1 / 3)
    assert row.metrics["accuracy"] == pytest.approx((3 / 3 + 1 / 3) / 2)
    assert row.metrics["f1_macro"] == pytest.approx((1 + 0.5) / 2)
    assert any("f1_two_sided" in note for note in evaluation.notes)
    truth = pd.DataFrame({"id": ["a", "b", "c"], "label": ["positive+surprise", "surprise", "positive"]})
    known = evaluate(
        [save(text, "b.csv")], "multilabel", truth=truth.assign(subject=list("xyz")), classes=("positive", "surprise")
    )
    assert known.rows[0].interval is not None
    with pytest.raises(InvalidPredictions, match="unknown classes 'positive\\+surprise'"):
        evaluate([save(text, "c.csv")], "classification", classes=("positive", "surprise"))


def test_the_order_of_several_labels_does_not_matter(save):
    text = "id,label,output_positive,output_surprise\na,surprise+positive,1,1\nb,surprise,0,1\n"
    truth = pd.DataFrame({"id": ["a", "b"], "label": ["positive+surprise", "surprise"]})
    evaluation = evaluate([save(text)], "multilabel", truth=truth, classes=("positive", "surprise"))
    assert evaluation.rows[0].metrics["exact_match"] == 1
    with pytest.raises(InvalidPredictions, match="truth disagrees"):
        evaluate(
            [save(text)],
            "multilabel",
            truth=truth.assign(label=["positive", "surprise"]),
            classes=("positive", "surprise"),
        )


def test_classes_of_any_protocol_are_known(save):
    text = "id,label,output_pain,output_happy\na,pain,1,0\nb,happy,0,1\n"
    assert evaluate([save(text)], "classification").rows[0].metrics["accuracy"] == 1


def test_the_accuracy_among_the_tested_classes(save):
    text = "id,label,output_happy,output_disgust,output_sad\na,happy,2,1,3\nb,disgust,0,2,1\n"
    truth = pd.DataFrame({"id": ["a", "b"], "label": ["happy", "disgust"]})
    classes = ("happy", "disgust", "sad")
    (row,) = evaluate([save(text)], "classification", truth=truth, classes=classes, tested=("happy", "disgust")).rows
    assert (row.metrics["accuracy"], row.metrics["accuracy_among_tested"]) == (0.5, 1)


def test_ids_keep_their_leading_zeros(save):
    text = "id,label,output_happy,output_sad\n{},happy,1,0\n02,sad,0,1\n"
    with pytest.raises(InvalidPredictions, match="lacks 1 ids \\('01'\\) and has 1 unknown ids \\('1'\\)"):
        evaluate([save(text.format("01")), save(text.format("1"), "b.csv")], "classification")


def test_ids_that_look_like_missing_values_are_ids(save):
    text = "id,label,output_happy,output_sad\nNA,happy,1,0\nnull,sad,0,1\n"
    truth = pd.DataFrame({"id": ["null", "NA"], "label": ["sad", "happy"], "subject": "S1"})
    evaluation = evaluate([save(text)], "classification", truth=truth)
    assert evaluation.rows[0].metrics["accuracy"] == 1
    # One subject: there is no variation between subjects to resample.
    assert evaluation.rows[0].interval is None
    assert not any("interval" in note for note in evaluation.notes)


def test_equal_scores_go_to_the_first_class_in_canonical_order(save):
    # Disgust comes before anger among the canonical names, whatever the order of the columns or of the alphabet.
    path = save("label,output_anger,output_disgust\ndisgust,1,1\nanger,1,1\ndisgust,0,0\n")
    assert evaluate([path], "classification").rows[0].metrics["accuracy"] == pytest.approx(2 / 3)


def test_a_byte_order_mark_and_other_columns_are_no_obstacle(save):
    text = class_table().assign(comment="x, y").to_csv(index=False)
    rows = evaluate([save(codecs.BOM_UTF8 + text.encode())], "classification").rows
    assert rows[0].n == 12


TWO = "id,label,output_happy,output_sad\n"
FOUR = "val_pred,val_true,aro_pred,aro_true\n"


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        (VA, "", "is empty. Write a header"),
        (VA, FOUR, "holds no samples"),
        (VA, "valpred,val_true,aro_pred,aro_true\n0,0,0,0\n", "has no column 'val_pred'. Did you mean 'valpred'?"),
        (VA, "valpred,valtrue,aropred,arotrue\n0,0,0,0\n", "no column 'val_pred'. Did you mean 'valpred'"),
        (VA, "id,valence,arousel\na,0,0\n", "has no column 'arousal'. Did you mean 'arousel'?"),
        (VA, "x,y\n1,2\n", "has no column 'valence'. It has 'x', 'y'."),
        (VA, "val_pred,val_true,aro_true\n0,0,0\n", "has no column 'aro_pred'"),
        (VA, "val_pred,aro_pred,val_true\n0,0,0\n", "has no column 'aro_true'. It has"),
        (VA, "val_pred,aro_pred\n0,0\n", "does not hold the truth (no 'val_true' and 'aro_true')"),
        (VA, FOUR + "0,0,0,0\n0,0,nan,0\n0,inf,,0\n", "has 2 cells that are NaN"),
        (VA, FOUR + "0,0,0,0\n0,0,nan,0\n0,0,inf,0\n", "first in row 2, column 'aro_pred'"),
        (VA, FOUR + "0,0,1e999,0\n", "infinite"),
        (VA, FOUR + "0,0\n", "blank"),
        (
            VA,
            FOUR + "0,0,0,0\nx,0,0,0\n1_0,0,0,0\n",
            "2 cells in column 'val_pred' that are not numbers, first 'x' in row 2",
        ),
        (VA, FOUR + "0,-2,0,0\n", "true values outside [-1, 1], first -2 in row 1"),
        (VA, FOUR + "0,0,0,0,0\n", "cannot be read as csv"),
        (VA, b"\xff\xfe\x00binary", "cannot be read as csv"),
        (VA, "val_pred,val_pred,aro_pred,aro_true\n0,0,0,0\n", "more than one column 'val_pred'"),
        ("classification", TWO + "a,happy,1,0\nb,joy,1,0\n", "unknown classes 'joy'"),
        ("classification", TWO + "a,hapy,1,0\n", "Did you mean 'happy'?"),
        ("classification", "label,output_happy,output_Sad\nsad,1,0\n", "unknown classes 'Sad'. Did you mean 'sad'?"),
        ("classification", TWO + "a,fear,1,0\n", "unknown classes 'fear'"),
        ("classification", TWO + "a,,1,0\n", "has 1 rows without 'label', first row 1"),
        ("classification", TWO + "a,sad,1,0\n,sad,1,0\n", "has 1 rows without 'id', first row 2"),
        ("classification", "label,happy\nsad,1\n", "has 0 columns output_<class>"),
        ("classification", "output_happy,output_sad\n1,0\n", "does not hold the truth (no 'label')"),
        (
            "classification",
            TWO + "".join(f"{i},sad,1,0\n" for i in "aabbccddef"),
            "has 4 ids that occur more than once: 'a', 'b', 'c' and 1 more",
        ),
    ],
)
def test_a_broken_file_is_named_with_its_fault(save, task, content, message):
    path = save(content)
    with pytest.raises(InvalidPredictions) as caught:
        evaluate([path], task)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1 no more", "cannot be read as parquet"),
        ("a.parquet", b"", "cannot be read as parquet"),
        ("a.pkl", b"\x80\x04.", "is neither .csv nor .parquet"),
        ("a.parquet", pd.DataFrame({"valence": ["x"], "arousal": [0.0]}), "'valence' that are not numbers"),
        ("a.parquet", pd.DataFrame({"valence": [True], "arousal": [0.0]}), "'valence' that are not numbers"),
        ("a.parquet", pd.DataFrame({"valence": [[1.0]], "arousal": [0.0]}), "'valence' that are not numbers"),
        ("a.parquet", pd.DataFrame({"valence": [None, 1.0], "arousal": [0.0, 0.0]}), "NaN"),
        (
            "a.parquet",
            pd.DataFrame({"id": [0.5], "valence": [1.0], "arousal": [0.0]}),
            "neither text nor whole numbers",
        ),
        ("a.parquet", pd.DataFrame({"id": ["a", None], "valence": [1.0, 0], "arousal": [0.0, 0]}), "rows without 'id'"),
    ],
)
def test_a_broken_binary_file_is_named_with_its_fault(save, name, content, message):
    with pytest.raises(InvalidPredictions) as caught:
        evaluate([save(content, name)], VA)
    assert message in str(caught.value)


def test_a_file_of_too_many_rows_is_refused_unread(save, monkeypatch):
    monkeypatch.setattr("fer_bench.predictions.files._MOST", 11)
    for name in ("a.csv", "a.parquet"):
        path = save(class_table(n=12), name)
        with pytest.raises(InvalidPredictions, match=rf"{name}: holds more than 11 rows"):
            evaluate([path], "classification")
        assert len(evaluate([save(class_table(n=11), name)], "classification").to_frame()) == 1


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(InvalidPredictions, match="is not a file"):
            evaluate([path], VA)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.sampled_from([".csv", ".parquet"]), st.sampled_from([b"", FOUR.encode(), b"PAR1"]))
def test_any_bytes_give_either_numbers_or_a_sentence(tmp_path, content, suffix, start):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(start + content)
    try:
        evaluate([path], VA)
    except InvalidPredictions as error:
        assert "\n" not in str(error)


def test_a_damaged_parquet_file_gives_a_sentence(save):
    path = save(class_table(), "a.parquet")
    whole = path.read_bytes()
    for position in range(4, len(whole), max(1, len(whole) // 100)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            evaluate([path], "classification")
        except InvalidPredictions as error:
            assert "\n" not in str(error)


def class_pair(save, a, b):
    return [save(a), save(b, "b.csv")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:-4], "lacks 4 ids ('008', '009', '010' and 1 more), compared with"),
        (
            lambda t: t.assign(id=[f"{i:03d}" for i in range(1, 13)]),
            "lacks 1 ids ('000') and has 1 unknown ids ('012')",
        ),
        (lambda t: pd.concat([t, t[:1].assign(id="999")]), "has 1 unknown ids ('999'), compared with"),
        (lambda t: t.drop(columns="id"), "has no column 'id', but"),
        (lambda t: t.assign(label=["sad", *t["label"][1:]]), "disagrees with that of"),
        (lambda t: t.assign(label=["sad", *t["label"][1:]]), "for 1 of 12 samples (first sad, not happy)"),
        (lambda t: t.drop(columns="output_fear"), "has no column 'output_fear'"),
        (lambda t: t.assign(output_anger=0.0), "unknown classes 'anger'"),
    ],
)
@pytest.mark.parametrize("fuse", [None, "mean"])
def test_files_that_do_not_match(save, change, message, fuse):
    with pytest.raises(InvalidPredictions) as caught:
        evaluate(class_pair(save, class_table(1), change(class_table(2))), "classification", fuse=fuse)
    assert message in str(caught.value)
    assert caught.value.path.name == "b.csv"


def test_ids_in_the_second_file_only(save):
    with pytest.raises(InvalidPredictions, match=r"b.csv: has ids, but .*a.csv has none"):
        evaluate(class_pair(save, class_table().drop(columns="id"), class_table()), "classification")


def test_row_order_joins_only_what_agrees_in_every_row(save):
    a, b = va_table(1), va_table(2)
    with pytest.raises(InvalidPredictions, match=r"b.csv: its truth disagrees .* for 12 of 12"):
        evaluate(class_pair(save, a, b.assign(val_true=np.roll(b["val_true"], 1))), VA, fuse="mean")
    with pytest.raises(InvalidPredictions, match="for 1 of 12"):
        evaluate(class_pair(save, a, b.assign(aro_true=[*b["aro_true"][:-1], 0.123])), VA)
    with pytest.raises(InvalidPredictions, match=r"b.csv: has 11 rows and no ids, but .*a.csv has 12 rows"):
        evaluate(class_pair(save, a, b[:-1]), VA, fuse="mean")
    with pytest.raises(InvalidPredictions, match=r"b.csv: does not hold the truth .* joined by row order"):
        evaluate(class_pair(save, a, b[["val_pred", "aro_pred"]]), VA, fuse="mean")
    single_precision = b.astype(np.float32).rename(columns=str)
    assert len(evaluate([save(a), save(single_precision, "b.parquet")], VA, fuse="mean").rows) == 3


def test_files_that_do_not_match_the_protocol(save):
    table = class_table()
    truth = table[["id", "label"]]
    with pytest.raises(InvalidPredictions, match=r"lacks 2 ids .* compared with the protocol"):
        evaluate([save(table[2:])], "classification", truth=truth, classes=CLASSES)
    with pytest.raises(InvalidPredictions, match=r"no column 'id', but the protocol has ids"):
        evaluate([save(table.drop(columns="id"))], "classification", truth=truth, classes=CLASSES)
    with pytest.raises(InvalidPredictions, match="truth disagrees with that of the protocol for 8 of 12"):
        wrong = truth.assign(label="sad")
        evaluate([save(table)], "classification", truth=wrong, classes=CLASSES)
    with pytest.raises(InvalidPredictions, match="has no outputs for the protocol's 'fear'"):
        evaluate([save(table.drop(columns=["output_fear", "label"]))], "classification", truth=truth)
    with pytest.raises(ValueError, match="lacks the columns"):
        evaluate([save(table)], "classification", truth=truth.drop(columns="label"), classes=CLASSES)


@pytest.mark.parametrize(
    ("fuse", "files", "message"),
    [
        ("mean", 1, "--fuse mean needs the predictions of two models or more; one was given"),
        ("median", 2, "unknown fusion 'median'; did you mean 'mean' or 'min'?"),
        ("weighted", 2, "--fuse weighted: give a weight, as in weighted:0.6"),
        ("weighted:", 2, "the weight must be"),
        ("weighted:1.2", 2, "the weight must be"),
        ("weighted:nan", 2, "the weight must be"),
        ("weighted:0,6", 2, "the weight must be"),
        ("weighted:0.5", 3, "takes the predictions of exactly two models; 3 were given"),
    ],
)
def test_unusable_fusions(save, fuse, files, message):
    with pytest.raises(FerBenchError) as caught:
        evaluate([save(va_table(i), f"{i}.csv") for i in range(files)], VA, fuse=fuse)
    assert message in str(caught.value)


def test_unknown_task_and_no_files(save):
    with pytest.raises(UnknownName, match="unknown task"):
        evaluate([save(va_table())], "regression")
    with pytest.raises(FerBenchError, match="No predictions"):
        evaluate([], VA)


def test_three_files_and_equal_names(save, tmp_path):
    (tmp_path / "sub").mkdir()
    paths = [save(class_table(0)), save(class_table(1), "sub/a.csv"), save(class_table(2), "c.csv")]
    evaluation = evaluate(paths, "classification", fuse="max")
    assert [row.name for row in evaluation.rows] == [*map(str, paths), "max of 3 files"]
    assert len(evaluation.to_frame()) == 4
