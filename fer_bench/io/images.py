"""Image files: textures and photographs."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fer_bench.errors import BrokenScan, FerBenchError
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.records import atomic_write, refuse_unwritable

# Four times FaceScape's 4096 x 4096 textures, the largest among the datasets. A header that claims more is damaged, and
# believing it would exhaust the memory.
MAX_PIXELS = 4 * 4096**2
# Those of the datasets; JPEG includes MPO. Pillow knows forty more, and starts Ghostscript for what begins as EPS does.
_FORMATS = ("BMP", "JPEG", "PNG", "GIF", "TIFF")


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB, first row at the top; grey is repeated, alpha dropped.

    Its bytes must be of BMP, JPEG (also MPO), PNG, TIFF or GIF, whatever its suffix. Grey of 16 bits is scaled to 8.

    Raises:
        BrokenScan: the file is missing, damaged, cut off, of another format, or claims more than `MAX_PIXELS`.
    """
    data = read_bytes(path)
    if not data:
        raise BrokenScan(path, "is empty, not a complete image", REMEDY)
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)  # reads the header only
        width, height = image.size
        if width * height <= MAX_PIXELS:
            if image.mode.startswith("I;16"):  # which Pillow would cut off at 255
                grey = np.rint(np.asarray(image) / np.float32(257)).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError:  # whose own words name an address in memory
        raise BrokenScan(path, "is not a complete image of any known format", REMEDY) from None
    # A damaged file makes Pillow's decoders raise almost anything, from SyntaxError to struct.error.
    except Exception as error:
        raise BrokenScan(path, f"is not a complete image ({_one_line(error)})", REMEDY) from None
    raise BrokenScan(path, f"claims {width} x {height} pixels, more than the {MAX_PIXELS} allowed", REMEDY)


def writable_image(path: Path) -> Path:
    """The path of an image that is to be written later.

    Raises:
        FerBenchError: it does not name an image, or a folder has its name.
        OSError: nothing can be written to its folder.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".bmp"):
        raise FerBenchError(f"{path}: is not the name of an image; end it with .png.")
    if path.is_dir():
        raise FerBenchError(f"{path}: is a folder; name an image that is to be written.")
    refuse_unwritable(path.parent)
    return path


def write_image(path: Path | str, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) or (H, W) uint8 in the format that the file's suffix names (.bmp, .jpg, .png), atomically."""
    with atomic_write(Path(path)) as file:
        Image.fromarray(image).save(file, format=Image.registered_extensions()[Path(path).suffix.lower()])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
