r"""What a clinical report states of a heart: volumes, ejection fractions and mass, defined once."""

from __future__ import annotations

from collections.abc import Mapping

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import LABELS, MYOCARDIAL_DENSITY

LEAST_ML, MOST_ML = 10.0, 600.0  # of a ventricle
LEAST_G, MOST_G = 25.0, 400.0  # of the left ventricle's wall


def volumes_ml(labels: Image) -> dict[str, float]:
    r"""Volume of each structure in mL: voxel count times voxel volume, which is right on sheared grids too.

    Args:
        labels: `(Z, Y, X)` with values of `LABELS`.

    Source: Bai et al. 2018, code `eval_ventricular_volume.py`.
    """
    if labels.data.ndim != 3:
        raise InputError(f"volumes: expected one frame (Z, Y, X), got {tuple(labels.data.shape)}")
    voxel_ml = labels.voxel_volume / 1000
    return {name: int((labels.data == value).sum()) * voxel_ml for name, value in LABELS.items()}


def ejection_fraction(edv: float, esv: float) -> float:
    r"""Share of the end-diastolic volume that is ejected, in %; NaN without a cavity at end-diastole.

    >>> ejection_fraction(120.0, 48.0)
    60.0
    """
    return 100 * (edv - esv) / edv if edv else float("nan")


def mass_g(volume_ml: float) -> float:
    r"""Mass in g of a volume of myocardium in mL, of density 1.05 g/mL."""
    return volume_ml * MYOCARDIAL_DENSITY


def implausible(volumes: Mapping[str, float]) -> list[str]:
    r"""Which of `volumes_ml`'s ventricles and wall no adult heart has, in any phase; structures that are absent pass.

    Below 3.5 SD under the mean of healthy women at end-systole (49 mL, mass 70 g), or above some four times that of
    healthy men at end-diastole (166 mL, mass 103 g): nothing but a wrong voxel size or a wrong picture gives these.

    Source: means and SDs of Petersen 2017, as `course/reference_values.md` lists them; the limits are ours.

    >>> implausible({"lv": 6.3, "myocardium": 90.0, "rv": 140.0})
    ['LV 6.3 mL']
    """
    said = []
    for key, name in (("lv", "LV"), ("rv", "RV")):
        if volumes[key] and not LEAST_ML <= volumes[key] <= MOST_ML:
            said.append(f"{name} {volumes[key]:.1f} mL")
    mass = mass_g(volumes["myocardium"])
    return said + ([f"LV mass {mass:.1f} g"] if mass and not LEAST_G <= mass <= MOST_G else [])


def volume_curve(labels: Image, structure: str = "lv") -> list[float]:
    r"""Volume of a structure in mL in each frame of labels `(T, Z, Y, X)`."""
    return [volumes_ml(labels.frame(t))[structure] for t in range(labels.n_frames)]


def volumes_line(edv: float, esv: float) -> str:
    r"""What a report says of a ventricle, from its end-diastolic and end-systolic volume in mL.

    >>> volumes_line(120.0, 48.0)
    'EDV 120 mL, ESV 48 mL, EF 60 %'
    """
    return (
        f"EDV {edv:.0f} mL, ESV {esv:.0f} mL, EF {ejection_fraction(edv, esv):.0f} %" if edv > 0 else "no cavity found"
    )


def clinical_indices(labels_ed: Image, labels_es: Image) -> dict[str, float]:
    r"""What a report states: `{lv,rv}_{edv,esv,sv}` in mL, `{lv,rv}_ef` in %, `lv_mass` (at end-diastole) in g.

    Beside it `lv_mass_es`, the mass by the wall at end-systole: muscle neither comes nor goes within a beat, so the two
    differ by what is wrong with them, and a wall drawn too thin at end-systole shows in no other number.

    Args:
        labels_ed: short-axis labels `(Z, Y, X)` at end-diastole.
        labels_es: the same at end-systole.

    An ejection fraction without a cavity at end-diastole is NaN.

    Source: Bai et al. 2018, code `eval_ventricular_volume.py`; myocardial density 1.05 g/mL.
    """
    ed, es = volumes_ml(labels_ed), volumes_ml(labels_es)
    indices = {"lv_mass": mass_g(ed["myocardium"]), "lv_mass_es": mass_g(es["myocardium"])}
    for side in ("lv", "rv"):
        indices |= {f"{side}_edv": ed[side], f"{side}_esv": es[side], f"{side}_sv": ed[side] - es[side]}
        indices[f"{side}_ef"] = ejection_fraction(ed[side], es[side])
    return indices
