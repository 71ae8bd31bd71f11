r"""Hearts in 3D to learn from, wherever they come from: a phantom that pictures them anew, or plain tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cardiolearn.errors import InputError
from cardiolearn.methods.shape.label_volumes import check_labels

Batch = tuple[Tensor, Tensor]


class VolumeSource(Protocol):
    r"""A picture and the labels of each of some hearts, by its number."""

    def __len__(self) -> int:
        r"""How many there are."""

    def __call__(self, picks: Tensor, generator: torch.Generator) -> Batch:
        r"""Pictures `(n, 1, Z', Y', X')` and labels `(n, Z, Y, X)` of the hearts `picks` `(n,)`, on the device of the
        generator; all that is random in them comes from it."""


@dataclass(frozen=True, eq=False)
class FixedVolumes:
    r"""A `VolumeSource` of plain tensors, always the same: `labels` `(N, Z, Y, X)`, `images` `(N, 1, Z', Y', X')`.

    Pictures may be kept as 16-bit numbers; they are given as 32-bit ones.

    An auto-encoder asks for no pictures: labels alone do for it.
    """

    labels: Tensor
    images: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images is not None and (self.images.ndim != 5 or self.images.shape[:2] != (len(self.labels), 1)):
            raise InputError(
                f"volumes: expected pictures ({len(self.labels)}, 1, Z, Y, X), got {tuple(self.images.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __call__(self, picks: Tensor, generator: torch.Generator) -> Batch:
        here, there = picks.to(self.labels.device), generator.device
        images = self.labels.new_empty((len(picks), 0)) if self.images is None else self.images[here]
        return images.to(there, torch.float32), self.labels[here].to(there)


def look_at(source: VolumeSource, picks: Tensor, generator: torch.Generator, n_classes: int) -> Batch:
    r"""What a source gives, its labels held against `n_classes`: a wrong volume is refused before it is learnt.

    Raises:
        InputError: as :func:`~cardiolearn.methods.shape.label_volumes.check_labels`; or a heart is asked for that the
            source has not.
    """
    if not len(picks):
        raise InputError(f"volumes: expected at least one heart to test on, got {len(source)} in all, all learnt from")
    images, labels = source(picks, generator)
    return images, check_labels(labels, n_classes)
