r"""Who is in the synthetic cohort: sizes, volumes and masses sampled from population priors.

A :class:`Subject` is a list of numbers, not a picture; ``heart.py`` builds the anatomy from it. Everything about one
subject follows from ``(seed, cohort, index)`` alone, however many others are sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.disease import GROUPS, Cohort, Disease, Group, disease_of
from cardiolearn.phantom.body.reference import SEXES, Sex, reference

SHAPE_MODES = 30
UNSEEN_SHAPE_MODES = 8


@dataclass(frozen=True)
class Subject:
    r"""One synthetic person, nobody in particular.

    Volumes are in mL at end-diastole (``edv``) and end-systole (``esv``), papillary muscles counted as cavity.
    """

    identity: str
    seed: int  # for everything sampled about this subject later (thorax, scanner, observers)
    group: Group
    sex: Sex
    age: float  # years
    body_surface_area: float  # m2
    height: float  # cm
    weight: float  # kg
    systolic_pressure: float  # mmHg
    heart_rate: float  # beats per minute
    lv_edv: float  # mL
    lv_esv: float  # mL
    lv_mass: float  # g, the end-diastolic wall volume x 1.05 g/mL
    rv_edv: float  # mL
    rv_esv: float  # mL
    lv_length: float  # mm, end-diastolic, apical endocardium to mitral plane
    longitudinal_shortening: float  # fraction of lv_length
    twist: float  # degrees, end-systolic rotation of the apex relative to the base
    septal_asymmetry: float  # septal over lateral end-diastolic wall thickness, minus one
    apical_thickening: float  # apical over mid-ventricular end-diastolic wall thickness, minus one
    shape: tuple[float, ...]  # 30 coefficients, in standard deviations of the training prior
    unseen_shape: tuple[float, ...]  # 8 coefficients, zero in the training cohort

    @property
    def lv_ef(self) -> float:
        r"""Left ventricular ejection fraction in [0, 1]."""
        return 1.0 - self.lv_esv / self.lv_edv

    @property
    def rv_ef(self) -> float:
        r"""Right ventricular ejection fraction in [0, 1]."""
        return 1.0 - self.rv_esv / self.rv_edv

    @property
    def lv_stroke_volume(self) -> float:
        r"""Left ventricular stroke volume in mL."""
        return self.lv_edv - self.lv_esv

    @property
    def rv_stroke_volume(self) -> float:
        r"""Right ventricular stroke volume in mL."""
        return self.rv_edv - self.rv_esv


# Height in cm and body mass index in kg/m2, mean and SD. They give a mean BSA of 1.96 / 1.68 m2, as implied by stroke
# volume over stroke volume index in the reference cohort.
_HEIGHT: dict[Sex, tuple[float, float]] = {"male": (177.0, 6.6), "female": (164.0, 6.2)}
_BODY_MASS_INDEX: dict[Sex, tuple[float, float]] = {"male": (24.9, 2.4), "female": (23.1, 2.5)}
_MEAN_AGE = 59.5
_SD_DECADES = 2.9 / math.sqrt(12)  # of a uniform 45-74 years

# Healthy slopes: relative change per relative change of BSA, per decade of age, per 10 mmHg.
_EDV_PER_BSA, _EDV_PER_DECADE = 1.0, -0.04
_MASS_PER_EDV, _MASS_PER_BSA, _MASS_PER_10MMHG = 0.7, 0.3, 0.03
_PRESSURE_MEAN, _PRESSURE_PER_DECADE, _PRESSURE_SD = 126.0, 4.0, 11.0


_GROUP_BOUNDS = (0.5, 0.75)  # half of an unrestricted cohort is healthy, a quarter has either disease
_APICAL = 0.15  # share of the hypertrophic hearts that are thickest at the apex instead of the septum
_TEST_SPREAD = 1.3  # every SD of the test cohort


def _lognormal(mean: float, sd: float) -> tuple[float, float]:
    """Location and variance of the log whose exponential has this mean and SD."""
    variance = math.log1p((sd / mean) ** 2)
    return math.log(mean) - variance / 2, variance


def _body_surface_area(height: float, bmi: float) -> float:
    """Mosteller 1987: sqrt(cm x kg / 3600), which goes as height^1.5 x BMI^0.5."""
    return math.sqrt(height * bmi * (height / 100) ** 2 / 3600.0)


def _log_bsa_variance(sex: Sex) -> float:
    height, bmi = _HEIGHT[sex], _BODY_MASS_INDEX[sex]
    return (1.5 * height[1] / height[0]) ** 2 + (0.5 * bmi[1] / bmi[0]) ** 2


def _clip(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)  # np.clip costs 10 us a number


class _Normals:
    """Normal numbers of one subject, truncated at three SDs so that no heart is impossible to build."""

    def __init__(self, rng: np.random.Generator, spread: float) -> None:
        self.rng, self.spread = rng, spread

    def z(self) -> float:
        return self.spread * _clip(self.rng.standard_normal(), -3.0, 3.0)

    def normal(self, mean: float, sd: float) -> float:
        return mean + sd * self.z()


def _size(
    normals: _Normals, sex: Sex, disease: Disease, decades: float, log_bsa: float, pressure: float
) -> tuple[float, float]:
    """LV end-diastolic volume and mass, so that healthy totals have exactly the reference mean and variance."""
    v_bsa, v_age = _log_bsa_variance(sex), _SD_DECADES**2
    edv, mass = reference(sex, "lv_edv"), reference(sex, "lv_mass")

    centre, total = _lognormal(edv.mean, edv.sd)
    own = math.sqrt(total - _EDV_PER_BSA**2 * v_bsa - _EDV_PER_DECADE**2 * v_age)
    deviation = _EDV_PER_BSA * log_bsa + _EDV_PER_DECADE * decades + own * normals.z()
    lv_edv = math.exp(centre + deviation + disease.edv_shift + disease.edv_sd * normals.z())

    centre, total = _lognormal(mass.mean, mass.sd)
    per_decade = _MASS_PER_EDV * _EDV_PER_DECADE + _MASS_PER_10MMHG * _PRESSURE_PER_DECADE / 10
    explained = (
        (_MASS_PER_EDV * _EDV_PER_BSA + _MASS_PER_BSA) ** 2 * v_bsa
        + per_decade**2 * v_age
        + (_MASS_PER_EDV * own) ** 2
        + (_MASS_PER_10MMHG * _PRESSURE_SD / 10) ** 2
    )
    loading = _MASS_PER_10MMHG * (pressure - _PRESSURE_MEAN) / 10
    deviation = (
        _MASS_PER_EDV * deviation + _MASS_PER_BSA * log_bsa + loading + math.sqrt(total - explained) * normals.z()
    )
    return lv_edv, math.exp(centre + deviation + disease.mass_shift + disease.mass_sd * normals.z())


def _ejection(normals: _Normals, sex: Sex, disease: Disease) -> tuple[float, float]:
    """LV and RV ejection fractions, correlated 0.6 because both ventricles share filling, rate and load."""
    left, right = reference(sex, "lv_ef"), reference(sex, "rv_ef")
    common = normals.z()
    lv_ef = left.mean + disease.ef_shift + disease.ef_sd * common
    rv_ef = right.mean + disease.rv_ef_shift + right.sd * (0.6 * common + 0.8 * normals.z())
    return _clip(lv_ef, 0.10, 0.80), _clip(rv_ef, 0.15, 0.78)


def _length(lv_edv: float, length_over_diameter: float) -> float:
    """Long axis in mm of a bullet, V = 5/6 x (pi/4 D^2) x L with L = length_over_diameter x D."""
    return float(np.cbrt(1000.0 * lv_edv * length_over_diameter**2 * 24.0 / (5.0 * math.pi)))


def _check(index: int, cohort: str, seed: int, group: str | None, sex: str | None) -> None:
    if index < 0 or seed < 0:
        raise InputError(f"sample_subject: index and seed must be >= 0, got {index} and {seed}")
    for name, value, allowed in (("cohort", cohort, ("train", "test")), ("group", group, GROUPS), ("sex", sex, SEXES)):
        if value not in allowed and not (value is None and name != "cohort"):
            raise InputError(f"sample_subject: {name} must be one of {', '.join(allowed)}, got {value!r}")


def sample_subject(
    index: int, *, cohort: Cohort, seed: int = 0, group: Group | None = None, sex: Sex | None = None
) -> Subject:
    r"""Sample subject number ``index`` of a cohort.

    The training cohort's healthy subjects follow ``reference.REFERENCE``. The test cohort is deliberately wider ("no
    home advantage"): every SD x 1.3, diseases 1.2 times as severe, ages 30-85, and eight shape modes that are zero in
    training. ``group`` or ``sex`` restricts the choice; a restricted subject is another person than the unrestricted
    one of the same index, so that groups sampled one by one are independent of each other.

    Args:
        index: Number of the subject, >= 0.
        cohort: ``"train"`` or ``"test"``.
        seed: One integer for the whole cohort, >= 0.
        group: Sample from this group only.
        sex: Sample this sex only.

    Raises:
        InputError: A negative number or an unknown name.

    Source: structure and slopes are ours; healthy means and SDs see ``reference.REFERENCE``; body surface area
    Mosteller 1987; long axis from the area-length ("bullet") formula V = 5/6 A L.

    >>> subject = sample_subject(12, cohort="train")
    >>> subject.identity, subject == sample_subject(12, cohort="train")
    ('train-00012', True)
    """
    _check(index, cohort, seed, group, sex)
    restriction = (0 if group is None else 1 + GROUPS.index(group), 0 if sex is None else 1 + SEXES.index(sex))
    sequence = np.random.SeedSequence([seed, 0 if cohort == "train" else 1, index, *restriction])
    rng = np.random.default_rng(sequence)
    chosen_group = group or GROUPS[int(np.searchsorted(_GROUP_BOUNDS, rng.random()))]
    chosen_sex = sex or SEXES[int(rng.integers(2))]
    names = [cohort, *([group.lower()] if group else []), *([sex] if sex else []), f"{index:05d}"]
    # 63 bits: two subjects of any cohort practically never share a seed, and torch and numpy both accept it.
    own_seed = int(sequence.spawn(1)[0].generate_state(1, np.uint64)[0] >> 1)
    return _person(rng, "-".join(names), own_seed, cohort, chosen_group, chosen_sex)


def _person(rng: np.random.Generator, identity: str, seed: int, cohort: Cohort, group: Group, sex: Sex) -> Subject:
    normals = _Normals(rng, 1.0 if cohort == "train" else _TEST_SPREAD)
    disease = disease_of(group, cohort)

    age = float(rng.uniform(45, 74)) if cohort == "train" else float(rng.uniform(30, 85))
    decades = (age - _MEAN_AGE) / 10
    height = normals.normal(*_HEIGHT[sex])
    bmi = _clip(normals.normal(*_BODY_MASS_INDEX[sex]), 16.5, 38.0)
    bsa = _body_surface_area(height, bmi)
    usual = _body_surface_area(_HEIGHT[sex][0], _BODY_MASS_INDEX[sex][0])
    pressure = normals.normal(_PRESSURE_MEAN + _PRESSURE_PER_DECADE * decades, _PRESSURE_SD)

    lv_edv, lv_mass = _size(normals, sex, disease, decades, math.log(bsa / usual), pressure)
    lv_ef, rv_ef = _ejection(normals, sex, disease)
    rv_stroke = lv_ef * lv_edv * (1 + 0.015 * normals.z())  # valves and shunts aside, what goes in comes out
    rv_edv = rv_stroke / rv_ef
    length_over_diameter = _clip(normals.normal(disease.length_over_diameter, 0.09), 1.2, 2.15)
    shortening = disease.shortening_per_ef * lv_ef + 0.012 * normals.z()
    asymmetry = 0.0 if group != "HCM" else _clip(normals.normal(0.55, 0.28), 0.0, 1.4)
    apical = 0.0
    if group == "HCM" and rng.random() < _APICAL:
        asymmetry, apical = 0.3 * asymmetry, _clip(normals.normal(0.9, 0.35), 0.2, 1.6)
    unseen = rng.standard_normal(UNSEEN_SHAPE_MODES).clip(-3, 3)
    return Subject(
        identity=identity,
        seed=seed,
        group=group,
        sex=sex,
        age=age,
        body_surface_area=bsa,
        height=height,
        weight=bmi * (height / 100) ** 2,
        systolic_pressure=pressure + disease.pressure_shift,
        heart_rate=_clip(normals.normal(*disease.heart_rate), 40.0, 125.0),
        lv_edv=lv_edv,
        lv_esv=lv_edv * (1 - lv_ef),
        lv_mass=lv_mass,
        rv_edv=rv_edv,
        rv_esv=rv_edv - rv_stroke,
        lv_length=_length(lv_edv, length_over_diameter),
        longitudinal_shortening=_clip(shortening, 0.02, 0.24),
        twist=_clip(normals.normal(*disease.twist), 0.0, 24.0),
        septal_asymmetry=asymmetry,
        apical_thickening=apical,
        shape=tuple(normals.z() for _ in range(SHAPE_MODES)),
        unseen_shape=tuple(unseen.tolist()) if cohort == "test" else (0.0,) * UNSEEN_SHAPE_MODES,
    )


def sample_cohort(
    n: int, *, cohort: Cohort, seed: int = 0, group: Group | None = None, sex: Sex | None = None
) -> list[Subject]:
    r"""Subjects 0 to ``n - 1`` of a cohort; arguments and errors as in :func:`sample_subject`.

    >>> [subject.identity for subject in sample_cohort(2, cohort="test", group="HCM")]
    ['test-hcm-00000', 'test-hcm-00001']
    """
    return [sample_subject(index, cohort=cohort, seed=seed, group=group, sex=sex) for index in range(n)]
