r"""Shipped weights: small, whole, verified, and with their origin."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.networks.fcn import FCN
from cardiolearn.weights import Provenance, load_weights, save_weights, ship_weights, shipped_weights

ORIGIN = Provenance("01_ml_in_mia", "reproduce", 3, {"dice.lv": float(np.float64(0.93)), 'odd "name"': 1e-7})


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    r"""An empty kit: the folder that `CARDIOLEARN_HOME` names."""
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "claims.toml").touch()
    monkeypatch.setenv("CARDIOLEARN_HOME", str(tmp_path))
    return tmp_path / "course" / "weights"


def test_the_fcn_fits_into_four_megabytes_and_loses_only_precision(tmp_path: Path) -> None:
    path = tmp_path / "fcn.safetensors"
    network = FCN(seed=1)
    sha256 = save_weights(path, network)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size <= 4_000_000
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="at most 4000000 bytes"):
        save_weights(tmp_path / "whole.safetensors", network, half=False)


def test_what_is_shipped_comes_back(kit: Path) -> None:
    sent, received = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
    ship_weights("first", nn.Conv2d(1, 4, 3), ORIGIN)
    ship_weights("second", sent.to(memory_format=torch.channels_last), ORIGIN)
    ship_weights("first", sent, Provenance("02_super_resolution", "full", 4))
    assert sorted(path.name for path in kit.iterdir()) == ["first.safetensors", "second.safetensors", "weights.toml"]
    found = load_weights(received, "second")
    torch.testing.assert_close(received.weight, sent.weight.half().float(), atol=0, rtol=0)
    assert (found.notebook, found.profile, found.seed, found.metrics) == (
        ORIGIN.notebook,
        ORIGIN.profile,
        ORIGIN.seed,
        ORIGIN.metrics,
    )
    assert found.versions["torch"] == torch.__version__
    assert shipped_weights()["first"].seed == 4


def test_each_damage_is_named(kit: Path) -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(InputError, match=r"weights\.toml: the list of shipped weights is missing"):
        load_weights(network, "first")
    path = ship_weights("first", network, ORIGIN)
    with pytest.raises(InputError, match="weights 'other': expected one of first"):
        load_weights(network, "other")
    with pytest.raises(InputError, match="another shape than this Conv2d"):
        load_weights(nn.Conv2d(1, 1, 1), "first")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"first\.safetensors: the weights file was altered"):
        load_weights(network, "first")
    path.unlink()
    with pytest.raises(InputError, match=r"first\.safetensors: the weights file is missing"):
        load_weights(network, "first")
    for text in ("[first]\nnotebook = 1", "no toml", "[first]\nunknown = 1"):
        (kit / "weights.toml").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=r"weights\.toml: expected the list"):
            load_weights(network, "first")


def test_a_weight_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 1e5)
    with pytest.raises(ValueError, match="below 65504 in 'weight', got up to 1e\\+05"):
        save_weights(tmp_path / "x.safetensors", network)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_name_is_refused(kit: Path) -> None:
    with pytest.raises(ValueError, match=r"got '\.\./evil'"):
        ship_weights("../evil", nn.Linear(1, 1), ORIGIN)
