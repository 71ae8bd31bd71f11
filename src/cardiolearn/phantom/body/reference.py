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
    Reference(sex="male", quantity="lv_edv", mean=166.0, sd=32.0, unit="mL", source=_TABLE),
    Reference(sex="male", quantity="lv_esv", mean=69.0, sd=16.0, unit="mL", source=_TABLE),
    Reference(sex="male", quantity="lv_ef", mean=0.58, sd=0.05, unit="1", source=_TABLE + "; also in the abstract"),
    Reference(sex="male", quantity="lv_mass", mean=103.0, sd=21.0, unit="g", source=_MASS),
    Reference(sex="male", quantity="rv_edv", mean=182.0, sd=36.0, unit="mL", source=_RIGHT),
    Reference(sex="male", quantity="rv_ef", mean=0.54, sd=0.06, unit="1", source="Petersen 2017: recalled, unverified"),
    Reference(sex="female", quantity="lv_edv", mean=124.0, sd=21.0, unit="mL", source=_TABLE),
    Reference(sex="female", quantity="lv_esv", mean=49.0, sd=11.0, unit="mL", source=_TABLE),
    Reference(sex="female", quantity="lv_ef", mean=0.61, sd=0.05, unit="1", source=_TABLE + "; also in the abstract"),
    Reference(sex="female", quantity="lv_mass", mean=70.0, sd=13.0, unit="g", source=_MASS),
    Reference(sex="female", quantity="rv_edv", mean=130.0, sd=24.0, unit="mL", source=_RIGHT),
    Reference(
        sex="female", quantity="rv_ef", mean=0.58, sd=0.06, unit="1", source="Petersen 2017: recalled, unverified"
    ),
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
