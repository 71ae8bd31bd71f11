r"""Where a sonographer holds the probe for an apical view, and what its beams meet there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.imaging.structures import RV_CAVITY
from cardiolearn.phantom.body.landmarks import landmarks, to_patient
from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.scanners.echo_tissue import LEFT_VALVE, RIGHT_TRABECULA, RIGHT_VALVE
from cardiolearn.phantom.scanners.exposure import smooth_field
from cardiolearn.phantom.scanners.mri import uniform
from cardiolearn.phantom.scanners.sector import BEAMS, sector_points

_STANDOFF = (30.0, 41.0)  # mm from where the beams meet to the apex; the skin is at 14
_OFF = 4.0  # mm, standard deviation: how far beside the apex it stands
_TILT, _TURN = math.radians(5.0), math.radians(10.0)  # rad, standard deviations
_FAT = 0.45  # share of the chest wall that is fat, on its outside
_HEART = tuple(range(Tissue.LV_BLOOD, Tissue.PERICARDIUM + 1))  # blood, muscle, fat and sac
_VALVES = (  # blood on the ventricle's side, what lies behind, and the leaflets' code
    (Tissue.LV_BLOOD, (Tissue.LA_BLOOD, Tissue.ARTERY), LEFT_VALVE),
    (Tissue.RV_BLOOD, (Tissue.RA_BLOOD,), RIGHT_VALVE),
)
_TENT, _HANGING = 10, 5.0  # samples: how far leaflets reach into the ventricle, at most and as a standard deviation
_UNSEEN = 0.9  # standard deviations of a smooth field, beyond which beams pass beside the leaflets: a fifth of them


@dataclass(frozen=True)
class Probe:
    r"""A probe on the chest: where its beams meet `(3,)` (mm, patient frame), its axes x, y, z as columns `(3, 3)`, and
    how far below it the chest wall ends, mm. `tent` `(BEAMS, BEAMS)` is how many samples before the valves' planes a
    beam meets the leaflets; -1 where it passes beside them."""

    origin: Tensor
    axes: Tensor
    standoff: float
    tent: Tensor


def place_probe(scene: Scene, generator: torch.Generator) -> Probe:
    r"""A probe held to the apex, looking at the mitral valve: x to the lateral wall, y to the inferior one.

    It stands some mm beside the apex, looks some degrees past the valve and is turned by some 10 degrees. `generator`
    is the CPU's; the probe is the same on every device.
    """
    marks = {name: to_patient(scene, point) for name, point in landmarks(scene.heart, 0.0, scene.device).items()}
    n = torch.randn(5, generator=generator, device="cpu").clamp(-2.0, 2.0).tolist()
    standoff = uniform(1, _STANDOFF, generator).item()
    middle = _unit(marks["mitral_valve"] - marks["apex"])
    lateral = _across(scene.frame[:, 0], middle)
    inferior = torch.linalg.cross(middle, lateral)
    depth = _unit(middle + math.tan(_TILT) * (n[0] * lateral + n[1] * inferior))
    across = _across(math.cos(_TURN * n[2]) * lateral + math.sin(_TURN * n[2]) * inferior, depth)
    axes = torch.stack((across, torch.linalg.cross(depth, across), depth), 1)
    origin = marks["apex"] - standoff * middle + _OFF * (n[3] * lateral + n[4] * inferior)
    waves, beside = smooth_field(2, (BEAMS, BEAMS), 14, generator)
    tent = (_HANGING * waves.abs()).int().clamp(max=_TENT).masked_fill(beside > _UNSEEN, -1)
    return Probe(origin, axes, standoff, tent.to(scene.device))


def met_by_beams(scene: Scene, probe: Probe, activations: tuple[float, ...]) -> Tensor:
    r"""Codes `(T, DEPTHS, BEAMS, BEAMS)` (uint8) of :mod:`~cardiolearn.phantom.scanners.echo_tissue` on the sector.

    Patients are scanned lying on their left side, which brings the heart to the chest wall. So whatever the subject,
    who lies on the back, has between probe and heart is fat and muscle here; only what lies farther, as the lung beside
    the heart, is taken from the body.
    """
    places = sector_points(scene.device) @ probe.axes.T + probe.origin
    found = scene.over(places, activations)
    tissue, label = torch.stack([f.tissue for f in found]), torch.stack([f.label for f in found])
    codes = tissue.masked_fill((tissue == int(Tissue.TRABECULA)) & (label == RV_CAVITY), RIGHT_TRABECULA)
    return _with_chest_wall(_with_valves(codes, probe.tent), probe, places)


def _with_valves(codes: Tensor, tent: Tensor) -> Tensor:
    # Leaflets are a sample thick and hang, like sails, from the ring into the ventricle.
    for ventricle, beyond, valve in _VALVES:
        blood = codes == int(ventricle)
        leaves = blood[:, :-1] & torch.isin(codes[:, 1:], codes.new_tensor([int(b) for b in beyond]))
        leaves = F.pad(leaves, (0, 0, 0, 0, 0, _TENT + 1))
        ahead = [leaves[:, k : k + codes.shape[1]] & (tent == k) for k in range(_TENT + 1)]
        codes = codes.masked_fill(torch.stack(ahead).any(0) & blood, valve)
    return codes


def _with_chest_wall(codes: Tensor, probe: Probe, places: Tensor) -> Tensor:
    heart = torch.isin(codes, codes.new_tensor(_HEART))
    ahead = heart.int().cumsum(1) == 0
    deep = (places - probe.origin) @ probe.axes[:, 2]
    wall = torch.where(deep < _FAT * probe.standoff, int(Tissue.SUBCUTANEOUS_FAT), int(Tissue.MUSCLE)).to(codes.dtype)
    # A beam that misses the heart altogether leaves the chest wall where the others reach the heart.
    reaches = heart.any(1, keepdim=True)
    return torch.where(ahead & (reaches | (deep < probe.standoff)), wall, codes)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def _across(vector: Tensor, axis: Tensor) -> Tensor:
    # The part of a vector that stands at right angles to a unit axis, as a unit vector.
    return _unit(vector - (vector @ axis) * axis)
