r"""CT: attenuation of tissues, a window, blur and noise that are as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hearts import seeded
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.ct import ANY_CT, UNSEEN_CT, CTScanner, attenuation_table, blurred, scan_ct

#: A scanner that shows attenuation as it is: -500 HU is black, 500 white.
PLAIN = CTScanner(
    "plain", left=(300, 300), right=(150, 150), muscle=(60, 60), organs=(0, 0), spread=(0, 0), noise=(0, 0),
    blur=(0.01, 0.01), middle=(0, 0), width=(1000, 1000),
)  # fmt: skip


def full_of(tissue: Tissue, size: int = 12) -> torch.Tensor:
    return torch.full((1, size, size + 1, size - 1), int(tissue), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("tissue", "attenuation"),
    [(Tissue.LV_BLOOD, 300.0), (Tissue.RV_BLOOD, 150.0), (Tissue.MYOCARDIUM, 105.0), (Tissue.EPICARDIAL_FAT, -90.0),
     (Tissue.LUNG, -500.0), (Tissue.CORTICAL_BONE, 500.0)],
)  # fmt: skip
def test_a_plain_scanner_shows_attenuation(tissue: Tissue, attenuation: float) -> None:
    seen = scan_ct(full_of(tissue), 2.0, PLAIN, seeded())
    assert (seen - 0.5).mul(1000.0).mean().item() == pytest.approx(attenuation, abs=0.5)


def test_every_tissue_has_an_attenuation_and_scans_differ() -> None:
    table = attenuation_table(3, ANY_CT, seeded())
    assert table.shape == (3, len(Tissue)) and not torch.equal(table[0], table[1])
    assert (table[:, int(Tissue.LV_BLOOD)] >= 250).all() and (table[:, int(Tissue.LV_BLOOD)] <= 550).all()
    assert (table[:, int(Tissue.LV_BLOOD)] > table[:, int(Tissue.MYOCARDIUM)] + 50).all()


def test_noise_is_as_strong_as_asked_whatever_the_blur() -> None:
    noisy = replace(PLAIN, noise=(40, 40), blur=(4.0, 4.0))
    seen = scan_ct(full_of(Tissue.MYOCARDIUM, 24), 2.0, noisy, seeded()) * 1000.0
    assert seen.std().item() == pytest.approx(40.0, rel=0.02)
    neighbours = np.corrcoef(seen[0, :, :, 1:].flatten(), seen[0, :, :, :-1].flatten())[0, 1]
    assert neighbours > 0.4  # as coarse as the kernel


def test_the_blur_is_scipys() -> None:
    picture = torch.rand((2, 11, 12, 13), generator=seeded())
    sigma = torch.tensor([0.6, 1.1])
    for found, one, width in zip(blurred(picture, sigma), picture, sigma.tolist(), strict=True):
        expected = ndimage.gaussian_filter(one.numpy(), width, mode="nearest", radius=4)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_unseen_scanner_lies_outside_what_others_do() -> None:
    for name in ("left", "noise", "blur"):
        (low, high), (least, most) = getattr(UNSEEN_CT, name), getattr(ANY_CT, name)
        assert high < least or low > most


def test_a_scan_is_the_same_from_the_same_seed_and_stays_in_range() -> None:
    codes = torch.randint(0, len(Tissue), (2, 6, 7, 8), generator=seeded(1)).to(torch.uint8)
    first, again = (scan_ct(codes, 2.0, ANY_CT, seeded(4)) for _ in range(2))
    assert torch.equal(first, again) and first.min() >= 0.0 and first.max() <= 1.0
    assert not torch.equal(first, scan_ct(codes, 2.0, ANY_CT, seeded(5)))


def test_codes_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"tissue: expected codes \(n, Z, Y, X\), got shape \(4, 4, 4\)"):
        scan_ct(torch.zeros((4, 4, 4), dtype=torch.uint8), 2.0, ANY_CT, seeded())
