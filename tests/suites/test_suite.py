from pathlib import Path

import pytest

from fer_bench.errors import FerBenchError, InvalidSuite, UnknownName
from fer_bench.suites.arguments import resolve_arguments
from fer_bench.suites.reading import read_suite
from fer_bench.suites.suite import Suite

GOOD = """
protocols: [bu3dfe-s1-cv10@1]
methods:
  small: {method: mit, size: nano, pretrained: false, image_size: 32, patch_size: 8}
  points: {method: pointnet2}
"""


def read(tmp_path: Path, text: str, *settings: str) -> Suite:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return read_suite(path, settings)


def test_a_suite_says_only_what_differs(tmp_path: Path) -> None:
    suite = read(tmp_path, GOOD)
    assert suite.seeds == [0]
    assert suite.trainer.devices == 1
    assert len(list(suite.identities())) == 2 * 10
    name, arguments = resolve_arguments("small", suite.methods["small"], "")
    assert name == "mit"
    assert arguments["image_size"] == 32
    assert arguments["epochs"] == 200, "what is not said is the paper's"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("protocols:", "protocol:"), r"mine\.yaml: unknown key 'protocol'; did you mean 'protocols'"),
        (("bu3dfe-s1-cv10@1", "bu3dfe-s1-cv10@2"), r"unknown protocol .* did you mean 'bu3dfe-s1-cv10@1'"),
        (("method: mit", "method: mitt"), r"small: unknown method 'mitt'; did you mean 'mit'"),
        (("size: nano", "yaws: 0"), r"small: yaws: give a list of values, as in \[1, 2\], not 0"),
        (("{method: pointnet2}", "{method: pointnet2, scale: [0.9]}"), r"points: scale: too few values"),
        (("size: nano", "sise: nano"), r"unknown argument of mit 'sise'; did you mean 'size'"),
        (("size: nano", "size: huge"), r"small: size: .*'tiny'.*not 'huge'"),
        (("image_size: 32", "image_size: big"), r"small: image_size: .*not 'big'"),
        (("image_size: 32", "image_size: true"), r"small: image_size: .*not True"),
        (("image_size: 32", "image_size: '32'"), r"small: image_size: .*not '32'"),
        (("method: mit, ", ""), r"small: needs `method:`"),
        (("  small:", "  Small One:"), r"'Small One' names a folder"),
        (("  small:", "  ../up:"), r"names a folder"),
        (("  points:", "  small:"), r"stands twice"),
        (("protocols: [bu3dfe-s1-cv10@1]", "protocols: []"), r"protocols: .*at least 1"),
        (("protocols: [bu3dfe-s1-cv10@1]", "methods: {}"), r"stands twice"),
        (("protocols: [bu3dfe-s1-cv10@1]", ""), r"needs `protocols:`"),
        (("[bu3dfe-s1-cv10@1]", "[bu3dfe-s1-cv10@1, bu3dfe-s1-cv10@1]"), r"protocols: every one may be named once"),
        (("methods:", "folds: [10]\nmethods:"), r"folds 0 to 9, not 10"),
        (("methods:", "seeds: [a]\nmethods:"), r"seeds\.0: .*integer.*not 'a'"),
        (("methods:", "trainer: {device: 2}\nmethods:"), r"trainer: unknown key 'device'; did you mean 'devices'"),
        (("methods:", "trainer: {devices: 0}\nmethods:"), r"trainer\.devices: .*greater than 0.*not 0"),
        (("methods:", "x: !!python/object/apply:os.system [ls]\nmethods:"), r"is not readable YAML"),
        (("methods:", "]\nmethods:"), r"is not readable YAML"),
        (("size: nano", "size: &s [*s]"), r"is not readable YAML \(its aliases stand for"),
        (("size: nano", "size: 2020-13-45"), r"is not readable YAML \(month must be in 1\.\.12"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    with pytest.raises(FerBenchError, match=says) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSuite, match="a suite is a mapping"):
        read(tmp_path, text)


def test_set_reaches_methods_entries_trainer_and_suite(tmp_path: Path) -> None:
    suite = read(
        tmp_path,
        GOOD,
        "epochs=3",
        "points.points=256",
        "trainer.max_epochs=2",
        "seeds=[1,2]",
        "small.learning_rate=1e-3",
    )
    assert suite.methods["small"]["epochs"] == suite.methods["points"]["epochs"] == 3
    assert suite.methods["points"]["points"] == 256
    assert "points" not in suite.methods["small"]
    assert suite.trainer.max_epochs == 2
    assert suite.seeds == [1, 2]
    assert resolve_arguments("small", suite.methods["small"], "")[1]["learning_rate"] == 1e-3


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("epoch=3", r"--set epoch=3: unknown key 'epoch'; did you mean .*'epochs'"),
        ("smal.epochs=3", r"unknown method entry 'smal'; did you mean 'small'"),
        ("trainer.max_epoch=3", r"trainer: unknown key 'max_epoch'; did you mean 'max_epochs'"),
        ("epochs", r"--set epochs: is not of the form key=value"),
        ("epochs=[", r"--set epochs=\[: the value is not readable"),
        ("epochs=many", r"epochs: .*not 'many'"),
    ],
)
def test_a_setting_that_fits_nothing_is_refused(tmp_path: Path, setting: str, says: str) -> None:
    with pytest.raises(FerBenchError, match=says):
        read(tmp_path, GOOD, setting)


def test_unknown_names_survive_a_process_boundary() -> None:
    import pickle

    error = UnknownName("method", "mitt", ["mit"], "here")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_entry_may_differ_in_its_trainer(tmp_path: Path) -> None:
    content = GOOD.replace("patch_size: 8}", "patch_size: 8, trainer: {devices: 2}}")
    suite = read(tmp_path, content)
    assert suite.trainer_of("small").devices == 2
    assert suite.trainer.devices == suite.trainer_of("points").devices == 1
    with pytest.raises(UnknownName, match="small: trainer: unknown key 'devces'; did you mean 'devices'"):
        read(tmp_path, content.replace("devices: 2", "devces: 2"))
    with pytest.raises(InvalidSuite, match=r"small: trainer: give options, as in \{devices: 2\}, not 2"):
        read(tmp_path, content.replace("{devices: 2}", "2"))
    with pytest.raises(InvalidSuite, match="small: trainer: devices: input should be a valid integer"):
        read(tmp_path, content.replace("devices: 2", "devices: none"))


def test_the_reference_is_an_entry(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + "reference: points\n").reference == "points"
    with pytest.raises(UnknownName, match="reference: unknown method entry 'smal'; did you mean 'small'"):
        read(tmp_path, GOOD + "reference: smal\n")


def test_entries_may_share_what_they_have_in_common(tmp_path: Path) -> None:
    text = GOOD.replace("small: {", "small: &small {") + "  other: &other {<<: *small, patch_size: 16}\n"
    suite = read(tmp_path, text + "  third: {<<: *other, image_size: 64}\n")
    assert suite.methods["other"] == suite.methods["small"] | {"patch_size": 16}
    assert suite.methods["third"] == suite.methods["other"] | {"image_size": 64}
    assert suite.methods["small"]["patch_size"] == 8, "what is shared stays as it is"
    with pytest.raises(InvalidSuite, match="stands twice"):
        read(tmp_path, text + "  third: {<<: *other, image_size: 64, image_size: 32}\n")
