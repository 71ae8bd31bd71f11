r"""Published sizes of healthy hearts, number by number, that the synthetic cohort is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cardiolearn.errors import InputError

Sex = Literal["female", "male"]
SEXES: tuple[Sex, ...] = ("female", "male")


@dataclass(frozen=True)
class Reference:
    r"""One published mean and standard deviation; ``course/reference_values.md`` says how each was checked."""

    sex: Sex
    quantity: str
    mean: float
    sd: float
    unit: str
    source: str


_TABLE = "Petersen 2017 JCMR 19:18, Table 12, read in two independent transcriptions of the full text"
_MASS = "Petersen 2017: absolute value recalled; mean agrees with the abstract's 53 / 42 g/m2 x BSA from SV / SV index"
_RIGHT = "Petersen 2017: recalled, unverified; mean agrees with transcribed SV / recalled RVEF and transcribed limits"

#: Healthy adults of 45-74 years, papillary muscles counted as cavity (the label convention of the kit).
REFERENCE: tuple[Reference, ...] = (
    Reference("male", "lv_edv", 166.0, 32.0, "mL", _TABLE),
    Reference("male", "lv_esv", 69.0, 16.0, "mL", _TABLE),
    Reference("male", "lv_ef", 0.58, 0.05, "1", _TABLE + "; also in the abstract"),
    Reference("male", "lv_mass", 103.0, 21.0, "g", _MASS),
    Reference("male", "rv_edv", 182.0, 36.0, "mL", _RIGHT),
    Reference("male", "rv_ef", 0.54, 0.06, "1", "Petersen 2017: recalled, unverified"),
    Reference("female", "lv_edv", 124.0, 21.0, "mL", _TABLE),
    Reference("female", "lv_esv", 49.0, 11.0, "mL", _TABLE),
    Reference("female", "lv_ef", 0.61, 0.05, "1", _TABLE + "; also in the abstract"),
    Reference("female", "lv_mass", 70.0, 13.0, "g", _MASS),
    Reference("female", "rv_edv", 130.0, 24.0, "mL", _RIGHT),
    Reference("female", "rv_ef", 0.58, 0.06, "1", "Petersen 2017: recalled, unverified"),
)


def reference(sex: Sex, quantity: str) -> Reference:
    r"""The row of :data:`REFERENCE` for one sex and quantity.

    Raises:
        InputError: There is no such row.

    >>> reference("male", "lv_edv").mean
    166.0
    """
    for row in REFERENCE:
        if (row.sex, row.quantity) == (sex, quantity):
            return row
    raise InputError(f"reference: no row for sex {sex!r} and quantity {quantity!r}")
