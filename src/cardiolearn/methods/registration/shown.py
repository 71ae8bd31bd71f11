r"""What tracking found, as pictures: surfaces drawn into the slices, surfaces coloured by distance, grids that bend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.slices import overlay
from cardiolearn.figures.style import BLUE, PALETTE
from cardiolearn.imaging.intensity import percentiles
from cardiolearn.measures.surfaces import Mesh
from cardiolearn.methods.registration.meshes import distances_to
from cardiolearn.methods.registration.tracking import Followed
from cardiolearn.phantom.cohorts.stacks import TestStack
from cardiolearn.phantom.scanners.thin_slices import SPACING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_SURFACE = "lv_endocardium"
_FARTHEST = (4.0, 12.0)  # mm at the end of the colour scales of the second and the third row
_ROOM = 15.0  # mm of picture around the surface
TITLES = {"linear": "linear", "network": "network", "high_resolution": "thin slices"}


def tracking_panels(one: Followed) -> Figure:
    r"""The inner surface of the LV at end-systole, a column for each method: its cut, and twice the surface itself.

    The first row has the end-systolic picture cut along the heart, with the tracked surface and the true one; the
    second row's colours are the distance from the surface tracked on thin slices (the lecture's comparison), the third
    row's that of each point from its true place. Axes in mm, those of the scan; a colour scale for each row.
    """
    import matplotlib.pyplot as plt

    true, faces = one.motion.after[_SURFACE], one.motion.before[_SURFACE].faces
    reference = Mesh(one.found["high_resolution"][_SURFACE], faces)
    figure = plt.figure(figsize=(4.4 * len(one.found), 15.5))
    grid = figure.add_gridspec(3, len(one.found))
    for i, (name, found) in enumerate(one.found.items()):
        vertices = found[_SURFACE]
        ax = figure.add_subplot(grid[0, i])
        _cut(ax, one.pictures[name][1], one.motion.affine, Mesh(vertices, faces), Mesh(true, faces))
        ax.set_title(TITLES[name])
        apart = {"from the surface\ntracked on thin slices": distances_to(vertices, reference)}
        apart["of each point\nfrom its true place"] = (vertices - true).norm(dim=1)
        for row, (what, distance) in enumerate(apart.items(), 1):
            solid: Any = figure.add_subplot(grid[row, i], projection="3d")
            upright = _voxels(vertices, one.motion.affine) * SPACING
            drawn = _coloured(solid, upright, np.asarray(faces), distance, _FARTHEST[row - 1])
            own = name == "high_resolution" and row == 1
            mean = f"mean {distance.mean():.1f} mm"
            solid.set_title("the others are compared with this one" if own else mean, y=0.98)
            if i == len(one.found) - 1:
                figure.colorbar(drawn, ax=solid, label=f"distance {what} (mm)", shrink=0.8, pad=0.15)
    figure.axes[0].legend(loc="lower left", fontsize=10, labelcolor="white", facecolor="black", framealpha=0.6)
    return describe(figure, "The tracked inner surface on linear, restored and thin slices, coloured by its distance")


def _cut(ax: Axes, picture: Tensor, affine: NDArray[Any], found: Mesh, true: Mesh) -> None:
    # The slices cut along the heart through the middle of the true surface, with both surfaces' lines.
    from matplotlib.collections import LineCollection

    places = [_voxels(mesh.vertices, affine) for mesh in (found, true)]
    row = round(float(places[1][:, 1].mean()))
    dx, _, dz = SPACING
    overlay(ax, picture[:, row], spacing=(dx, dz))
    for voxels, colour, style, name in zip(places, (PALETTE["lv"], "white"), "-:", ("tracked", "true"), strict=True):
        lines = section(voxels, np.asarray(found.faces), row) * (dx, dz)
        ax.add_collection(LineCollection(list(lines), colors=colour, linestyles=style, linewidths=2.2))
        ax.plot([], [], color=colour, linestyle=style, label=name)
    low, high = places[1].min(0), places[1].max(0)
    ax.set_xlim(low[0] * dx - _ROOM, high[0] * dx + _ROOM)
    ax.set_ylim(high[2] * dz + _ROOM, max(low[2] * dz - _ROOM, -0.5 * dz))
    ax.set_ylabel("z (mm)")


def section(vertices: NDArray[Any], faces: NDArray[Any], row: float) -> NDArray[Any]:
    r"""Where a mesh meets the plane y = `row`: segments `(S, 2, 2)` in (x, z), one for each triangle that crosses it.

    `vertices` are `(V, 3)` as (x, y, z), `faces` `(F, 3)`.
    """
    corners = vertices[faces]  # (F, 3, 3)
    after = np.roll(corners, -1, axis=1)
    height, next_height = corners[..., 1] - row, after[..., 1] - row
    crosses = (height < 0) != (next_height < 0)  # (F, 3): which edges; none or two of a triangle
    share = np.where(crosses, height / np.where(crosses, height - next_height, 1.0), 0.0)[..., None]
    points = (corners + share * (after - corners))[..., ::2]
    met: NDArray[Any] = points[crosses].reshape(-1, 2, 2)
    return met


def _coloured(
    ax: Any, vertices: NDArray[Any], faces: NDArray[Any], distance: Tensor, farthest: float
) -> ScalarMappable:
    # A surface `(V, 3)` in mm seen from the side, each triangle in the colour of its corners' mean distance.
    drawn = ax.plot_trisurf(*vertices.T, triangles=faces, cmap="viridis", linewidth=0, antialiased=False)
    drawn.set_array(distance.numpy()[faces].mean(1))
    drawn.set_clim(0.0, farthest)
    low, high = vertices.min(0) - 3.0, vertices.max(0) + 3.0
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(high[2], low[2]))  # the base above, as in the cut
    ax.set(xlabel="x (mm)", ylabel="y (mm)", zlabel="z (mm)")
    ax.tick_params(labelsize=8)
    ax.locator_params(nbins=4)
    ax.set_box_aspect(high - low, zoom=0.9)
    ax.view_init(elev=10, azim=-70)
    return drawn


def _voxels(vertices: Tensor, affine: NDArray[Any]) -> NDArray[Any]:
    homogeneous = np.c_[vertices.double().numpy(), np.ones(len(vertices))]
    found: NDArray[Any] = (homogeneous @ np.linalg.inv(affine).T)[:, :3]
    return found


def bent_grids(
    pictures: Mapping[str, tuple[Tensor, Tensor | None]], *, spacing: Sequence[float], every: float = 6.0
) -> Figure:
    r"""Pictures (Y, X) by title in one grey scale, each with a grid whose lines a displacement carries along.

    Args:
        pictures: with each the displacement `(2, Y, X)` mm, (y, x), or None where no grid is drawn.
        spacing: (dy, dx) in mm.
        every: distance in mm of the lines before they bend.
    """
    import matplotlib.pyplot as plt

    dy, dx = spacing
    first = next(iter(pictures.values()))[0]
    low, high = percentiles(first, 1, 99)
    height, width = (n * d for n, d in zip(first.shape, spacing, strict=True))
    figure, axes = plt.subplots(1, len(pictures), figsize=(4.2 * len(pictures), 4.2 * height / width + 0.9))
    for ax, (title, (plane, field)) in zip(np.atleast_1d(axes), pictures.items(), strict=True):
        overlay(ax, plane, spacing=(dx, dy), window=(low, high))
        view = ax.get_xlim(), ax.get_ylim()
        if field is not None:
            y, x = (place.numpy() for place in _moved(field, spacing))
            rows, columns = (range(0, n, max(1, round(every / d))) for n, d in zip(plane.shape, spacing, strict=True))
            for lines in ((x[list(rows)].T, y[list(rows)].T), (x[:, list(columns)], y[:, list(columns)])):
                ax.plot(*lines, color=BLUE, linewidth=1.0)
        ax.set(title=title, xlim=view[0], ylim=view[1])
        ax.label_outer()
    return figure


def slice_pair(scan: TestStack, room: int = 10) -> tuple[Tensor, Tensor]:
    r"""The thin slice `(Y, X)` in the middle of a heart at end-diastole and at end-systole, with some pixels around."""
    middle = scan.volume.shape[1] // 2
    inside = torch.nonzero(scan.labels[0, middle])
    y, x = (slice(max(int(i.min()) - room, 0), int(i.max()) + room + 1) for i in inside.T)
    return scan.volume[0, middle, y, x], scan.volume[1, middle, y, x]


def _moved(field: Tensor, spacing: Sequence[float]) -> Tensor:
    axes = [torch.arange(n) * d for n, d in zip(field.shape[1:], spacing, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")) + field.detach()
