r"""The table of tissues: complete, in the order of its codes, physically possible."""

from __future__ import annotations

import pytest

from cardiolearn.phantom.body.tissue import N_TISSUES, RELAXATION, Tissue, relaxation_table


def test_every_tissue_has_relaxation_times() -> None:
    assert set(RELAXATION) == set(Tissue)
    assert [int(t) for t in Tissue] == list(range(N_TISSUES))
    table = relaxation_table()
    assert table.shape == (N_TISSUES, 4)
    assert (table[:, 1] >= table[:, 2]).all()  # T2 never exceeds T1
    assert table[Tissue.LIVER].tolist() == pytest.approx([0.8, 600.0, 46.0, 0.0])
