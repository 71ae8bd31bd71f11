r"""What restored slices are worth: scikit-image's scores, indices against the truth, slices left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import Adds, spheres
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import write_study
from cardiolearn.methods.superresolution import evaluation
from cardiolearn.methods.superresolution.evaluation import (
    NetworkVariant,
    gains,
    measure_all,
    score_all,
    score_left_out,
    scores,
)
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.cohorts.volumes import Volumes


def interpolated(stack: torch.Tensor) -> np.ndarray:
    r"""Linear between the slices' middles, by numpy."""
    middles = 5 * np.arange(len(stack)) + 2
    places = np.arange(5 * len(stack))
    return np.apply_along_axis(lambda line: np.interp(places, middles, line), 0, stack.double().numpy())


def scores_of(found: np.ndarray, volume: np.ndarray, mask: np.ndarray, span: float) -> tuple[float, float]:
    r"""PSNR and SSIM within a mask by scikit-image: SSIM slice by slice, with the window of Wang et al. 2004."""
    psnr = peak_signal_noise_ratio(volume[mask], found[mask], data_range=span)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "full": True}
    maps = [structural_similarity(f, v, data_range=span, **window)[1] for f, v in zip(found, volume, strict=True)]
    return psnr, float(np.stack(maps)[mask].mean())


def test_scores_are_scikit_images_within_the_mask() -> None:
    scan = TestStack.of(spheres(1), 0, seed=0)
    rows = scores(scan, {"linear": "linear", "network": Adds(0.05).eval()})
    assert [(r["method"], r["phase"]) for r in rows] == [(w, p) for w in ("linear", "network") for p in ("ED", "ES")]
    for row, phase in zip(rows[:2], (0, 1), strict=True):
        volume, mask = scan.volume[phase].double().numpy(), scan.mask[phase].numpy()
        low, high = np.percentile(volume, (1, 99))
        psnr, ssim = scores_of(interpolated(scan.stack[phase]), volume, mask, high - low)
        assert row["psnr"] == pytest.approx(psnr, abs=1e-3)
        assert row["ssim"] == pytest.approx(ssim, abs=1e-5)
    assert all(a["psnr"] != b["psnr"] for a, b in zip(rows[:2], rows[2:], strict=True))


def test_an_error_of_known_size_has_the_scores_of_the_closed_form() -> None:
    r"""Thin slices from 0 to 100 and an answer that is 10 off everywhere: 20 dB. (A stack that is flat along z.)"""
    flat = torch.linspace(0.0, 100.0, 101 * 60).reshape(1, 60, 101).expand(2, 30, 60, 101).contiguous()
    mask = torch.zeros(flat.shape, dtype=torch.bool)
    mask[:, 3:20, 20:40, 30:70] = True
    scan = TestStack(flat[:, 2::5] + 10.0, torch.zeros(2, 4, *flat.shape[1:]), flat, mask.to(torch.uint8), mask)
    low, high = np.percentile(flat[0], (1, 99))
    for row in scores(scan, {"linear": "linear", "nearest": "nearest"}):
        assert row["psnr"] == pytest.approx(20.0 * np.log10((high - low) / 10.0), abs=1e-3)
        assert row["psnr"] == pytest.approx(20.0, abs=0.2)


def test_without_breath_holds_the_scores_are_better() -> None:
    volumes = spheres(1)
    rows = [scores(TestStack.of(volumes, 0, 3, mm), {"linear": "linear"}) for mm in (0.0, 1.0)]
    assert all(a["psnr"] > b["psnr"] for a, b in zip(*rows, strict=True))


def test_every_subject_is_scored() -> None:
    volumes, methods = spheres(2), {"linear": "linear", "spline": "spline"}
    table = score_all(volumes, methods, seed=0)  # type: ignore[arg-type]
    assert list(table.columns) == ["subject", "method", "phase", "psnr", "ssim"]
    assert len(table) == 8 and set(table["subject"]) == {"00000", "00001"}
    still = score_all(volumes, methods, seed=0, breath_hold=0.0)  # type: ignore[arg-type]
    for i in range(2):
        for given, breath_hold in ((table, 1.0), (still, 0.0)):
            one = scores(TestStack.of(volumes, i, 0, breath_hold), methods)  # type: ignore[arg-type]
            found = given[given["subject"] == f"{i:05d}"].drop(columns="subject")
            assert found.to_dict("records") == one


def test_gains_are_differences_of_scores() -> None:
    volumes, networks = spheres(2), {"a": Adds(0.0).eval(), "b": Adds(0.05).eval()}
    table = gains(volumes, {"shifted": networks, "in_place": networks}, 3)
    assert len(table) == 8 and list(evaluation.GAINS) == [c for c in table.columns if c in evaluation.GAINS]
    assert (table["place"] == "in_place").sum() == 4
    found = table[table["place"] == "in_place"].set_index(["network", "subject"])
    assert found.loc["a", ["psnr_linear", "ssim_linear"]].to_numpy() == pytest.approx(0.0, abs=1e-5)  # it adds nothing
    for subject in (0, 1):
        rows = scores(TestStack.of(volumes, subject, 3, 0.0), {"spline": "spline", "b": networks["b"]})
        values = np.array([[r["psnr"], r["ssim"]] for r in rows])  # two phases of each
        psnr, ssim = values[2:].mean(0) - values[:2].mean(0)
        row = found.loc[("b", f"0000{subject}")]
        assert (row["psnr_spline"], row["ssim_spline"]) == pytest.approx((psnr, ssim), abs=1e-6)
        assert abs(psnr) > 1e-3


def bright(volume: Image) -> Image:
    return volume.with_data((volume.data > 250).to(torch.uint8))


def test_what_is_measured_on_true_slices_has_no_error_if_the_outline_has_none() -> None:
    table = measure_all(spheres(2), {"nearest": "nearest", "linear": "linear"}, bright, seed=0)
    errors = table.set_index(["method", "subject"])[["lv_edv", "lv_esv", "lv_ef"]]
    assert errors.loc["high_resolution"].abs().to_numpy().max() == 0.0
    assert (errors.loc["linear", "lv_esv"].abs() > 0.1).all() and errors.abs().to_numpy().max() < 40.0


def test_errors_of_volumes_are_those_counted_in_the_restored_slices() -> None:
    r"""Percent of the true volumes, and the ejection fraction in points, of each phase's own slices."""
    volumes = spheres(2)
    table = measure_all(volumes, {"linear": "linear"}, bright, seed=5).set_index(["method", "subject"])
    for i in range(2):
        scan = TestStack.of(volumes, i, 5)
        found = [float((interpolated(stack) > 250).sum()) for stack in scan.stack]
        true = [float((labels == 1).sum()) for labels in scan.labels]
        row = table.loc[("linear", f"{i:05d}")]
        assert row["lv_edv"] == pytest.approx(100 * (found[0] / true[0] - 1), abs=0.05)
        assert row["lv_esv"] == pytest.approx(100 * (found[1] / true[1] - 1), abs=0.05)
        assert row["lv_ef"] == pytest.approx(100 * (true[1] / true[0] - found[1] / found[0]), abs=0.05)


def test_every_second_slice_of_a_scan_is_found_again(tmp_path: Path) -> None:
    volume = spheres(1).image[0, 0].float()
    ramp = torch.arange(9.0)[:, None, None].expand(9, 48, 44) * 30 + volume[0]
    affine = np.diag([1.25, 1.25, 10.0, 1.0])
    scans = {"linear": Image(ramp, affine), "few": Image(ramp[:4], affine), "film": Image(ramp[None], affine)}
    names = {"linear": "sa_ED", "few": "sa_ED", "film": "sa"}
    studies = [write_study(tmp_path / name, {names[name]: scan}, {}, {}) for name, scan in scans.items()]
    blind = lambda scan: scan.with_data(torch.zeros_like(scan.data, dtype=torch.uint8))  # noqa: E731
    table = score_left_out(studies, {"linear": "linear", "network": Adds().eval()}, blind)
    table = table.set_index(["subject", "method"])
    assert {subject for subject, _ in table.index} == {"linear", "film"}  # four slices are too few
    assert table.loc[("linear", "linear"), "psnr"] > 60.0  # a ramp is what linear interpolation finds
    assert table.loc[("linear", "network"), "psnr"] > 60.0


def test_left_out_slices_are_scored_by_scikit_image_around_the_heart(tmp_path: Path) -> None:
    r"""By linear interpolation a left-out slice is the mean of its neighbours; the heart is outlined in a corner."""
    g = torch.Generator().manual_seed(0)
    data = 300.0 * torch.rand(9, 40, 44, generator=g)
    labels = torch.zeros(data.shape, dtype=torch.uint8)
    labels[2:6, 12:20, 14:25] = 1
    study = write_study(tmp_path / "a", {"sa_ED": Image(data, np.diag([1.25, 1.25, 10.0, 1.0]))}, {}, {})
    data = study.image().data.double()
    table = score_left_out([study], {"linear": "linear"}, lambda scan: scan.with_data(labels))
    found, gone = (0.5 * (data[:-2:2] + data[2::2])).numpy(), data[1::2].numpy()
    mask = np.zeros(gone.shape, dtype=bool)
    mask[1:3, 12 - 8 : 20 + 8, 14 - 8 : 25 + 8] = True  # slices 3 and 5; 8 pixels around
    low, high = np.percentile(data, (1, 99))
    psnr, ssim = scores_of(found, gone, mask, high - low)
    assert table["psnr"].item() == pytest.approx(psnr, abs=1e-3)
    assert table["ssim"].item() == pytest.approx(ssim, abs=1e-5)


def test_a_variant_learns_from_its_group_and_is_tested_on_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str, str | None]] = []

    def scan(n: int, folder: Path, *, cohort: str = "train", seed: int = 0, group: str | None = None) -> Volumes:
        asked.append((n, cohort, group))
        return spheres(n)

    monkeypatch.setattr(evaluation, "scan_volumes", scan)
    variant = NetworkVariant("siamese", subjects=1, tests=2, group="NOR")
    rows = variant.learn(tmp_path, 0, steps=1, seed=3, device=torch.device("cpu"))
    assert asked == [(1, "train", "NOR"), (2, "test", None)]
    assert [row["subject"] for row in rows] == ["00000", "00001"]
    assert [row["group"] for row in rows] == [sample_subject(i, cohort="test", seed=0).group for i in range(2)]
    again = variant.learn(tmp_path, 0, steps=1, seed=3, device=torch.device("cpu"))
    assert again == rows
