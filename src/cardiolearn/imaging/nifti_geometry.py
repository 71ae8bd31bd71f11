r"""Where voxels lie: the s-form, the q-form and the voxel size of a NIfTI header, held against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cardiolearn.errors import InputError

SPACING_LIMITS_MM = (0.01, 100.0)
FARTHEST_MM = 1e5  # of a voxel from the scanner's middle; more is no place but a damaged number
SAME_SPACING = 0.005  # relative: three such axes change a volume by 1.5 %, which is what rounding does at worst
XFORM_CODES = range(1, 6)

Tell = Callable[[str], None]


def check_spacing(spacing: np.ndarray) -> None:
    r"""Raise `InputError` where a voxel size `(3,)` in mm is zero, negative, not finite or absurd."""
    low, high = SPACING_LIMITS_MM
    if not all(low <= s <= high for s in spacing):
        raise InputError(
            f"expected a voxel spacing of {low:g} to {high:g} mm, got {[round(float(s), 6) for s in spacing]}"
        )


def agreed_affine(header: Any, unit: float, shape: tuple[int, ...], tell: Tell) -> np.ndarray:
    r"""The affine `(x, y, z, 1)` to mm on which the header agrees, or which the rest of it decides.

    The s-form is a matrix of its own; the q-form takes its voxel size from `pixdim`. Voxels of exactly 1 mm on all
    axes are what software writes that does not know them, so they lose against any other size.

    Args:
        header: of nibabel, unchecked; its `pixdim` is plausible.
        unit: mm per unit of length.
        shape: `(X, Y, Z)`.
        tell: called with a sentence where a choice was made.

    Raises:
        InputError: the only form is impossible, or voxel sizes contradict each other and nothing decides.
    """
    pixdim = header["pixdim"][1:4].astype(float) * unit
    s_form, s_fault = _judged(_s_form(header, unit))
    q_form, q_fault = _judged(_q_form(header, pixdim, unit))
    if s_form is None and q_form is None:
        if fault := s_fault or q_fault:
            raise fault
        tell("neither s-form nor q-form is set; directions and place are unknown")
        base: np.ndarray = np.diag([unit] * 3 + [1.0]) @ header.get_base_affine()
        return base
    if s_fault:
        tell(f"the s-form is impossible ({s_fault}); the q-form is taken")
    if q_fault:
        tell(f"the q-form is impossible ({q_fault}); the s-form is taken")
    if s_form is None:
        assert q_form is not None
        return q_form
    return _reconciled(s_form, q_form, pixdim, shape, tell)


def _reconciled(
    s_form: np.ndarray, q_form: np.ndarray | None, pixdim: np.ndarray, shape: tuple[int, ...], tell: Tell
) -> np.ndarray:
    r"""The s-form where it agrees with the rest or the rest is a placeholder, else what replaces it."""
    spacing = _spacing(s_form)
    if not np.allclose(spacing, pixdim, rtol=SAME_SPACING, atol=0):
        said = f"the s-form says voxels of {_size(spacing)} mm, pixdim of {_size(pixdim)} mm"
        if _unknown(pixdim):
            tell(f"{said}; the s-form is taken, as 1 mm on all axes is what is written for an unknown size")
            return s_form
        if not _unknown(spacing):
            raise InputError(f"{said}, and nothing decides; correct the header (s-form or pixdim)")
        tell(f"{said}; pixdim is taken, as 1 mm on all axes is what is written for an unknown size")
        return q_form if q_form is not None else _scaled(s_form, pixdim / spacing)
    if q_form is not None and (apart := _apart(s_form, q_form, shape)) > 0.5 * min(spacing):
        tell(f"the q-form places voxels up to {apart:.3g} mm from where the s-form does; the s-form is taken")
    return s_form


def _s_form(header: Any, unit: float) -> np.ndarray | None:
    if int(header["sform_code"]) not in XFORM_CODES:
        return None
    rows = np.array([header[name] for name in ("srow_x", "srow_y", "srow_z")], dtype=float)
    return np.vstack([unit * rows, [0.0, 0.0, 0.0, 1.0]])


def _q_form(header: Any, pixdim: np.ndarray, unit: float) -> np.ndarray | None:
    r"""NaN where the quaternion is none, or the handedness (pixdim[0]) is neither right nor left."""
    from nibabel.quaternions import quat2mat

    if int(header["qform_code"]) not in XFORM_CODES:
        return None
    vector = np.array([header[f"quatern_{axis}"] for axis in "bcd"], dtype=float)
    handed = {1.0: 1.0, 0.0: 1.0, -1.0: -1.0}.get(float(header["pixdim"][0]), np.nan)  # 0 is read as 1 (standard)
    rest = 1.0 - float(vector @ vector)
    if not rest > -1e-5:  # single precision rounds a half turn to just above 1; NaN is caught too
        return np.full((4, 4), np.nan)
    affine = np.eye(4)
    affine[:3, :3] = quat2mat((max(rest, 0.0) ** 0.5, *vector)) * pixdim * (1.0, 1.0, handed)
    affine[:3, 3] = [unit * float(header[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine


def _judged(affine: np.ndarray | None) -> tuple[np.ndarray | None, InputError | None]:
    r"""The form and no fault, or no form and what is wrong with it; neither where it is not set."""
    if affine is None:
        return None, None
    try:
        if not np.isfinite(affine).all():
            raise InputError("expected a finite 4x4 matrix in the NIfTI header, got NaN or infinite numbers")
        if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
            raise InputError(f"expected an origin within {FARTHEST_MM:g} mm, got {affine[:3, 3].tolist()}")
        check_spacing(_spacing(affine))
        if abs(np.linalg.det(affine[:3, :3] / _spacing(affine))) < 1e-3:
            raise InputError("expected three independent directions, got two that are the same")
    except InputError as error:
        return None, error
    return affine, None


def _apart(s_form: np.ndarray, q_form: np.ndarray, shape: tuple[int, ...]) -> float:
    r"""How far (mm) the two forms place the same voxel at most; of a sheared s-form the nearest unsheared one."""
    left, _, right = np.linalg.svd(s_form[:3, :3] / _spacing(s_form))
    upright = s_form.copy()
    upright[:3, :3] = left @ right * _spacing(s_form)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    there, here = (form[:3, :3] @ corners + form[:3, 3:] for form in (upright, q_form))
    return float(np.linalg.norm(there - here, axis=0).max())


def _scaled(affine: np.ndarray, factors: np.ndarray) -> np.ndarray:
    other = affine.copy()
    other[:3, :3] *= factors
    return other


def _spacing(affine: np.ndarray) -> np.ndarray:
    norms: np.ndarray = np.linalg.norm(affine[:3, :3], axis=0)
    return norms


def _unknown(spacing: np.ndarray) -> bool:
    return bool(np.allclose(spacing, 1.0, rtol=0, atol=1e-6))


def _size(spacing: np.ndarray) -> str:
    return " x ".join(f"{s:.4g}" for s in spacing)
