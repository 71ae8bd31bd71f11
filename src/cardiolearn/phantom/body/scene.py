r"""A whole subject: the heart placed in its chest, and the planes a scanner cuts through both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cardiolearn.phantom.body.anatomy import Anatomy, HeartMap
from cardiolearn.phantom.body.curves import smoothstep
from cardiolearn.phantom.body.heart import Heart
from cardiolearn.phantom.body.reach import Reach
from cardiolearn.phantom.body.subject import Subject
from cardiolearn.phantom.body.thorax import Thorax

PIECE = 40_000  # points at a time: the intermediate arrays stay in the processor's cache
PIECE_ELSEWHERE = 4_000_000  # on an accelerator: few and large steps, some 2 GB
_COVER = 20.0  # mm that fat, fluid and what the trunk makes of the heart's nearness reach beyond the heart
_FADED = 20.0  # mm outside the ventricles from where on nothing moves
_LABELLED = 6.0  # mm: the rough distance of labelled points is less


@dataclass(frozen=True)
class TissueMap:
    r"""What lies at each point of a grid: tissue codes and labels (uint8), same shape."""

    tissue: torch.Tensor
    label: torch.Tensor


def _rotation(axis: torch.Tensor, angle: float) -> torch.Tensor:
    # Rodrigues' formula.
    x, y, z = (axis / axis.norm()).tolist()
    k = axis.new_tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return torch.eye(3, device=axis.device) + math.sin(angle) * k + (1 - math.cos(angle)) * (k @ k)


def _frame(n: list[float]) -> torch.Tensor:
    # The heart's axes as columns in patient coordinates, from standard-normal numbers. The LV axis points left, forward
    # and down; a hanging or lying heart turns it by some 10 degrees.
    axis, up = _vector(-0.62, 0.55, -0.56), _vector(0.0, 0.0, 1.0)
    axis = _rotation(up, 0.16 * n[0]) @ (axis / axis.norm())
    axis = _rotation(torch.linalg.cross(axis, up), 0.17 * n[1]) @ axis
    lateral = _vector(-0.62, -0.78, 0.05)
    lateral = lateral - (lateral @ axis) * axis
    lateral = _rotation(axis, 0.16 * n[2]) @ (lateral / lateral.norm())
    return torch.stack((lateral, torch.linalg.cross(axis, lateral), axis), dim=1)


def _vector(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, device="cpu")


class Scene:
    r"""One subject's heart and trunk as a function of position (patient frame, RAS+ mm) and activation.

    `frame` `(3, 3)` holds the heart axes as columns in patient coordinates, `origin` `(3,)` the mitral plane's centre.
    Both lie on `device`, and so must the points that are asked for; the subject is the same on every device.
    """

    def __init__(self, subject: Subject, device: torch.device | str = "cpu") -> None:
        self.subject, self.device = subject, torch.device(device)
        self.heart = Heart(subject)
        self.anatomy = Anatomy(self.heart)
        g = torch.Generator().manual_seed((subject.seed * 7 + 5) % 2**62)
        n = torch.randn(8, generator=g, device="cpu").clamp(-2.5, 2.5).tolist()
        frame, origin = _frame(n), _vector(-12.0 + 7 * n[3], 12.0 + 7 * n[4], 6.0 * n[5])
        middle = origin + frame @ _vector(-12.0, 0.0, 0.5 * self.heart.length)
        self.thorax = Thorax(subject, (middle[0].item(), middle[1].item(), middle[2].item()))
        self.frame, self.origin = frame.to(self.device), origin.to(self.device)
        self._reach = Reach(self.anatomy, self.device)

    def at(self, points: torch.Tensor, a: float) -> TissueMap:
        r"""Tissue and labels at `points` `(..., 3)` mm in the patient frame, at activation `a`."""
        return self.over(points, (a,))[0]

    def over(self, points: torch.Tensor, activations: Sequence[float]) -> list[TissueMap]:
        r"""As `at` for each of `activations`, sooner than one by one: the trunk, which does not move, is shared."""
        pieces = [self._piece(piece, activations) for piece in self._pieces(points)]
        tissue, label = (torch.cat(part, 1).reshape(-1, *points.shape[:-1]) for part in zip(*pieces, strict=True))
        return [TissueMap(*both) for both in zip(tissue, label, strict=True)]

    def labels_at(self, points: torch.Tensor, a: float) -> torch.Tensor:
        r"""Labels alone, uint8 `(...)`: sooner, the trunk is not looked at."""
        pieces = []
        for piece in self._pieces(points):
            label = torch.zeros(len(piece), dtype=torch.uint8, device=piece.device)
            near, here = self._heart(self._local(piece), a, _LABELLED)
            pieces.append(label.index_copy_(0, near, here.label))
        return torch.cat(pieces).reshape(points.shape[:-1])

    def at_rest(self, points: torch.Tensor, a: float) -> torch.Tensor:
        r"""Where what lies at `points` `(..., 3)` at activation `a` lay at end-diastole, mm in the patient frame.

        The heart moves by its chart, blood as if it did not flow; beyond some 20 mm outside the heart nothing moves.
        """
        pieces = []
        for piece in self._pieces(points):
            local = self._local(piece)
            near = self._reach.within(local, a, _FADED)
            local = local.index_select(0, near)
            m = self.heart.to_material(local, a)
            then = self.heart.to_space(m.rho, m.theta, m.depth, 0.0)
            outside = torch.maximum(m.rho_now - m.epi_now, torch.maximum(m.depth - self.heart.height, -m.depth))
            moved = (then - local) * (1.0 - smoothstep(outside / _FADED))[:, None]
            pieces.append(piece.index_add(0, near, moved @ self.frame.T))
        return torch.cat(pieces).reshape(points.shape)

    def _pieces(self, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return points.reshape(-1, 3).split(PIECE if points.device.type == "cpu" else PIECE_ELSEWHERE)

    def _local(self, flat: torch.Tensor) -> torch.Tensor:
        return (flat - self.origin) @ self.frame

    def _heart(self, local: torch.Tensor, a: float, distance: float) -> tuple[torch.Tensor, HeartMap]:
        # The heart at those of the points (N, 3) of its frame that may lie within `distance` mm, and their numbers.
        near = self._reach.within(local, a, distance)
        return near, self.anatomy.at(local.index_select(0, near), a)

    def _piece(self, flat: torch.Tensor, activations: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
        # Tissue and labels (T, N). The trunk is worked out where a frame shows it, and anew only where the heart has
        # come so near, or gone so far, that the trunk looks different.
        local, unknown = self._local(flat), 255
        tissue = torch.zeros((len(activations), len(flat)), dtype=torch.uint8, device=flat.device)
        label, trunk = torch.zeros_like(tissue), torch.zeros_like(tissue[0])
        drawn_for = torch.full_like(trunk, unknown)
        for t, a in enumerate(activations):
            near, here = self._heart(local, a, _COVER)
            tissue[t].index_copy_(0, near, here.tissue)
            label[t].index_copy_(0, near, here.label)
            close = self.thorax.contact(flat.index_select(0, near), here.outside)
            contact = torch.zeros_like(trunk).index_copy_(0, near, close)
            bare = tissue[t] == 0
            new = (bare & (contact != drawn_for)).nonzero()[:, 0]
            trunk.index_copy_(0, new, self.thorax.at(flat.index_select(0, new), contact.index_select(0, new)))
            drawn_for.index_copy_(0, new, contact.index_select(0, new))
            tissue[t] = torch.where(bare, trunk, tissue[t])
        return tissue, label
