r"""Label volumes that are none are refused in one line each; the others become masks."""

from __future__ import annotations

import pytest
import torch
from hearts import shell_hearts
from torch.nn import functional as F

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.label_volumes import check_labels, one_hot

HEARTS = shell_hearts(2)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_good_labels_pass_as_they_are(dtype: torch.dtype) -> None:
    labels = HEARTS.to(dtype)
    assert check_labels(labels, 4, (20, 24, 28)) is labels


@pytest.mark.parametrize(
    ("labels", "grid", "message"),
    [
        (HEARTS.float(), None, r"expected whole numbers, got float32"),
        (HEARTS > 0, None, r"expected whole numbers, got bool"),
        (HEARTS[0], None, r"expected \(N, Z, Y, X\), got \(20, 24, 28\)"),
        (HEARTS[:0], None, r"expected \(N, Z, Y, X\), got \(0, 20, 24, 28\)"),
        (HEARTS, (24, 24, 28), r"expected \(N, 24, 24, 28\), got \(2, 20, 24, 28\)"),
        (HEARTS + 1, None, r"expected labels 0 to 3, got 1 to 4"),
        (HEARTS.long() - 1, None, r"expected labels 0 to 3, got -1 to 2"),
        (HEARTS.clamp(max=1), None, r"every label from 0 to 3, found no voxel of 2, 3"),
        (torch.zeros_like(HEARTS), None, r"found no voxel of 1, 2, 3"),
    ],
)
def test_bad_labels_are_refused_in_one_line(labels: torch.Tensor, grid: tuple[int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_labels(labels, 4, grid)
    assert "\n" not in str(caught.value)


def test_masks_are_torchs_one_hot() -> None:
    expected = F.one_hot(HEARTS.long(), 5).movedim(-1, 1).float()
    torch.testing.assert_close(one_hot(HEARTS, 5), expected)
