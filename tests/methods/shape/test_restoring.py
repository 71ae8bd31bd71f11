r"""Restorers: they begin as linear interpolation, and are scored around the heart as scikit-image does."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from hearts import seeded
from scipy.ndimage import binary_dilation
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from cardiolearn.methods.shape import restoring
from cardiolearn.methods.shape.acnn import CodePrior, super_resolution_loss
from cardiolearn.methods.shape.autoencoder import Encoder
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.phantom_hearts import StackHearts
from cardiolearn.methods.shape.restoring import Restorer, TrainingRestoring, interpolated, scores
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps, sample_volume
from cardiolearn.phantom.cohorts.volume_rendering import RenderedStacks


@cache
def hearts() -> StackHearts:
    maps = sample_volume(1)
    return StackHearts(VolumeMaps(maps.tissue.repeat(2, 1, 1, 1, 1), maps.label.repeat(2, 1, 1, 1, 1)))


def test_an_untrained_restorer_interpolates_between_the_middles_of_thick_slices() -> None:
    stack = torch.rand((2, 1, 5, 8, 9), generator=seeded())
    found = Restorer(seed=1).eval()(stack)
    places = (np.arange(20) - 1.5) / 4  # of thin slices, counted in thick ones
    expected = np.apply_along_axis(lambda column: np.interp(places, np.arange(5), column), 2, stack.numpy())
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-6)
    torch.testing.assert_close(interpolated(stack), found.detach())


def test_it_learns_from_stacks_and_their_thin_slices_of_the_first_hearts() -> None:
    predictor = frozen(Encoder(1, (64, 56, 72)))
    data = TrainingRestoring(hearts(), 3, prior=CodePrior(predictor, 2.0, 0.3))
    stack, thin = data(0, seeded(4))
    picks = seeded(4)
    expected = hearts().rendered(torch.randint(0, 3, (2,), generator=picks), picks)
    assert torch.equal(stack, expected.stack) and torch.equal(thin, expected.thin)
    found = interpolated(stack).requires_grad_()
    loss = data.loss(found, thin)
    torch.testing.assert_close(loss, super_resolution_loss(found, thin, data.prior))
    assert loss > TrainingRestoring(hearts(), 3).loss(found, thin)  # the prior adds to it
    assert len(data.held_out.stack) == 1
    assert data.held_out_score(Restorer()) == pytest.approx(scores({"": None}, data.held_out)["psnr"].mean(), abs=1e-4)


def test_scores_are_those_around_the_heart() -> None:
    label = torch.zeros(2, 8, 24, 24, dtype=torch.long)
    label[:, 2:6, 8:14, 9:15] = 1
    stack, thin = (torch.rand((2, 1, n, 24, 24), generator=seeded(n)) for n in (2, 8))
    table = scores({"linear": None}, RenderedStacks(stack, thin, label))
    assert list(table["phase"]) == ["ED", "ES"] and set(table["subject"]) == {"00000"}
    square = np.ones((1, 9, 9), bool)
    for i, row in table.iterrows():
        near = binary_dilation((label[i] > 0).numpy(), square)
        ours, theirs = interpolated(stack)[i, 0].numpy(), thin[i, 0].numpy()
        expected = peak_signal_noise_ratio(theirs[near], ours[near], data_range=1.0)
        assert row["psnr"] == pytest.approx(expected, rel=1e-5)


def test_what_is_recorded_are_both_restorers_that_saw_motion() -> None:
    names = ("linear", "plain", "plain, motion", "constrained, motion")
    rows = [
        {"subject": subject, "phase": phase, "method": name, "psnr": 10.0 * k + j + i, "ssim": 0.1 * k}
        for k, name in enumerate(names) for j, subject in enumerate(("a", "b")) for i, phase in enumerate(("ED", "ES"))
    ]  # fmt: skip
    records = restoring.to_record(pd.DataFrame(rows))
    assert records["acnn.sr.psnr.plain"]["values"] == pytest.approx(np.array([[20.5, 21.5]]))
    assert records["acnn.sr.ssim.constrained"]["values"] == pytest.approx(np.array([[0.3, 0.3]]))
    assert {name: of["unit"] for name, of in records.items()} == {
        f"acnn.sr.{metric}.{name}": unit
        for metric, unit in restoring.UNITS.items() for name in ("plain", "constrained")
    }  # fmt: skip
    assert all((of["subjects"], of["seeds"]) == (["a", "b"], [0]) for of in records.values())


def test_pictures_are_one_cut_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = restoring.with_motion_alone(hearts())
    assert moved.degradation.shift == hearts().degradation.shift and moved.degradation.missing == 0.0
    scans = moved.rendered(torch.tensor([0]), seeded())
    assert (scans.stack.flatten(2).amax(2) > 0).all()
    methods: dict[str, nn.Module | None] = {"linear": None, "untrained": Restorer()}
    (panels,) = restoring.panels(methods, scans).values()
    assert list(panels) == ["thick slices", "linear", "untrained", "thin slices"]
    torch.testing.assert_close(panels["linear"].picture, panels["untrained"].picture, atol=1e-5, rtol=0)
    assert len({panel.picture.shape for panel in panels.values()}) == 1
