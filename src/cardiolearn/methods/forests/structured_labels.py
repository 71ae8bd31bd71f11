r"""Label patches as two classes: patches that agree where the structures' borders lie come into the same one."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

DIMENSIONS = 5  # principal components in which two means are found
_SOME = 2000  # patches at most that the components are found from


def two_classes(patches: NDArray[np.uint8], pairs: int, generator: np.random.Generator) -> NDArray[np.int64]:
    r"""The class, 0 or 1, of each of `patches` `(n, voxels)`.

    Of `pairs` random pairs of voxels it is asked whether both have the same label. Along the first principal component
    of these answers, the patches are told by their side of the mean; from there, one step of 2-means in `DIMENSIONS`
    components.

    Source: Dollár, Zitnick, ICCV 2013, section 3; k-means as in Oktay et al., MICCAI 2015 (deviation: the components of
    a node with more than 2,000 patches are those of 2,000 of them).
    """
    asked = same_label(patches, pairs, generator)
    reduced = components(asked, generator)
    side = reduced[:, 0] > 0
    return nearest_of_two(reduced, side)


def same_label(patches: NDArray[np.uint8], pairs: int, generator: np.random.Generator) -> NDArray[np.float64]:
    r"""Whether both voxels of a pair have the same label, `(n, pairs)` of 0 and 1, for random pairs of two voxels."""
    voxels = patches.shape[1]
    first = generator.integers(voxels, size=pairs)
    second = (first + generator.integers(1, voxels, size=pairs)) % voxels
    return (patches[:, first] == patches[:, second]).astype(np.float64)


def components(asked: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    r"""The first principal components `(n, at most DIMENSIONS)` of `asked` `(n, pairs)`, the widest first."""
    some = asked if len(asked) <= _SOME else asked[generator.choice(len(asked), _SOME, replace=False)]
    mean = some.mean(0)
    apart = some - mean
    few = min(DIMENSIONS, *apart.shape)
    if len(apart) < apart.shape[1]:  # the smaller of both products has the same eigenvectors, seen from the samples
        values, vectors = _largest(apart @ apart.T, few)
        directions = apart.T @ (vectors / np.sqrt(np.maximum(values, 1e-12)))
    else:
        _, directions = _largest(apart.T @ apart, few)
    return (asked - mean) @ directions


def _largest(matrix: NDArray[np.float64], few: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # The largest eigenvalues of a symmetric matrix and their vectors, the largest first.
    size = len(matrix)
    values, vectors = scipy.linalg.eigh(matrix, subset_by_index=(size - few, size - 1))
    return values[::-1], vectors[:, ::-1]


def nearest_of_two(points: NDArray[np.float64], side: NDArray[np.bool_]) -> NDArray[np.int64]:
    r"""One step of 2-means from two groups of `points` `(n, d)`: each to the group whose mean is nearer."""
    if side.all() or not side.any():
        return side.astype(np.int64)
    means = np.stack([points[~side].mean(0), points[side].mean(0)])
    apart = ((points[:, None] - means) ** 2).sum(-1)
    return apart.argmin(1)


def medoid(patches: NDArray[np.uint8], pairs: int, generator: np.random.Generator) -> int:
    r"""Which of `patches` `(n, voxels)` is nearest to their mean by the answers of `same_label`: a leaf's label."""
    asked = same_label(patches, pairs, generator)
    return int(((asked - asked.mean(0)) ** 2).sum(1).argmin())
