r"""The published numbers: they agree with each other, and each says where it was read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.reference import REFERENCE, SEXES, Reference, reference

PAGE = Path(__file__).resolve().parents[3] / "course" / "reference_values.md"
ROWS = {
    "LV EDV, mL": "lv_edv", "LV ESV, mL": "lv_esv", "LV EF": "lv_ef", "LV mass, g": "lv_mass",
    "RV EDV, mL": "rv_edv", "RV EF": "rv_ef",
}  # fmt: skip


def test_the_code_holds_the_numbers_of_the_cited_table() -> None:
    cited = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        quantity, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if quantity in ROWS:
            for sex, cell in zip(("male", "female"), cells[:2], strict=True):
                mean, sd = re.findall(r"[\d.]+", cell)
                cited[sex, ROWS[quantity]] = (float(mean), float(sd))
    assert len(cited) == 2 * len(ROWS)
    assert {(row.sex, row.quantity): (row.mean, row.sd) for row in REFERENCE} == cited


def test_reference_rows_agree_with_each_other() -> None:
    for sex in SEXES:
        edv, esv, ef = (reference(sex, name) for name in ("lv_edv", "lv_esv", "lv_ef"))
        assert 1 - esv.mean / edv.mean == pytest.approx(ef.mean, abs=0.01)
        right = reference(sex, "rv_edv").mean * reference(sex, "rv_ef").mean
        assert right == pytest.approx(edv.mean - esv.mean, rel=0.03)
    assert all(isinstance(row, Reference) and row.source for row in REFERENCE)
    assert len({(row.sex, row.quantity) for row in REFERENCE}) == len(REFERENCE)
    with pytest.raises(InputError, match="lv_colour"):
        reference("male", "lv_colour")
