r"""A heart to turn round with the mouse: its surfaces, and the slices of the scan that cut through it (ipyniivue)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cardiolearn.errors import InputError
from cardiolearn.figures.style import PALETTE
from cardiolearn.imaging.intensity import percentiles

if TYPE_CHECKING:
    from cardiolearn.imaging.image import Image
    from cardiolearn.measures.surfaces import Mesh

MARGIN = 15.0  # mm of a slice that are shown around the surfaces
_MZ3_FACES, _MZ3_VERTICES, _MZ3_COLOURS = 1, 2, 4


def heart_3d(scan: Image, surfaces: Mapping[str, Mesh], *, planes: int = 3, height: int = 420) -> Any:
    r"""Surfaces with the slices of a short-axis scan that cut them, turned by dragging, nearer by the wheel.

    Args:
        scan: `(Z, Y, X)`; `planes` of the slices that meet a surface are shown, evenly spread.
        surfaces: meshes in mm (RAS+), by structure: `"lv"`, `"myocardium"`, `"rv"`, `"la"`, `"ra"`.

    Raises:
        InputError: A cine, no surfaces, an unknown structure, or no slice that meets a surface.
    """
    from ipyniivue import NiiVue, SliceType

    if scan.data.ndim != 3:
        raise InputError(f"heart_3d: expected (Z, Y, X), found {tuple(scan.data.shape)}; choose a frame first")
    if not surfaces or not set(surfaces) <= set(PALETTE):
        raise InputError(f"heart_3d: expected surfaces of {', '.join(PALETTE)}, got {', '.join(surfaces) or 'none'}")
    viewer = NiiVue(
        height=height,
        slice_type=SliceType.RENDER,
        back_color=(1.0, 1.0, 1.0, 1.0),
        is_orientation_text_visible=False,
        loading_text="",  # it is written once the font has come, then over a heart that came sooner
    )
    drawn: list[dict[str, Any]] = [
        {"data": _surface(mesh, PALETTE[key]), "name": f"{key}.mz3"} for key, mesh in surfaces.items()
    ]
    drawn += [{"data": plane, "name": f"slice{i}.mz3"} for i, plane in enumerate(_planes(scan, surfaces, planes))]
    viewer.load_meshes(drawn)
    for mesh in viewer.meshes[len(surfaces) :]:  # a glossy slice would be dark from most sides
        mesh.mesh_shader_index = viewer.mesh_shader_names().index("Matte")
    return viewer


def _surface(mesh: Mesh, colour: str) -> bytes:
    from matplotlib.colors import to_rgba

    rgba = np.array([round(255 * part) for part in to_rgba(colour)], dtype=np.uint8)
    vertices = np.asarray(mesh.vertices.detach().cpu(), dtype=np.float32)
    return mz3(vertices, np.asarray(mesh.faces.detach().cpu()), np.tile(rgba, (len(vertices), 1)))


def _planes(scan: Image, surfaces: Mapping[str, Mesh], planes: int) -> list[bytes]:
    r"""Slices near the surfaces as meshes, a vertex a pixel, in the grey of the scan."""
    corners = np.concatenate([np.asarray(mesh.vertices.detach().cpu()) for mesh in surfaces.values()])
    voxels = (np.c_[corners, np.ones(len(corners))] @ np.linalg.inv(scan.affine).T)[:, :3]
    room = MARGIN / np.array(scan.spacing) * (1, 1, 0)
    low = np.ceil(voxels.min(0) - room).astype(int).clip(0)
    high = np.floor(voxels.max(0) + room).astype(int).clip(max=np.array(scan.data.shape[::-1]) - 1)
    if (low >= high + np.array([0, 0, 1])).any():
        raise InputError("heart_3d: no slice of the scan meets the surfaces")
    darkest, brightest = percentiles(np.asarray(scan.data.detach().cpu(), dtype=np.float64), 1, 99)
    rows, columns = np.arange(low[1], high[1] + 1), np.arange(low[0], high[0] + 1)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    made = []
    for z in np.unique(np.linspace(low[2], high[2], planes + 2).round().astype(int)[1:-1]):
        grey = np.asarray(scan.data[z].detach().cpu(), dtype=np.float64)[y, x].ravel()
        level = (255 * (grey - darkest) / max(brightest - darkest, 1e-9)).clip(0, 255).astype(np.uint8)
        points = np.stack([x.ravel(), y.ravel(), np.full(x.size, z), np.ones(x.size)], 1) @ scan.affine.T
        colours = np.stack([level, level, level, np.full_like(level, 255)], 1)
        both = np.tile(points[:, :3], (2, 1)), np.tile(colours, (2, 1))
        made.append(mz3(both[0], _grid_faces(len(rows), len(columns)), both[1]))
    return made


def _grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    r"""Two triangles for each cell of a grid of vertices, and again from behind on a second set of them `(F, 3)`.

    The viewer draws only triangles that face the reader; vertices that both sides shared would have no normal.
    """
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below, across = first + 1, first + columns, first + columns + 1
    front = np.concatenate([np.stack([first, right, below], 1), np.stack([right, across, below], 1)])
    return np.concatenate([front, front[:, ::-1] + rows * columns])


def mz3(vertices: NDArray[Any], faces: NDArray[Any], colours: NDArray[np.uint8]) -> bytes:
    r"""A coloured mesh as the bytes of an MZ3 file: `vertices` `(V, 3)`, `faces` `(F, 3)`, `colours` `(V, 4)`.

    Source: the format's description, github.com/neurolabusc/surf-ice/tree/master/mz3.
    """
    kind = _MZ3_FACES | _MZ3_VERTICES | _MZ3_COLOURS
    header = struct.pack("<HHIII", 0x5A4D, kind, len(faces), len(vertices), 0)
    return b"".join([
        header, faces.astype("<i4").tobytes(), vertices.astype("<f4").tobytes(), colours.astype(np.uint8).tobytes()
    ])  # fmt: skip
