r"""Exercises of lesson 2, answered by scipy, scikit-image and torch: a thick slice, PSNR and the smooth L1 loss."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm
from skimage.metrics import peak_signal_noise_ratio

from cardiolearn import checks as check


def test_a_thick_slice_is_scipys_gaussian_and_its_thickness_no_standard_deviation() -> None:
    def right(signal: torch.Tensor, thin: float, thickness: float, width: float = 2.354820045) -> float:
        distance = thin * (np.arange(len(signal)) - len(signal) // 2)
        weight = norm.pdf(distance, scale=thickness / width)
        return float(np.average(signal.numpy(), weights=weight))

    assert check.thick_slice.mistake(right) is None
    assert check.thick_slice.mistake(lambda s, d, t: right(s, d, t, 1.0)) is not None
    assert check.thick_slice.mistake(lambda s, d, t: float(s.mean())) is not None


def test_psnr_is_scikit_images_and_needs_the_range() -> None:
    def right(image: torch.Tensor, reference: torch.Tensor, data_range: float) -> float:
        return float(peak_signal_noise_ratio(reference.numpy(), image.numpy(), data_range=data_range))

    assert check.psnr.mistake(right) is None
    assert check.psnr.mistake(lambda i, r, d: right(i, r, 1.0)) is not None
    assert check.psnr.mistake(lambda i, r, d: right(i, r, float(r.max() - r.min()))) is not None


def test_smooth_l1_is_neither_half_of_it() -> None:
    assert check.smooth_l1.mistake(lambda f, w: float(((f - w) ** 2 / 2).mean())) is not None
    assert check.smooth_l1.mistake(lambda f, w: float(((f - w).abs() - 0.5).mean())) is not None
    assert check.smooth_l1.mistake(lambda f, w: float(torch.nn.HuberLoss()(f, w))) is None
