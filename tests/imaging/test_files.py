r"""Files: failures named in one line, results whole or not at all, and TOML that the standard library reads back."""

from __future__ import annotations

import gzip
import logging
import math
import os
import tomllib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import named, read_tensors, silenced, to_toml, write_atomically, write_tensors

# --- failures ---


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("expected a heart"), "scan.nii: expected a heart"),
        (InputError("scan.nii: expected a heart"), "scan.nii: expected a heart"),
        (FileNotFoundError(2, "No such file"), "scan.nii: no such file or folder"),
        (PermissionError(13, "Permission denied"), "scan.nii: no permission"),
        (EOFError("ended early"), "scan.nii: expected a whole gzip file, got a truncated or damaged one"),
        (zlib.error("Error -3"), "scan.nii: expected a whole gzip file, got a truncated or damaged one"),
        (gzip.BadGzipFile("no gzip"), "scan.nii: expected a whole gzip file, got a truncated or damaged one"),
        (MemoryError(), "scan.nii: too large for this machine's memory"),
        (OSError(28, "No space\nleft on  device"), "scan.nii: No space left on device"),
        (OSError("odd"), "scan.nii: odd"),
    ],
)
def test_what_goes_wrong_names_the_file(error: Exception, message: str) -> None:
    with pytest.raises(InputError) as caught, named("scan.nii"):
        raise error
    assert str(caught.value) == message and caught.value.__cause__ is error


def test_a_mistake_of_ours_is_not_the_files() -> None:
    with pytest.raises(KeyError), named("scan.nii"):
        raise KeyError("typo")


@pytest.mark.parametrize("before", [False, True])
def test_a_silenced_logger_speaks_again_afterwards(before: bool, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("cardiolearn.test")
    logger.disabled = before
    with pytest.raises(RuntimeError), silenced("cardiolearn.test"):
        logger.error("a remark")
        raise RuntimeError
    assert not caplog.records and logger.disabled is before
    logger.disabled = False


# --- writing ---


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"first", b"", bytes(range(256))):
        write_atomically(path, content)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"before")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full_disk)
    with pytest.raises(InputError, match=r"a\.bin: No space left"):
        write_atomically(path, b"after")
    assert os.listdir(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"before"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no.a\.bin: expected an existing folder to write into, .*no is none"):
        write_atomically(tmp_path / "no" / "a.bin", b"")
    assert not list(tmp_path.iterdir())


# --- tensors ---


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "t.safetensors"
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    tensors = {
        "turned": image.transpose(2, 3),
        "channels last": image.contiguous(memory_format=torch.channels_last).requires_grad_(),
        "labels": torch.tensor([[1, 2], [3, 255]], dtype=torch.uint8),
        "half": image.half(),
        "one": torch.tensor(3),
    }
    write_tensors(path, tensors, {"origin": 'a "quoted" é'})
    found, header = read_tensors(path)
    assert header == {"origin": 'a "quoted" é'} and found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value), name
    assert os.listdir(path.parent) == ["t.safetensors"]


def test_unreadable_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    with pytest.raises(InputError, match=r"t\.safetensors: no such file"):
        read_tensors(path)
    write_tensors(path, {"a": torch.ones(100)}, {})
    whole = path.read_bytes()
    for content in (b"", b"no tensors", whole[:-8], whole[:40]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"t\.safetensors: expected a safetensors file, got a damaged"):
            read_tensors(path)


# --- TOML ---

#: Any text that UTF-8 can hold, quotes, line ends and control characters included.
TEXT = st.text(st.one_of(st.sampled_from("\"'\\\n\r\t\x00\x1b\x7f\x85\u2028#=[]{}.,"), st.characters(codec="utf-8")))
PLAIN = st.one_of(TEXT, st.booleans(), st.integers(), st.floats(allow_nan=False))
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(TEXT, VALUES, max_size=6))
@example({"": {"": {"": ""}}})
@example({"a.b": {"c d": {"e": 1}}, "a": {"b": 2}})
@example({"inside": {"table": 1}, "after": True, "mixed": [1, "two", [3.0], {"four": {"five": []}}]})
@example({"far": [1e-20, 1e300, -0.0, math.inf, -math.inf], "true": True, "1": 1})
def test_toml_comes_back_as_it_was(table: dict[str, Any]) -> None:
    found = tomllib.loads(to_toml(table))
    assert found == table
    assert repr(sorted(flat(found))) == repr(sorted(flat(table)))  # 1 is neither True nor 1.0 there


def flat(value: Any, name: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str]]:
    r"""All values in a table with the keys that lead to them."""
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in flat(inner, (*name, key))]
    if isinstance(value, list):
        return [pair for key, inner in enumerate(value) for pair in flat(inner, (*name, str(key)))]
    return [(name, repr(value))]


def test_toml_of_what_is_no_number() -> None:
    assert math.isnan(tomllib.loads(to_toml({"a": math.nan}))["a"])


def test_toml_of_numpys_and_torchs_values() -> None:
    table = {
        "shape": (1, 2),
        "array": np.array([[1.5, -2.0]]),
        "tensor": torch.tensor([1, 2]),
        "one": {"share": np.float32(0.5), "flag": np.bool_(True), "count": torch.tensor(7), "word": np.str_("é")},
    }
    expected = {
        "shape": [1, 2],
        "array": [[1.5, -2.0]],
        "tensor": [1, 2],
        "one": {"share": 0.5, "flag": True, "count": 7, "word": "é"},
    }
    assert tomllib.loads(to_toml(table)) == expected


@pytest.mark.parametrize("value", [None, object(), {1, 2}, [None], {"deep": [{"er": b"bytes"}]}])
def test_toml_refuses_what_it_cannot_say(value: object) -> None:
    with pytest.raises(InputError, match="TOML: expected text, numbers, lists or tables, got"):
        to_toml({"key": value})
