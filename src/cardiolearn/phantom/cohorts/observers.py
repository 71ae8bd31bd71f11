r"""Simulated annotators: the same heart, outlined by different people.

An :class:`Observer` outlines the endocardial, epicardial and right ventricular contours of a label map slice by slice:
signed distances are shifted by smooth random fields (the trembling pen) and by the observer's own constant (the habit).
The three named observers differ from each other as much as the lecture's human annotators do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, box_around
from cardiolearn.imaging.structures import LV_CAVITY, MYOCARDIUM, RV_CAVITY, STRUCTURES
from cardiolearn.phantom.cohorts.closed_ring import close_rings

Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]

# How the pen trembles. A contour point wanders on two scales: a local wobble and a slow drift around the ring.
_LOCAL, _BROAD = 6.0, 18.0  # mm, standard deviations of the Gaussians that smooth white noise
_ACROSS = 5.0  # mm, the same through the slices: neighbours 10 mm apart are weakly correlated
_SMOOTHING = 0.8  # pixels; reads the border's position between pixels from its staircase
_REACH = 4.0  # mm, how far the RV may follow a septum that was outlined thinner
_MARGIN = 14.0  # mm kept around the heart
_UNDECIDED = 0.06  # standard deviation of the basal thresholds from scan to scan


@dataclass(frozen=True)
class Observer:
    r"""One annotator's habits; lengths in mm, positive is outward.

    ``endocardium`` says how papillary muscles and trabeculae are cut off (outward counts more of them as cavity); wall
    thickness is biased by ``epicardium - endocardium``. ``*_jitter`` is the standard deviation of a contour point over
    repeated outlines. A basal slice is outlined, as a closed ring, if at least the share ``basal_lv`` of the ring is
    there (clinical habit: half of it must be muscle), and the RV in it if it fills at least the share ``basal_rv`` of
    its largest cross-section; an apical one if the heart's radius is at least ``apical``.
    """

    name: str
    number: int  # separates the random streams of observers who outline the same scan
    endocardium: float
    epicardium: float
    right: float
    endocardium_jitter: float
    epicardium_jitter: float
    right_jitter: float
    basal_lv: float
    basal_rv: float
    apical: float


#: Eight annotators, as many as outlined the UK Biobank contours of Bai et al. 2018; together they are unbiased.
ANNOTATORS: tuple[Observer, ...] = (
    Observer(
        name="O1", number=1, endocardium=0.10, epicardium=0.05, right=0.40,
        endocardium_jitter=0.70, epicardium_jitter=0.73, right_jitter=1.52,
        basal_lv=0.50, basal_rv=0.22, apical=5.0,
    ),
    Observer(
        name="O2", number=2, endocardium=0.30, epicardium=0.25, right=-0.55,
        endocardium_jitter=0.70, epicardium_jitter=0.73, right_jitter=1.52,
        basal_lv=0.55, basal_rv=0.27, apical=6.5,
    ),
    Observer(
        name="O3", number=3, endocardium=-0.46, epicardium=-0.25, right=0.20,
        endocardium_jitter=0.72, epicardium_jitter=0.73, right_jitter=1.52,
        basal_lv=0.65, basal_rv=0.25, apical=8.0,
    ),
    Observer(
        name="O4", number=4, endocardium=0.35, epicardium=0.00, right=0.30,
        endocardium_jitter=0.70, epicardium_jitter=0.70, right_jitter=1.48,
        basal_lv=0.45, basal_rv=0.15, apical=5.0,
    ),
    Observer(
        name="O5", number=5, endocardium=-0.25, epicardium=0.20, right=-0.25,
        endocardium_jitter=0.65, epicardium_jitter=0.75, right_jitter=1.56,
        basal_lv=0.60, basal_rv=0.35, apical=7.0,
    ),
    Observer(
        name="O6", number=6, endocardium=-0.14, epicardium=-0.25, right=-0.30,
        endocardium_jitter=0.75, epicardium_jitter=0.80, right_jitter=1.60,
        basal_lv=0.55, basal_rv=0.30, apical=6.0,
    ),
    Observer(
        name="O7", number=7, endocardium=0.10, epicardium=-0.10, right=0.45,
        endocardium_jitter=0.65, epicardium_jitter=0.70, right_jitter=1.44,
        basal_lv=0.60, basal_rv=0.20, apical=5.5,
    ),
    Observer(
        name="O8", number=8, endocardium=0.00, epicardium=0.10, right=-0.25,
        endocardium_jitter=0.70, epicardium_jitter=0.70, right_jitter=1.52,
        basal_lv=0.50, basal_rv=0.25, apical=6.0,
    ),
)  # fmt: skip

#: The same eight with one habit in common: all outline the wall some 1.6 mm too thick and the RV some 1.2 mm too small.
THICK_WALLED: tuple[Observer, ...] = tuple(
    replace(o, name=f"{o.name}t", endocardium=o.endocardium - 1.2, epicardium=o.epicardium + 0.4, right=o.right - 1.2)
    for o in ANNOTATORS
)

#: The three whose pairwise agreement is calibrated on the lecture's inter-observer table.
OBSERVERS: tuple[Observer, ...] = ANNOTATORS[:3]


def outline(labels: torch.Tensor, spacing: tuple[float, float, float], observer: Observer, seed: int) -> torch.Tensor:
    r"""Outline a scan as ``observer`` would.

    Args:
        labels: True labels ``(Z, Y, X)`` of a short-axis stack, any integer type: 0 background, 1 LV cavity, 2 LV
            myocardium, 3 RV cavity; anything above 3 (the atria) is background to these annotators.
        spacing: Voxel size ``(dx, dy, dz)`` in mm.
        observer: Who outlines.
        seed: One integer, >= 0. The same seed, scan and observer give the same outlines; two observers given the same
            seed outline independently.

    Returns:
        Labels 0 to 3, shape and type of ``labels``. The wall is closed: no cavity pixel touches background or RV.

    Raises:
        InputError: Not three-dimensional, not integer, or a spacing that is not positive.

    Source: Bai et al. 2018 (JCMR 20:65) report how far three human observers differ, not how they err; the model of
    their errors is ours, calibrated on that table (``tests/phantom/cohorts/test_observers.py``).

    >>> outlined = outline(torch.zeros(3, 8, 8, dtype=torch.uint8), (1.8, 1.8, 10.0), OBSERVERS[0], seed=0)
    >>> int(outlined.max())
    0
    """
    _check(labels, spacing, seed)
    truth = labels.detach().cpu().numpy()
    out = np.zeros_like(truth)
    across, down = (int(np.ceil(_MARGIN / step)) for step in spacing[:2])  # no further than the pen can reach
    box = box_around((truth >= LV_CAVITY) & (truth <= RV_CAVITY), (0, down, across))
    if box is not None:
        rng = np.random.default_rng([seed, observer.number])
        out[box] = _outline(truth[box], spacing, observer, rng)
    return torch.from_numpy(out).to(labels.device)


def majority(people: Sequence[Image]) -> Image:
    r"""What most annotators outlined: the commonest label of each voxel, the lowest of equally common ones."""
    votes = torch.stack([torch.stack([one.data == k for one in people]).sum(0) for k in range(len(STRUCTURES) + 1)])
    return people[0].with_data(votes.argmax(0).to(torch.uint8))


def majority_of(
    truth: Mapping[tuple[str, str], Image], annotators: Sequence[Observer], seed: int
) -> dict[tuple[str, str], Image]:
    r"""What most of `annotators` would outline of each scan, by subject and phase, whose true labels are given."""
    outlined = {
        key: [labels.with_data(outline(labels.data, labels.spacing, one, seed)) for one in annotators]
        for key, labels in truth.items()
    }
    return {key: majority(people) for key, people in outlined.items()}


def _check(labels: torch.Tensor, spacing: tuple[float, float, float], seed: int) -> None:
    if labels.ndim != 3 or labels.is_floating_point() or labels.is_complex():
        raise InputError(f"outline: labels must be integers (Z, Y, X), got {labels.dtype} {tuple(labels.shape)}")
    if len(spacing) != 3 or not all(np.isfinite(d) and d > 0 for d in spacing):
        raise InputError(f"outline: spacing must be three positive lengths in mm, got {spacing}")
    if seed < 0:
        raise InputError(f"outline: seed must be >= 0, got {seed}")


def _outline(
    truth: npt.NDArray[np.integer], spacing: tuple[float, float, float], observer: Observer, rng: np.random.Generator
) -> npt.NDArray[np.integer]:
    cavity, heart, right = truth == LV_CAVITY, (truth == LV_CAVITY) | (truth == MYOCARDIUM), truth == RV_CAVITY
    fields = _fields(truth.shape, spacing, rng)
    closed_cavity, closed_heart, share = close_rings(cavity, heart, right, spacing)
    keep_lv, keep_rv = _kept_slices(heart, share, right, spacing, observer, rng)
    cavity, heart = closed_cavity, closed_heart

    endo = _grown(cavity, spacing, observer.endocardium + observer.endocardium_jitter * fields[0]) & keep_lv
    epi = _grown(heart, spacing, observer.epicardium + observer.epicardium_jitter * fields[1]) & keep_lv
    epi |= ndimage.binary_dilation(endo, np.ones((1, 3, 3), bool))  # the wall stays closed around the cavity

    # The RV's free wall moves; its septal side is the LV contour, and follows it where the wall was outlined thinner.
    shift = observer.right + observer.right_jitter * fields[2]
    free = _grown(right | (heart & keep_lv), spacing, shift)
    near = _distance(right, spacing) < np.maximum(shift, 0.0) + _REACH
    rv = free & near & keep_rv & ~epi
    return np.select([endo, epi, rv], [LV_CAVITY, MYOCARDIUM, RV_CAVITY], 0).astype(truth.dtype)


def _fields(shape: tuple[int, ...], spacing: tuple[float, float, float], rng: np.random.Generator) -> list[Field]:
    """Three smooth random fields of unit variance: endocardium, epicardium, right ventricle."""
    dx, dy, dz = spacing
    fields = []
    for _ in range(3):
        total = np.zeros(shape, np.float32)
        for length in (_LOCAL, _BROAD):
            noise = rng.standard_normal(shape, np.float32)
            sigma = (_ACROSS / dz, length / dy, length / dx)
            smooth = ndimage.gaussian_filter(noise, sigma, mode="wrap", truncate=3.0)
            total += smooth / smooth.std()
        fields.append(total / np.float32(np.sqrt(2.0)))
    return fields


def _distance(mask: Mask, spacing: tuple[float, float, float]) -> Field:
    """In-plane distance in mm to the border of each slice's mask, negative inside; the border runs between pixels."""
    sampling = (1e6, spacing[1], spacing[0])  # slices so far apart that the nearest point lies in the same one
    half = 0.25 * (spacing[0] + spacing[1])
    out = ndimage.distance_transform_edt(~mask, sampling) if mask.any() else np.full(mask.shape, 1e6)
    inside = ndimage.distance_transform_edt(mask, sampling) if not mask.all() else np.full(mask.shape, 1e6)
    return np.where(mask, half - inside, out - half).astype(np.float32)


def _grown(mask: Mask, spacing: tuple[float, float, float], shift: Field) -> Mask:
    """The mask with its border moved outward by ``shift`` mm, which varies over the slice and may be negative."""
    distance = _distance(mask, spacing)
    smooth = ndimage.gaussian_filter(np.clip(distance, -20.0, 20.0), (0.0, _SMOOTHING, _SMOOTHING), truncate=3.0)
    # Smoothing may not move a pixel over the border by itself: without a shift the mask comes back as it was.
    tiny = np.float32(1e-3)
    smooth = np.where(mask, np.minimum(smooth, -tiny), np.maximum(smooth, tiny))
    return np.asarray(smooth < shift) & mask.any(axis=(1, 2), keepdims=True)


def _kept_slices(
    heart: Mask, share: npt.NDArray[np.float64], right: Mask, spacing: tuple[float, float, float], observer: Observer,
    rng: np.random.Generator,
) -> tuple[Mask, Mask]:  # fmt: skip
    """Which slices ``(Z, 1, 1)`` the observer outlines the LV and the RV in; `share` of the LV's ring is there."""
    lv, rv = heart.sum(axis=(1, 2)), right.sum(axis=(1, 2))
    strict = _UNDECIDED * rng.standard_normal(2)
    outlined = np.flatnonzero(lv if lv.any() else rv)
    first, last = (lv + rv)[outlined[[0, -1]]]
    place = np.arange(len(lv)) if first >= last else np.arange(len(lv))[::-1]  # counts from base to apex

    basal, apical = place < place[lv.argmax()], place > place[lv.argmax()]
    cut = (basal & (share < observer.basal_lv + strict[0])) | (
        apical & (lv * spacing[0] * spacing[1] < np.pi * observer.apical**2)
    )
    outflow = place < place[rv.argmax()]
    short = outflow & (rv < (observer.basal_rv + strict[1]) * rv.max())
    return ((lv > 0) & ~cut)[:, None, None], ((rv > 0) & ~short)[:, None, None]
