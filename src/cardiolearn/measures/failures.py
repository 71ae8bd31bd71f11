r"""What is wrong with an outline, named in words: which structure, where in the heart, too large or too small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cardiolearn.imaging.image import Image
from cardiolearn.imaging.structures import NAMES, VENTRICLES
from cardiolearn.measures.metrics import dice

PARTS = ("base", "middle", "apex")
ENOUGH = 0.05  # share of the reference's size from which an outline is called too large or too small
MOST = 0.5  # share of the wrong pixels that names the part of the heart they lie in


class Failure(NamedTuple):
    r"""The structure of two outlines of one heart that agrees least.

    Args:
        key: of the structure, such as "rv".
        dice: of it.
        larger: how much larger it is than in the reference, as a share of the latter; infinite where that has none.
        part: "base", "middle" or "apex" where most of the pixels lie in which both differ; else None.
        only_found, only_reference: the number of slices in which one of both alone has the structure.
    """

    key: str
    dice: float
    larger: float
    part: str | None
    only_found: int
    only_reference: int

    def words(self) -> str:
        r"""One sentence.

        >>> Failure("rv", 0.71, -0.2, "base", 0, 2).words()
        'RV cavity, Dice 0.71: too small by 20 %, most of it wrong at the base; 2 slices were left out.'
        """
        size = "of the right size, in the wrong place"
        if abs(self.larger) >= ENOUGH:
            size = f"too {'large' if self.larger > 0 else 'small'}"
            size += f" by {100 * abs(self.larger):.0f} %" if self.larger < float("inf") else ""
        where = "wrong all along the heart" if self.part is None else f"most of it wrong {_AT[self.part]}"
        told = [f"{NAMES[self.key]}, Dice {self.dice:.2f}: {size}, {where}"]
        for n, what in ((self.only_reference, "left out"), (self.only_found, "added")):
            if n:
                told.append(f"{n} {'slice was' if n == 1 else 'slices were'} {what}")
        return "; ".join(told) + "."


_AT = {"base": "at the base", "middle": "in the middle of the heart", "apex": "at the apex"}


def name_failure(found: Image, reference: Image, among: Sequence[str] = tuple(VENTRICLES)) -> Failure:
    r"""What is most wrong with label maps `(Z, Y, X)` of one grid: of the structure with the lowest Dice `among` some,
    the size, the part of the heart, and the slices that only one of both has."""
    scores = {key: dice(found.data == VENTRICLES[key], reference.data == VENTRICLES[key]) for key in among}
    key = min(scores, key=lambda k: scores[k])
    ours, theirs = (image.data == VENTRICLES[key] for image in (found, reference))
    size = int(theirs.sum())
    larger = int(ours.sum()) / size - 1 if size else float("inf")
    here, there = ours.flatten(1).any(1), theirs.flatten(1).any(1)
    part = _part((ours ^ theirs).flatten(1).sum(1), (found.data > 0) | (reference.data > 0))
    return Failure(key, scores[key], larger, part, int((here & ~there).sum()), int((there & ~here).sum()))


def slices_from_base(heart: Tensor) -> Tensor:
    r"""Numbers of the slices of a heart `(Z, Y, X)`, from base to apex: it tapers towards its apex."""
    slices = torch.nonzero(heart.flatten(1).any(1))[:, 0]
    areas = heart.flatten(1).sum(1)[slices]
    half = (len(slices) + 1) // 2
    return slices.flip(0) if areas[:half].sum() < areas[-half:].sum() else slices


def _part(wrong: Tensor, heart: Tensor) -> str | None:
    r"""The third of the heart `(Z, Y, X)`, from base to apex, with most of the `wrong` pixels `(Z,)` of its slices."""
    slices = slices_from_base(heart)
    if not len(slices) or not wrong.sum():
        return None
    shares = [float(wrong[third].sum() / wrong.sum()) for third in torch.tensor_split(slices, len(PARTS))]
    best = max(range(len(PARTS)), key=lambda i: shares[i])
    return PARTS[best] if shares[best] >= MOST else None
