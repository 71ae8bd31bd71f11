r"""Weights: how they begin, shipped ones small, verified and with their origin, and networks made ready with them."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from cardiolearn.errors import InputError
from cardiolearn.learning import weights
from cardiolearn.learning.weights import (
    Provenance,
    initialise,
    load_weights,
    ready,
    save_weights,
    ship_weights,
    shipped_weights,
    weights_file,
)
from cardiolearn.methods.segmentation.fcn import FCN

ORIGIN = Provenance(
    "01_ml_in_mia", "reproduce", 3, "0123456789ab", "c0ffee12", "cpu",
    metrics={"dice.lv": float(np.float64(0.93)), 'odd "name"': 1e-7},
)  # fmt: skip


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
    ship_weights("first", sent, Provenance("02_super_resolution", "full", 4, "0123456789ab", "c0ffee12", "cuda"))
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
    assert weights_file("second") == (kit / "second.safetensors", found)
    assert found.sha256 == hashlib.sha256((kit / "second.safetensors").read_bytes()).hexdigest()
    assert shipped_weights()["first"].seed == 4


def test_two_lessons_that_ship_at_once_are_both_listed(
    kit: Path, waiting: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, thread = weights.to_toml, Thread(target=ship_weights, args=("second", nn.Linear(1, 1), ORIGIN))

    def late(table: Mapping[str, Any]) -> str:
        if not thread.ident:
            thread.start()
            assert waiting.wait(60)
        return written(table)

    monkeypatch.setattr(weights, "to_toml", late)
    ship_weights("first", nn.Linear(1, 1), ORIGIN)
    thread.join(60)
    assert list(shipped_weights()) == ["first", "second"]


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


# --- how weights begin ---


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(6, 40, 5), nn.Conv3d(4, 30, 3), nn.Linear(150, 40), nn.ConvTranspose2d(40, 6, 5)], ids=repr
)
def test_weights_begin_normal_with_the_variance_of_he(layer: nn.Conv2d | nn.Linear) -> None:
    network = nn.Sequential(nn.Identity(), layer)
    initialise(network, seed=3)
    weight = layer.weight.detach()
    fan_in = weight[0].numel()  # torch counts a transposed convolution's so too
    values = weight.flatten().double().numpy() / math.sqrt(2 / fan_in)
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert layer.bias is not None and not layer.bias.any()


def test_weights_begin_alike_whatever_ran_before() -> None:
    networks = [nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5)) for _ in range(3)]
    for noise, (network, seed) in enumerate(zip(networks, (7, 7, 8), strict=True)):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        initialise(network, seed)
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (network[0].weight for network in networks)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert (networks[0][1].weight == 1).all()  # normalisation stays as torch begins it


# --- ready for inference ---


def used(network: nn.Module) -> nn.Module:
    r"""The network after some batches: its normalisation has statistics and factors of its own."""
    generator = torch.Generator().manual_seed(0)
    network.train()
    for _ in range(3):
        network(5 + 3 * torch.randn(2, 1, 32, 32, generator=generator))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.1, generator=generator)
    return network


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 4, 1)
    )


@pytest.mark.parametrize("make", [partial(FCN, seed=1), plain], ids=["with fused", "without"])
def test_a_ready_network_answers_as_the_unfused_one_rounded_to_half(make: Callable[[], nn.Module]) -> None:
    network = used(make())
    picture = torch.rand(2, 1, 48, 32, generator=torch.Generator().manual_seed(1))
    rounded = copy.deepcopy(network).eval()
    for value in (*rounded.parameters(), *rounded.buffers()):
        value.data = torch.from_numpy(value.numpy(force=True).astype(np.float16).astype(np.float32)).to(value.dtype)
    with torch.no_grad():
        expected, unrounded = rounded(picture), copy.deepcopy(network).eval()(picture)
    found = ready(network, torch.device("cpu"))
    assert found is not network and not found.training and not network.training
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    scale = float(expected.abs().max())
    torch.testing.assert_close(found(picture), expected, rtol=1e-4, atol=1e-5 * scale)
    assert (expected - unrounded).abs().max() > 1e-4 * scale  # rounding is seen
    assert isinstance(network(picture), torch.Tensor)
    for name, value in network.state_dict().items():
        assert torch.equal(value, rounded.state_dict()[name]), name
    assert any(isinstance(m, nn.BatchNorm2d) for m in found.modules()) is not hasattr(network, "fused")


def test_what_is_shipped_and_loaded_answers_as_what_was_made_ready(kit: Path) -> None:
    sent, received = used(plain()), plain()
    ship_weights("toy", sent, ORIGIN)
    load_weights(received, "toy")
    picture = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    cpu = torch.device("cpu")
    assert torch.equal(ready(sent, cpu)(picture), ready(received, cpu)(picture))
