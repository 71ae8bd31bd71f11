r"""A whole subject: the heart placed in its chest, and the planes a scanner cuts through both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from cardiolearn.phantom.body.anatomy import Anatomy, HeartMap
from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.subject import Subject
from cardiolearn.phantom.body.thorax import Thorax

PIECE = 40_000  # points at a time: the intermediate arrays stay in the processor's cache


@dataclass(frozen=True)
class TissueMap:
    r"""What lies at each point of a grid: tissue codes and labels (uint8), same shape."""

    tissue: torch.Tensor
    label: torch.Tensor


def _rotation(axis: torch.Tensor, angle: float) -> torch.Tensor:
    # Rodrigues' formula.
    x, y, z = (axis / axis.norm()).tolist()
    k = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return torch.eye(3) + math.sin(angle) * k + (1 - math.cos(angle)) * (k @ k)


class Scene:
    r"""One subject's heart and trunk as a function of position (patient frame, RAS+ mm) and activation.

    `frame` `(3, 3)` holds the heart axes as columns in patient coordinates, `origin` `(3,)` the mitral plane's centre.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.heart = Heart(subject)
        self.anatomy = Anatomy(self.heart)
        g = torch.Generator().manual_seed((subject.seed * 7 + 5) % 2**62)
        n = torch.randn(8, generator=g).clamp(-2.5, 2.5).tolist()
        # The LV axis points left, forward and down; a hanging or lying heart turns it by some 10 degrees.
        axis = torch.tensor([-0.62, 0.55, -0.56])
        axis = _rotation(torch.tensor([0.0, 0.0, 1.0]), 0.16 * n[0]) @ (axis / axis.norm())
        axis = _rotation(torch.linalg.cross(axis, torch.tensor([0.0, 0.0, 1.0])), 0.17 * n[1]) @ axis
        lateral = torch.tensor([-0.62, -0.78, 0.05])
        lateral = lateral - (lateral @ axis) * axis
        lateral = _rotation(axis, 0.16 * n[2]) @ (lateral / lateral.norm())
        anterior = torch.linalg.cross(axis, lateral)
        self.frame = torch.stack((lateral, anterior, axis), dim=1)
        self.origin = torch.tensor([-12.0 + 7 * n[3], 12.0 + 7 * n[4], 6.0 * n[5]])
        middle = self.origin + self.frame @ torch.tensor([-12.0, 0.0, 0.5 * self.heart.length])
        self.thorax = Thorax(subject, (middle[0].item(), middle[1].item(), middle[2].item()))

    def at(self, points: torch.Tensor, a: float) -> TissueMap:
        r"""Tissue and labels at `points` `(..., 3)` mm in the patient frame, at activation `a`."""
        pieces = [self._piece(piece, a) for piece in points.reshape(-1, 3).split(PIECE)]
        tissue, label = (torch.cat(part).reshape(points.shape[:-1]) for part in zip(*pieces, strict=True))
        return TissueMap(tissue, label)

    def labels_at(self, points: torch.Tensor, a: float) -> torch.Tensor:
        r"""Labels alone, uint8 `(...)`: sooner, the trunk is not looked at."""
        pieces = []
        for piece in points.reshape(-1, 3).split(PIECE):
            label = torch.zeros(len(piece), dtype=torch.uint8)
            near, here = self._heart(piece, a)
            label[near] = here.label
            pieces.append(label)
        return torch.cat(pieces).reshape(points.shape[:-1])

    def at_rest(self, points: torch.Tensor, a: float) -> torch.Tensor:
        r"""Where what lies at `points` `(..., 3)` at activation `a` lay at end-diastole, mm in the patient frame.

        The heart moves by its chart, blood as if it did not flow; beyond some 20 mm outside the heart nothing moves.
        """
        pieces = []
        for piece in points.reshape(-1, 3).split(PIECE):
            local = (piece - self.origin) @ self.frame
            m = self.heart.to_material(local, a)
            then = self.heart.to_space(m.rho, m.theta, m.depth, 0.0)
            outside = torch.maximum(m.rho_now - m.epi_now, torch.maximum(m.depth - self.heart.height, -m.depth))
            moved = (then - local) * (1.0 - smoothstep(outside / 20.0))[:, None]
            pieces.append(piece + moved @ self.frame.T)
        return torch.cat(pieces).reshape(points.shape)

    def _heart(self, flat: torch.Tensor, a: float) -> tuple[torch.Tensor, HeartMap]:
        # The heart at those of the points (N, 3) that are near enough to belong to it, and their indices.
        local = (flat - self.origin) @ self.frame
        reach = torch.tensor([0.0, 0.0, 0.25 * self.heart.length])
        near = ((local - reach).norm(dim=-1) < self.heart.length + 45.0).nonzero()[:, 0]
        return near, self.anatomy.at(local[near], a)

    def _piece(self, flat: torch.Tensor, a: float) -> tuple[torch.Tensor, torch.Tensor]:
        tissue = torch.zeros(len(flat), dtype=torch.uint8)
        label, outside = torch.zeros_like(tissue), torch.full((len(flat),), 1e3)
        near, here = self._heart(flat, a)
        tissue[near], label[near], outside[near] = here.tissue, here.label, here.outside
        rest = (tissue == 0).nonzero()[:, 0]
        tissue[rest] = self.thorax.at(flat[rest], outside[rest])
        return tissue, label
