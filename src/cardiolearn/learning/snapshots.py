r"""How a training went, in pictures: the labels a network found in one example, early and late."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cardiolearn.errors import InputError
from cardiolearn.imaging.files import write_atomically

STEPS = (0, 20, 200, 1_000, 5_000)  # and the end


@dataclass(frozen=True)
class Snapshots:
    r"""What a network made of one example while it learnt; kept as a small npz file without pickled objects.

    Args:
        picture: `(Y, X)` uint8, the example's grey values from 0 to 1 as 0 to 255.
        truth: `(Y, X)` uint8, its true labels.
        labels: `(Y, X)` uint8 by the number of steps that were done.
    """

    picture: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    labels: dict[int, NDArray[np.uint8]]

    def write(self, path: Path) -> None:
        r"""Replace `path`, as a whole."""
        steps = sorted(self.labels)
        labels = np.stack([self.labels[step] for step in steps])
        file = io.BytesIO()
        np.savez_compressed(file, picture=self.picture, truth=self.truth, steps=np.array(steps), labels=labels)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, file.getvalue())

    @classmethod
    def read(cls, path: Path) -> Snapshots:
        r"""What `write` left.

        Raises:
            InputError: it is missing, damaged or another file.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                labels = dict(zip(file["steps"].tolist(), file["labels"], strict=True))
                return cls(file["picture"], file["truth"], labels)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: expected snapshots of a training, found {error}") from None


class Watch:
    r"""Takes the snapshots of a training and keeps them in `path`; one that goes on finds the earlier ones there.

    Args:
        picture: the example as the network gets it, `(1, Y, X)` within [0, 1].
        truth: its labels `(Y, X)`.
    """

    def __init__(self, path: Path, picture: Tensor, truth: Tensor) -> None:
        self.path = path
        self.picture = picture
        grey = (255 * picture[0]).round().to(torch.uint8)
        self._empty = Snapshots(grey.cpu().numpy(), truth.to(torch.uint8).cpu().numpy(), {})

    @torch.no_grad()
    def take(self, step: int, network: nn.Module) -> None:
        r"""Keep what the network, in whatever mode it is, finds after `step` steps; step 0 begins a new series."""
        training = network.training
        network.eval()
        device = next(network.parameters()).device
        found = network(self.picture[None].to(device)).argmax(1)[0].to(torch.uint8).cpu().numpy()
        network.train(training)
        Snapshots(self._empty.picture, self._empty.truth, self._earlier(step) | {step: found}).write(self.path)

    def _earlier(self, step: int) -> dict[int, NDArray[np.uint8]]:
        if step == 0 or not self.path.is_file():
            return {}
        before = Snapshots.read(self.path)
        if not np.array_equal(before.picture, self._empty.picture):
            raise InputError(f"{self.path}: holds snapshots of another example; delete it to begin anew")
        return {earlier: labels for earlier, labels in before.labels.items() if earlier < step}
