r"""Every attribute that is read, set to what it must not be: never a traceback, never a silent other heart."""

from __future__ import annotations

import random
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from dicoms import Datasets, cine, enhanced, save
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.dicom_attributes import ATTRIBUTES, Attributes
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.reading import read_image

BINARY = {"US": "<H", "FD": "<d", "UL": "<I"}
#: Of each attribute, in one file and in all: a few at random, as all take minutes.
MUTANTS = 2
LONG = ("OW",)
#: Mutants that stay consistent and plausible, if all files say so: nothing in the folder contradicts them.
UNSEEN = {"RescaleSlope", "PhotometricInterpretation"}


def full_cine() -> Datasets:
    r"""A cine whose headers hold every attribute that a classic file may have."""
    datasets = cine(3, 2)
    for (t, z), ds in datasets.items():
        ds.SpacingBetweenSlices, ds.SliceLocation, ds.NominalInterval = 9.0, 9.0 * z, 120
        ds.RescaleSlope, ds.RescaleIntercept, ds.PixelPaddingValue = 1, 0, 0
        ds.ComplexImageComponent, ds.PresentationLUTShape, ds.NumberOfFrames = "MAGNITUDE", "IDENTITY", 1
        ds.InstanceNumber = 1 + t + 3 * z
    return datasets


def full_file() -> Datasets:
    return {(0, 0): enhanced([(t, z) for z in range(2) for t in range(4)])}


def start_of(keyword: str, vr: str) -> bytes:
    r"""The bytes with which an attribute begins in a file."""
    tag = Tag(keyword)
    return struct.pack("<HH", tag.group, tag.element) + vr.encode()


def element(keyword: str, vr: str, value: bytes) -> bytes:
    length = struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))
    return start_of(keyword, vr) + length + value


def values_in(file: bytes, keyword: str, vr: str) -> list[slice]:
    r"""Where in a file an attribute stands, in sequences too."""
    found, start = [], start_of(keyword, vr)
    at = file.find(start)
    while at >= 0:
        head = len(start) + (6 if vr in LONG else 2)
        length = struct.unpack("<I" if vr in LONG else "<H", file[at + head - (4 if vr in LONG else 2) : at + head])[0]
        found.append(slice(at, at + head + length))
        at = file.find(start, at + head + length)
    return found


def put(file: bytes, keyword: str, vr: str, value: bytes | None, last_only: bool) -> bytes:
    r"""A file with other bytes as the value of an attribute, without it for None; bytes that are no such value too."""
    new = b"" if value is None else element(keyword, vr, value)
    places = values_in(file, keyword, vr)
    if not places:
        at = file.rfind(start_of("PixelData", "OW"))
        places = [slice(at, at)]
    for place in reversed(places[-1:] if last_only else places):
        file = file[: place.start] + new + file[place.stop :]
    return file


def encoded(values: Sequence[object], vr: str) -> bytes:
    if vr in BINARY:
        return b"".join(struct.pack(BINARY[vr], v) for v in values)
    text = "\\".join(map(str, values)).encode()
    return text + b" " * (len(text) % 2)


def mutants(value: bytes, vr: str, rng: random.Random) -> Iterator[bytes | None]:
    r"""Bytes to put in the place of a value; None takes the attribute away."""
    yield from (None, b"", value + value)
    if vr == "FD":
        yield from (encoded([v], vr) for v in (0.0, -1.0, np.nan, np.inf, 1.7e308))
    elif vr in ("US", "UL"):
        yield from (encoded([v], vr) for v in (0, 1, 65535))
    elif vr not in ("OW", "AT"):
        n = len(value.split(b"\\"))
        yield from (encoded([v] * n, vr) for v in ("0", "-1", "nan", "inf", "9.9e99", "text"))
        yield encoded([*value.decode().split("\\"), "1"], vr)
    if value and vr != "OW":
        flipped = bytearray(value)
        position = rng.randrange(8 * len(value))
        flipped[position // 8] ^= 1 << position % 8
        yield bytes(flipped)


def verdict(folder: Path, true: Image) -> str:
    r"""What comes of a folder: refused, told, the same image, or another one without a word."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = read_image(folder)
    except InputError as error:
        text = str(error)
        assert text.startswith(str(folder)) and "\n" not in text and "SECRET" not in text
        return "refused"
    if caught:
        assert all(w.category is InputWarning and str(w.message).startswith(str(folder)) for w in caught)
        assert len({str(w.message) for w in caught}) == len(caught)
        return "told"
    grid = np.array([[x, y, z, 1] for x in (0, 7) for y in (0, 5) for z in (0, 1)])
    same = (
        image.data.shape == true.data.shape
        and np.abs(grid @ (image.affine - true.affine).T).max() < 0.02 * min(true.spacing)
        and float((image.data - true.data).abs().max()) < 0.02 * float(true.data.max())
        and image.frame_duration == pytest.approx(true.frame_duration, rel=0.02)
    )
    return "same" if same else "another"


@pytest.mark.parametrize("make", [full_cine, full_file])
def test_no_attribute_misleads(tmp_path: Path, make: Callable[[], Datasets]) -> None:
    rng = random.Random(0)
    true = read_image(save(tmp_path, make()))
    files = {path: path.read_bytes() for path in sorted(tmp_path.iterdir())}
    last = max(files)
    found: dict[str, list[str]] = {"refused": [], "told": [], "same": [], "another": []}
    for keyword in ATTRIBUTES:
        vr = {"SQ": "LO", "US or SS": "US", "OB or OW": "OW"}.get(dictionary_VR(keyword), dictionary_VR(keyword))
        places = values_in(files[last], keyword, vr)
        value = files[last][places[-1]][len(element(keyword, vr, b"")) :] if places else b""
        every = list(mutants(value, vr, rng))
        for mutant in rng.sample(every, min(len(every), MUTANTS)):
            for everywhere in (False, True):
                for path, file in files.items():
                    changed = everywhere or path == last
                    path.write_bytes(put(file, keyword, vr, mutant, last_only=not everywhere) if changed else file)
                name = f"{keyword} {mutant[:40] if mutant else mutant!r} {'all' if everywhere else 'one'}"
                found[verdict(tmp_path, true)].append(name)
    silent = [f for f in found["another"] if not (f.endswith("all") and f.split()[0] in UNSEEN)]
    assert silent == []
    assert all(found[kind] for kind in ("refused", "told", "same"))


def test_the_list_holds_all_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    values = Attributes.values

    def noting(self: Attributes, keyword: str) -> list[object]:
        read.add(keyword)
        return values(self, keyword)

    monkeypatch.setattr(Attributes, "values", noting)
    for name, make in {"cine": full_cine, "file": full_file}.items():
        (tmp_path / name).mkdir()
        read_image(save(tmp_path / name, make()))
    listed = set(ATTRIBUTES) - {"DimensionIndexPointer"}  # looked at where a file names its dimensions
    assert {keyword for keyword in read if keyword in listed or not keyword.endswith("Sequence")} == listed


def test_an_unreadable_value_is_not_an_absent_one(tmp_path: Path) -> None:
    save(tmp_path, full_cine())
    path = tmp_path / "0.dcm"
    path.write_bytes(put(path.read_bytes(), "NumberOfFrames", "IS", b"inf ", last_only=True))
    with pytest.raises(InputError, match=r"0.dcm: expected NumberOfFrames 1 to .* got b'inf '$"):
        read_image(tmp_path)


def test_an_empty_value_is_an_absent_one() -> None:
    ds = Dataset()
    ds.PhotometricInterpretation, ds.RescaleSlope = "", None
    assert Attributes("", [ds]).values("PhotometricInterpretation") == Attributes("", [ds]).values("RescaleSlope") == []


def test_random_bytes_in_a_header(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    datasets = full_cine()
    true = read_image(save(tmp_path, datasets))
    for path in sorted(tmp_path.iterdir())[:2]:
        whole = path.read_bytes()
        for _ in range(25):
            damaged = bytearray(whole)
            for position in rng.integers(132, len(whole) - 96, size=3):
                damaged[position] = rng.integers(256)
            path.write_bytes(damaged)
            assert verdict(tmp_path, true) != "another"
        path.write_bytes(whole)
