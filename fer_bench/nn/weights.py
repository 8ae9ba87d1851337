"""Published weights: finding them, reading them, and fitting them to a network."""

import argparse
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from fer_bench.errors import InvalidFile, WeightsNotFound


class Weights(Protocol):
    """Weights that an argument `pretrained: true` stands for.

    Attributes:
        label: Their name.
        filename: Of the file.
    """

    @property
    def label(self) -> str: ...

    @property
    def filename(self) -> str: ...

    def fetch(self) -> Path:
        """The file; raises `WeightsNotFound`."""


@dataclass(frozen=True)
class Published:
    """Weights on the Hugging Face hub, where timm and open_clip keep theirs.

    Attributes:
        repository: `timm/deit_tiny_patch16_224.fb_in1k`.
        filename: Within it.
    """

    repository: str
    filename: str = "model.safetensors"

    @property
    def label(self) -> str:
        """The repository's own name."""
        return self.repository.rpartition("/")[2]

    def fetch(self) -> Path:
        """The file, from the cache that timm and open_clip share, else downloaded into it.

        Raises:
            WeightsNotFound: it is in no cache and the hub cannot be reached.
        """
        with suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(self.repository, self.filename, local_files_only=True))
        why = "the hub cannot be reached"
        if _hub_answers():
            try:
                return Path(hf_hub_download(self.repository, self.filename))
            except HfHubHTTPError as error:
                why = f"the hub refuses them ({' '.join(str(error).split())[:100]})"
            except (LocalEntryNotFoundError, OfflineModeIsEnabled):
                pass
        folder = f"weights/{self.label}"
        raise WeightsNotFound(
            f"the weights {self.repository} are not in {_short(constants.HF_HUB_CACHE)}, and {why}. On a machine that "
            f"can have them: hf download {self.repository} {self.filename} --local-dir {folder}. Then bring the folder "
            f"here and set pretrained to {folder}/{self.filename}; or set pretrained to false to start at random."
        )


@dataclass(frozen=True)
class Download:
    """Weights at an address, as torchvision's; kept where torch.hub keeps its own.

    Attributes:
        url: Its last part is the file's name.
    """

    url: str

    @property
    def filename(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def label(self) -> str:
        return self.filename.partition(".")[0]

    def fetch(self) -> Path:
        """The file, from torch's cache, else downloaded into it; raises `WeightsNotFound`."""
        path = Path(torch.hub.get_dir()) / "checkpoints" / self.filename
        if not path.is_file() and _answers(self.url):
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(URLError, OSError, RuntimeError):
                torch.hub.download_url_to_file(self.url, str(path), progress=False)
        if path.is_file():
            return path
        raise WeightsNotFound(
            f"the weights {self.filename} are not in {_short(str(path.parent))}, and {urlsplit(self.url).hostname} "
            f"cannot be reached. Bring {self.url} here and set pretrained to its path; or set pretrained to false to "
            "start at random."
        )


@dataclass(frozen=True)
class OfAuthors:
    """Weights that their authors distribute and that cannot be fetched by a program.

    Attributes:
        filename: `MFN_msceleb.pth`.
        source: Where people get it, for a sentence.
    """

    filename: str
    source: str

    @property
    def label(self) -> str:
        return self.filename.partition(".")[0]

    def fetch(self) -> Path:
        """The file, from torch's cache; raises `WeightsNotFound`."""
        path = Path(torch.hub.get_dir()) / "checkpoints" / self.filename
        if path.is_file():
            return path
        raise WeightsNotFound(
            f"the weights {self.filename} are not in {_short(str(path.parent))}. They come from {self.source}; put the "
            "file there, or set pretrained to its path; or set pretrained to false to start at random."
        )


def weights_label(pretrained: bool | str, published: Weights | None) -> str:
    """`Method.weights` of an argument `pretrained`: the name of the published weights, also where a file of theirs was
    named in a folder of that name, as the remedy of `Published.fetch` puts it; else the file's own name."""
    if not pretrained:
        return ""
    if pretrained is True:
        return published.label if published else ""
    path = Path(str(pretrained))
    if published and (path.parent.name, path.name) == (published.label, published.filename):
        return published.label
    return path.name


def _short(folder: str) -> str:
    """A folder as people write it, for sentences that end in published tables."""
    home = Path.home()
    path = Path(folder)
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else folder


def find_weights(pretrained: bool | str, published: Weights | None) -> Path | None:
    """The file that an argument `pretrained` names: the published weights where it is True, a path of the user's, or
    None for a random start.

    Raises:
        WeightsNotFound: there is no such file, or see `Published.fetch`.
    """
    if not pretrained:
        return None
    if pretrained is True and published is not None:
        return published.fetch()
    path = Path(str(pretrained))
    if not path.is_file():
        raise WeightsNotFound(f"{path}: there is no such file; pretrained is true, false or a file of weights.")
    return path


@cache
def _hub_answers() -> bool:
    """Whether it is worth asking the hub."""
    return not constants.HF_HUB_OFFLINE and _answers(constants.ENDPOINT)


def _answers(url: str) -> bool:
    """Whether an address can be reached; clients may try for half a minute before they give up."""
    host = urlsplit(url)
    if getproxies().get(host.scheme):  # a proxy may reach it
        return True
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=5).close()
    except OSError:
        return False
    return True


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors in a file of weights by key, `name.key` in a dict in it; empty if it cannot be read."""
    try:
        return _tensor_shapes(path, path.stat().st_mtime_ns)
    except (OSError, InvalidFile):
        return {}


@lru_cache(16)
def _tensor_shapes(path: Path, _: int) -> dict[str, tuple[int, ...]]:
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except SafetensorError:
            return {}
    found: dict[str, tuple[int, ...]] = {}
    for name, value in read_weights(path).items():
        inside = {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, Mapping) else {name: value}
        found |= {key: tuple(part.shape) for key, part in inside.items() if isinstance(part, Tensor)}
    return found


def holds(path: Path, name: str) -> bool:
    """Whether a file of weights has a tensor whose key contains a name, in any container."""
    return any(name in key for key in tensor_shapes(path))


def read_weights(path: Path) -> dict[str, Any]:
    """The content of a `.safetensors` file, or of what `torch.save` wrote.

    Pickles are read without running any code, and may hold tensors, numbers, text and the parsed arguments of a
    training script.

    Raises:
        InvalidFile: it is missing, damaged, or holds more than that.
    """
    remedy = "Give a .safetensors file or a state dict that torch.save wrote."
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidFile(path, "there is no such file", remedy) from None
    except SafetensorError as error:
        raise InvalidFile(path, f"cannot be read as weights ({error})", remedy) from None
    except Exception as error:  # torch raises many kinds, a refused pickle among them
        if "Unsupported global" in str(error):
            remedy = (
                "It holds objects and not tensors alone. Where you trust the file and have its code: "
                "x = torch.load(FILE, weights_only=False); "
                "torch.save(x['state_dict'] if isinstance(x, dict) else x.state_dict(), NEW)."
            )
        raise InvalidFile(path, f"cannot be read as weights ({why_unreadable(error)})", remedy) from None
    if not isinstance(content, Mapping):
        raise InvalidFile(path, f"holds a {type(content).__name__} and no state dict", remedy)
    if not all(isinstance(key, str) for key in content):
        raise InvalidFile(path, "holds keys that are no names", remedy)
    return dict(content)


def why_unreadable(error: Exception) -> str:
    """What `torch.load` says of a file in its first sentence; the others advise to run the code that it may hold."""
    message = str(error).strip().partition("\n")[0].partition(". ")[0]
    cut = ("central directory", "Ran out of input", "unexpected EOF", "file not found", "PytorchStreamReader")
    if not message or isinstance(error, EOFError) or any(sign in message for sign in cut):
        return "it is empty, cut off or damaged: copy it again"
    return message


def fit_weights(network: nn.Module, state: Mapping[str, Any], path: Path, spared: tuple[str, ...] = ()) -> None:
    """Copy a state dict into a network.

    Args:
        spared: Prefixes of keys that stay as they are where the file lacks them or has another shape: the head of a
            network that was trained on other classes.

    Raises:
        InvalidFile: the file lacks a weight, or one is of another shape.
    """
    own = network.state_dict()
    taken: dict[str, Tensor] = {}
    for key, mine in own.items():
        theirs = state.get(key)
        if isinstance(theirs, Tensor) and theirs.shape == mine.shape:
            taken[key] = theirs
        elif not key.startswith(spared):
            have = f"is {tuple(theirs.shape)}" if isinstance(theirs, Tensor) else "is missing"
            raise InvalidFile(
                path,
                f"{key} {have} where the network has {tuple(mine.shape)}",
                "Give weights of the same architecture and size.",
            )
    network.load_state_dict(taken, strict=False)
