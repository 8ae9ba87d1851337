import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import nn

from fer_bench.cells.fit import load_checkpoint
from fer_bench.errors import InvalidFile, WeightsNotFound
from fer_bench.nn import weights
from fer_bench.nn.weights import Download, Published, fit_weights, holds, read_weights, weights_label


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}


def test_both_kinds_of_file_are_read(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    save_file(state, tmp_path / "w.safetensors")
    torch.save({**state, "args": argparse.Namespace(lr=1)}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        found = read_weights(tmp_path / name)
        assert torch.equal(found["weight"], state["weight"])


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this would have been run",)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": Hostile()}, tmp_path / "w.pth")
    with pytest.raises(InvalidFile, match=r"w\.pth: cannot be read as weights"):
        read_weights(tmp_path / "w.pth")
    assert "run" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_damaged_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(InvalidFile, match=f"{name}: cannot be read as weights"):
        read_weights(tmp_path / name)
    with pytest.raises(InvalidFile, match=f"gone{name}: there is no such file"):
        read_weights(tmp_path / f"gone{name}")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InvalidFile, match="holds a list and no state dict"):
        read_weights(tmp_path / "list.pt")
    torch.save({3: torch.ones(1)}, tmp_path / "numbers.pt")
    with pytest.raises(InvalidFile, match="holds keys that are no names"):
        read_weights(tmp_path / "numbers.pt")


@pytest.mark.parametrize("content", [b"", b"\x57" * 300], ids=["empty", "garbage"])
def test_nobody_is_advised_to_run_what_a_file_holds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    for read in (read_weights, load_checkpoint):
        with pytest.raises(InvalidFile) as error:
            read(tmp_path / "a.ckpt")
        assert "()" not in error.value.problem
        assert "\n" not in error.value.problem
        assert "arbitrary code" not in error.value.problem


def test_a_network_takes_all_or_nothing(state: dict[str, torch.Tensor]) -> None:
    network = nn.Linear(3, 2)
    fit_weights(network, {**state, "more": torch.ones(1)}, Path("w.pt"))
    assert torch.equal(network.weight, state["weight"])
    before = network.weight.clone()
    other = {"weight": torch.zeros(2, 3), "bias": torch.zeros(4)}
    with pytest.raises(InvalidFile, match=r"w.pt: bias is \(4,\) where the network has \(2,\)"):
        fit_weights(network, other, Path("w.pt"))
    assert torch.equal(network.weight, before)
    fit_weights(network, other, Path("w.pt"), spared=("bias",))
    assert torch.equal(network.weight, other["weight"])


def test_offline_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unreachable(repository: str, filename: str, local_files_only: bool = False) -> str:
        asked.append(local_files_only)
        raise LocalEntryNotFoundError("no")

    monkeypatch.setattr(weights, "hf_hub_download", unreachable)
    monkeypatch.setattr(weights, "_hub_answers", lambda: True)
    published = Published("timm/deit_tiny_patch16_224.fb_in1k")
    with pytest.raises(WeightsNotFound) as error:
        published.fetch()
    assert asked == [True, False]
    for part in (
        "hf download timm/deit_tiny_patch16_224.fb_in1k model.safetensors "
        "--local-dir weights/deit_tiny_patch16_224.fb_in1k",
        "set pretrained to weights/deit_tiny_patch16_224.fb_in1k/model.safetensors",
        "set pretrained to false",
    ):
        assert part in str(error.value)
    monkeypatch.setattr(weights, "hf_hub_download", lambda *_, **__: "/somewhere/model.safetensors")
    assert published.fetch() == Path("/somewhere/model.safetensors")
    assert published.label == "deit_tiny_patch16_224.fb_in1k"


def test_an_unreachable_hub_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    weights._hub_answers.cache_clear()
    monkeypatch.setattr(weights.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights.constants, "ENDPOINT", "https://hub.invalid")
    monkeypatch.setattr(weights, "getproxies", dict)
    assert not weights._hub_answers()
    weights._hub_answers.cache_clear()
    monkeypatch.setattr(weights, "getproxies", lambda: {"https": "http://proxy.invalid:3128"})
    assert weights._hub_answers(), "a proxy may reach what we cannot"
    weights._hub_answers.cache_clear()
    monkeypatch.setattr(weights.constants, "HF_HUB_OFFLINE", True)
    assert not weights._hub_answers()
    weights._hub_answers.cache_clear()


def test_a_refusal_of_the_hub_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repository: str, filename: str, local_files_only: bool = False) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("no")
        raise HfHubHTTPError("404 Client Error", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr(weights, "hf_hub_download", refuse)
    monkeypatch.setattr(weights, "_hub_answers", lambda: True)
    with pytest.raises(WeightsNotFound, match="the hub refuses them \\(404 Client Error"):
        Published("timm/none").fetch()


@pytest.mark.parametrize(
    ("pretrained", "label"),
    [
        (True, "small.fb"),
        (False, ""),
        ("weights/small.fb/model.safetensors", "small.fb"),
        ("weights/small.fb/other.pt", "other.pt"),
        ("mine.pt", "mine.pt"),
    ],
)
def test_weights_are_known_by_their_name(pretrained: bool | str, label: str) -> None:
    assert weights_label(pretrained, Published("timm/small.fb")) == label


def test_a_file_is_searched_for_a_name(tmp_path: Path) -> None:
    torch.save({"modelRA0": {"a": torch.ones(1)}}, tmp_path / "w.pth")
    assert holds(tmp_path / "w.pth", "modelRA") and not holds(tmp_path / "w.pth", "modelXY")
    (tmp_path / "text").write_text("modelRA")
    assert not holds(tmp_path / "text", "modelRA") and not holds(tmp_path / "gone", "modelRA")


@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_is_cut_off_is_called_so(tmp_path: Path, container: bool, share: float) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.ones(500)}, path, _use_new_zipfile_serialization=container)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InvalidFile, match="it is empty, cut off or damaged: copy it again"):
        read_weights(path)


class Odd:
    """Something that a checkpoint of EMOCA's code holds beside its tensors."""


def test_the_remedy_for_objects_works_on_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": torch.ones(2)}, "hyper_parameters": Odd()}, "old.ckpt")
    with pytest.raises(InvalidFile) as raised:
        read_weights(tmp_path / "old.ckpt")
    _, _, code = str(raised.value).partition("have its code: ")
    code = code.rstrip(".").replace("FILE", "'old.ckpt'").replace("NEW", "'new.pth'")
    exec(code, {"torch": torch})
    assert read_weights(tmp_path / "new.pth")["a"].tolist() == [1, 1]


def test_weights_of_torchvision_are_sought_in_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "_answers", lambda _: False)
    file = Download("https://download.pytorch.org/models/net-abc.pth")
    with pytest.raises(WeightsNotFound, match=r"net-abc\.pth are not in .*download\.pytorch\.org cannot be reached"):
        file.fetch()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    (tmp_path / "hub/checkpoints/net-abc.pth").write_bytes(b"x")
    assert file.fetch() == tmp_path / "hub/checkpoints/net-abc.pth"
    assert weights_label(True, file) == "net-abc"
