r"""Lessons and scores of super-resolution: pairs that belong together, views, masks, measures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from cardiolearn import restoration, restored, thin_slices
from cardiolearn.image import Image
from cardiolearn.metrics import psnr
from cardiolearn.networks.superresolution import interpolate
from cardiolearn.phantom.high_resolution import SPACING
from cardiolearn.phantom.stacks import clinical_stack
from cardiolearn.phantom.subject import sample_subject
from cardiolearn.phantom.volumes import Volumes
from cardiolearn.study import write_study

Draw = Callable[[int], Volumes]


class Plain(nn.Module):
    r"""Linear interpolation, as a network."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, stack: torch.Tensor) -> torch.Tensor:
        return self.gain * interpolate(stack[:, :1])


@pytest.mark.parametrize("views", [False, True])
def test_inputs_and_targets_show_the_same_piece_at_one_scale(spheres: Draw, views: bool) -> None:
    pairs = restoration.Pairs(spheres(2), 2, views=views, size=24, batch=3)
    inputs, target = pairs(0, torch.Generator().manual_seed(0))
    assert inputs.shape == (3, 21 if views else 1, 6, 24, 24) and target.shape == (3, 1, 30, 24, 24)
    again = pairs(9, torch.Generator().manual_seed(0))
    assert torch.equal(inputs, again[0]) and torch.equal(target, again[1])
    assert not torch.equal(inputs, pairs(0, torch.Generator().manual_seed(1))[0])
    apart = (interpolate(inputs[:, :1]) - target)[:, :, 2:-2]
    assert apart.abs().mean() < 0.15 * restoration.SPAN  # the same place; another piece would be some 3 off
    if views:
        folded = inputs[:, 1:].reshape(3, 2, 2, 5, 6, 24, 24)  # view, signal or presence, thin slice of the thick one
        signal, there = folded[:, :, 0], folded[:, :, 1]
        assert set(there.unique().tolist()) <= {0.0, 1.0}
        assert (signal[there == 0] == 0).all() and signal[there > 0].std() > 1
        truth = target.reshape(3, 1, 6, 5, 24, 24).transpose(2, 3).expand_as(signal)
        assert (signal - truth)[there > 0].abs().mean() < 0.15 * restoration.SPAN


@pytest.mark.parametrize(("size", "rows", "columns"), [(16, (2, 22), (60, 78)), (60, (0, 2), (34, 40))])
def test_patches_lie_on_the_heart_and_its_border(size: int, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    heart = torch.zeros(5, 90, 100, dtype=torch.bool)
    heart[2, 10:30, 68:86] = True
    g = torch.Generator().manual_seed(0)
    corners = torch.tensor([[p.start for p in restoration._on_the_heart(heart, size, g)] for _ in range(400)])
    lowest, highest = corners.amin(0).tolist(), corners.amax(0).tolist()
    assert (lowest[0], highest[0]) == rows and (lowest[1], highest[1]) == columns


def test_held_breaths_leave_every_slice_where_it_lies(spheres: Draw) -> None:
    still = restoration.TestScan.of(spheres(1), 0, seed=3, breath_hold=0.0)
    moved = restoration.TestScan.of(spheres(1), 0, seed=3)
    rows = {name: restoration.scores(scan, {"linear": "linear"}) for name, scan in (("still", still), ("moved", moved))}
    assert all(a["psnr"] > b["psnr"] for a, b in zip(rows["still"], rows["moved"], strict=True))
    assert torch.equal(still.volume, moved.volume)


def test_only_the_first_subjects_are_learnt_from_and_the_others_are_held_out(spheres: Draw) -> None:
    volumes = spheres(3)
    volumes.image[2] += 1000
    pairs = restoration.Pairs(volumes, 2, size=20, batch=2)
    raw = [pairs(0, torch.Generator().manual_seed(i))[1].max().item() for i in range(12)]
    assert max(raw) < 15  # scaled: far below what the bright subject would give unscaled
    (scan,) = [restoration.TestScan.of(volumes, 2, seed=99)]
    low_high = np.percentile(scan.volume[0], (1, 99))
    expected = psnr(thin_slices.upsample(scan.stack[0], "linear"), scan.volume[0], scan.mask[0], np.ptp(low_high))
    assert pairs.held_out_score(Plain().eval()) == pytest.approx(expected, abs=0.02)


def test_a_test_scan_is_the_same_for_every_method_and_its_mask_is_the_grown_heart(spheres: Draw) -> None:
    volumes = spheres(2)
    scan, again = (restoration.TestScan.of(volumes, 1, seed=4) for _ in range(2))
    assert torch.equal(scan.stack, again.stack) and torch.equal(scan.views, again.views)
    assert scan.stack.shape == (2, 6, 48, 44) and scan.views.shape == (2, 4, 30, 48, 44)
    for phase in (0, 1):
        structure = np.ones((1, 17, 17), dtype=bool)
        grown = ndimage.binary_dilation(scan.labels[phase].numpy() > 0, structure)
        assert np.array_equal(grown, scan.mask[phase].numpy())
    expected = clinical_stack(scan.volume, SPACING, torch.Generator().manual_seed(4 * 1_000_003 + 1))
    assert torch.equal(scan.stack, expected)


def test_scores_name_every_method_and_the_truth_is_perfect(spheres: Draw) -> None:
    scan = restoration.TestScan.of(spheres(1), 0, seed=0)
    rows = restoration.scores(scan, {"linear": "linear", "network": Plain().eval()})
    assert [(r["who"], r["phase"]) for r in rows] == [(w, p) for w in ("linear", "network") for p in ("ED", "ES")]
    assert rows[0]["psnr"] == pytest.approx(rows[2]["psnr"], abs=1e-3)
    assert 10 < rows[0]["psnr"] < 40 and 0 < rows[0]["ssim"] < 1
    assert rows[0]["ssim"] == pytest.approx(rows[2]["ssim"], abs=1e-3)


@pytest.mark.parametrize("name", restoration.NETWORKS)
def test_each_network_takes_what_a_test_scan_holds(spheres: Draw, name: str) -> None:
    scan = restoration.TestScan.of(spheres(1), 0, seed=0)
    network = restoration.NETWORKS[name](0).eval()
    assert scan.restored(network).shape == scan.volume.shape


def test_smooth_l1_by_hand() -> None:
    found, wanted = torch.tensor([0.5, -3.0, 1.0]), torch.tensor([0.0, 0.0, 0.0])
    assert restoration.Pairs.loss(found, wanted).item() == pytest.approx((0.125 + 2.5 + 0.5) / 3)


def test_every_subject_is_scored(spheres: Draw) -> None:
    table = restored.score_all(spheres(2), {"linear": "linear", "spline": "spline"}, seed=0)
    assert list(table.columns) == ["subject", "who", "phase", "psnr", "ssim"]
    assert len(table) == 8 and set(table["subject"]) == {"00000", "00001"}


def test_what_is_measured_on_true_slices_has_no_error_if_the_outline_has_none(spheres: Draw) -> None:
    volumes = spheres(2)

    def outline(volume: Image) -> Image:
        return volume.with_data((volume.data > 250).to(torch.uint8))

    table = restored.measure_all(volumes, {"nearest": "nearest", "linear": "linear"}, outline, seed=0)
    errors = table.set_index(["who", "subject"])[["lv_edv", "lv_esv", "lv_ef"]]
    assert errors.loc["high_resolution"].abs().to_numpy().max() == 0.0
    assert (errors.loc["linear", "lv_esv"].abs() > 0.1).all() and errors.abs().to_numpy().max() < 40.0


def test_every_second_slice_of_a_scan_is_found_again(spheres: Draw, tmp_path: Path) -> None:
    volume = spheres(1).image[0, 0].float()
    ramp = torch.arange(9.0)[:, None, None].expand(9, 48, 44) * 30 + volume[0]
    affine = np.diag([1.25, 1.25, 10.0, 1.0])
    scans = {"linear": Image(ramp, affine), "few": Image(ramp[:4], affine), "film": Image(ramp[None], affine)}
    names = {"linear": "sa_ED", "few": "sa_ED", "film": "sa"}
    studies = [write_study(tmp_path / name, {names[name]: scan}, {}, {}) for name, scan in scans.items()]
    blind = lambda scan: scan.with_data(torch.zeros_like(scan.data, dtype=torch.uint8))  # noqa: E731
    methods = {"linear": "linear", "network": Plain().eval()}
    table = restored.score_left_out(studies, methods, blind).set_index(["subject", "who"])
    assert {subject for subject, _ in table.index} == {"linear", "film"}  # four slices are too few
    assert table.loc[("linear", "linear"), "psnr"] > 60.0  # a ramp is what linear interpolation finds
    assert table.loc[("linear", "network"), "psnr"] > 60.0


def test_a_variant_learns_from_its_group_and_is_tested_on_all(
    spheres: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str, str | None]] = []

    def draw(n: int, folder: Path, *, cohort: str = "train", seed: int = 0, group: str | None = None) -> Volumes:
        asked.append((n, cohort, group))
        return spheres(n)

    monkeypatch.setattr(restored, "draw_volumes", draw)
    variant = restored.Variant("siamese", subjects=1, tests=2, group="NOR")
    rows = variant.learn(tmp_path, 0, steps=1, seed=3, device=torch.device("cpu"))
    assert asked == [(1, "train", "NOR"), (2, "test", None)]
    assert [row["subject"] for row in rows] == ["00000", "00001"]
    assert [row["group"] for row in rows] == [sample_subject(i, cohort="test", seed=0).group for i in range(2)]
    again = variant.learn(tmp_path, 0, steps=1, seed=3, device=torch.device("cpu"))
    assert again == rows
