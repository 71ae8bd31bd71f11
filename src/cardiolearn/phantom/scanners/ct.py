r"""A simulated CT angiography of the heart: from tissues to attenuation in Hounsfield units (HU), shown in a window.

Blood is bright with contrast agent; how bright on either side of the heart is a matter of timing, and changes from scan
to scan. The picture is blurred by the reconstruction's kernel, and its noise is as coarse as this blur. Tensors are
made on the device of the generator, which must be that of the codes.

Source: attenuation of unenhanced tissues as in Bushberg et al., The Essential Physics of Medical Imaging; enhancement
in angiography of the coronary arteries, 300 to 500 HU in the left heart (deviation: no streaks, no beam hardening).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.phantom.body.tissue import N_TISSUES, Tissue
from cardiolearn.phantom.scanners.mri import uniform

Range = tuple[float, float]

_LEFT = (Tissue.LV_BLOOD, Tissue.LA_BLOOD, Tissue.ARTERY)
_RIGHT = (Tissue.RV_BLOOD, Tissue.RA_BLOOD, Tissue.VEIN)
_MUSCLE = (Tissue.MYOCARDIUM, Tissue.RV_WALL, Tissue.ATRIAL_WALL, Tissue.TRABECULA)
_ORGANS = (Tissue.LIVER, Tissue.SPLEEN, Tissue.KIDNEY, Tissue.LIVER_VESSEL)
_UNENHANCED: dict[Tissue, float] = {
    Tissue.AIR: -1000, Tissue.OUTER_AIR: -1000, Tissue.BOWEL_GAS: -900, Tissue.LUNG: -820, Tissue.LUNG_VESSEL: 30,
    Tissue.SUBCUTANEOUS_FAT: -105, Tissue.EPICARDIAL_FAT: -90, Tissue.MEDIASTINAL_FAT: -100, Tissue.VISCERAL_FAT: -105,
    Tissue.MUSCLE_FAT: -60, Tissue.SKIN: 10, Tissue.MUSCLE: 55, Tissue.CARTILAGE: 110, Tissue.CORTICAL_BONE: 850,
    Tissue.MARROW: 180, Tissue.CSF: 10, Tissue.CORD: 40, Tissue.LIVER: 60, Tissue.LIVER_VESSEL: 45, Tissue.SPLEEN: 50,
    Tissue.KIDNEY: 35, Tissue.STOMACH_WALL: 40, Tissue.STOMACH_FLUID: 5, Tissue.STOMACH_FOOD: 30,
    Tissue.OESOPHAGUS: 40, Tissue.EFFUSION: 10, Tissue.PERICARDIUM: 30, Tissue.VESSEL_WALL: 45,
    Tissue.MYOCARDIUM: 45, Tissue.RV_WALL: 45, Tissue.ATRIAL_WALL: 45, Tissue.TRABECULA: 45,
    Tissue.LV_BLOOD: 42, Tissue.LA_BLOOD: 42, Tissue.ARTERY: 42, Tissue.RV_BLOOD: 42, Tissue.RA_BLOOD: 42,
    Tissue.VEIN: 42,
}  # fmt: skip


@dataclass(frozen=True)
class CTScanner:
    r"""Ranges a scan's settings are sampled from, each `(low, high)`.

    In HU: `left` and `right` are the blood's attenuation on either side of the heart, `muscle` and `organs` by how much
    muscle of the heart and upper organs are enhanced, `spread` the standard deviation of tissues from scan to scan,
    `noise` that of the noise; `blur` is the kernel's full width at half maximum (mm); the window is `width` wide around
    its `middle`.
    """

    name: str
    left: Range
    right: Range
    muscle: Range
    organs: Range
    spread: Range
    noise: Range
    blur: Range
    middle: Range
    width: Range


#: For training: wider than any one scanner.
ANY_CT = CTScanner(
    "any", left=(250, 550), right=(60, 500), muscle=(30, 90), organs=(5, 70), spread=(5, 20), noise=(8, 45),
    blur=(1.0, 3.0), middle=(100, 250), width=(600, 1000),
)  # fmt: skip
#: Outside those ranges in three respects: less contrast agent, more noise, a broader kernel.
UNSEEN_CT = CTScanner(
    "unseen", left=(200, 245), right=(70, 220), muscle=(25, 60), organs=(10, 60), spread=(5, 15), noise=(48, 60),
    blur=(3.1, 3.6), middle=(100, 200), width=(600, 900),
)  # fmt: skip


def scan_ct(tissue: Tensor, spacing: float, scanner: CTScanner, generator: torch.Generator) -> Tensor:
    r"""Pictures `(n, Z, Y, X)` in [0, 1] of tissue codes `(n, Z, Y, X)` (uint8), every scan with other settings.

    Args:
        spacing: of the voxels, mm.

    Raises:
        InputError: codes with another number of axes.
    """
    if tissue.ndim != 4:
        raise InputError(f"tissue: expected codes (n, Z, Y, X), got shape {tuple(tissue.shape)}")
    n = len(tissue)
    rows = torch.arange(n, device=tissue.device)[:, None, None, None] * N_TISSUES
    table = attenuation_table(n, scanner, generator)
    attenuation = F.embedding(tissue.int() + rows, table.reshape(-1, 1))[..., 0]
    sigma = uniform(n, scanner.blur, generator) / (spacing * math.sqrt(8.0 * math.log(2.0)))
    noise = blurred(torch.randn(attenuation.shape, generator=generator, device=generator.device), sigma)
    noise = noise / noise.std((1, 2, 3), keepdim=True) * uniform(n, scanner.noise, generator)[:, None, None, None]
    middle, width = (uniform(n, r, generator)[:, None, None, None] for r in (scanner.middle, scanner.width))
    return ((blurred(attenuation, sigma) + noise - middle) / width + 0.5).clamp(0.0, 1.0)


def attenuation_table(n: int, scanner: CTScanner, generator: torch.Generator) -> Tensor:
    r"""Attenuation of each tissue (HU) in `n` scans, `(n, N_TISSUES)`."""
    device = generator.device
    table = torch.tensor([_UNENHANCED[tissue] for tissue in Tissue], device=device).float().repeat(n, 1)
    table += uniform(n, scanner.spread, generator)[:, None] * torch.randn(
        table.shape, generator=generator, device=device
    )
    for blood, bounds in ((_LEFT, scanner.left), (_RIGHT, scanner.right)):
        table[:, list(blood)] = uniform(n, bounds, generator)[:, None]
    for enhanced, bounds in ((_MUSCLE, scanner.muscle), (_ORGANS, scanner.organs)):
        table[:, list(enhanced)] += uniform(n, bounds, generator)[:, None]
    return table


def blurred(volumes: Tensor, sigma: Tensor) -> Tensor:
    r"""Each of `(n, Z, Y, X)` smoothed by a Gaussian of its `sigma` `(n,)` voxels; what lies outside is as the edge."""
    reach = max(1, math.ceil(3.0 * float(sigma.max())))
    away = torch.arange(-reach, reach + 1, device=volumes.device)
    kernel = torch.exp(-0.5 * (away / sigma[:, None].clamp_min(1e-3)) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    for axis in (1, 2, 3):
        lines = volumes.movedim(axis, -1)
        flat = F.pad(lines.reshape(len(volumes), -1, lines.shape[-1]), (reach, reach), mode="replicate")
        out = F.conv1d(flat.transpose(0, 1), kernel[:, None], groups=len(volumes)).transpose(0, 1)
        volumes = out.reshape(lines.shape).movedim(-1, axis)
    return volumes
