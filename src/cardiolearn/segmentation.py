r"""Segmenting a whole scan: find the heart anywhere in the picture, then look at it closely.

The network sees one slice at a time. Everything a scan can do to it is undone before: the slice axis is found, the
in-plane axes are brought into an order fixed by the patient (so permuted or flipped arrays give the same answer),
pixels become `PIXEL` mm. A first look at whole slices finds the heart; a second, at a window round it, is averaged over
mirror images and quarter turns where the scan is short enough. The labels return to the scan's own grid.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardiolearn.image import Image, read_image, write_image

PIXEL = 1.5  # mm: what the network was trained at
WINDOW = 128  # pixels, 192 mm: both ventricles of a dilated heart and some surroundings
SMALLEST, AVERAGE = 22.0, 32.0  # mm, radius of the left ventricle with its wall at mid-height
MANY_VIEWS = 64  # slices; a longer scan is looked at from fewer sides
BATCH = 16  # windows at a time; larger pictures go in smaller batches, so that memory does not grow


@dataclass(frozen=True)
class _Stack:
    r"""Slices in the network's order: data `(T, Z, Y, X)`, pixel size `(dy, dx)` in mm, and the way back."""

    data: Tensor
    pixel: tuple[float, float]
    restore: Callable[[Tensor], Tensor]


def slice_axis(image: Image) -> int:
    r"""Which of the axes x, y, z (0, 1, 2) runs across slices: the coarsest, or the shortest where none is coarser."""
    spacing, size = np.array(image.spacing), np.array(image.data.shape[-3:][::-1])
    coarse = np.argsort(spacing)
    if spacing[coarse[2]] > 1.5 * spacing[coarse[1]]:
        return int(coarse[2])
    return int(np.argmin(size))


def _stack(image: Image) -> _Stack:
    through = slice_axis(image)
    directions = (image.affine[:3, :3] / np.array(image.spacing)).T
    first, second = (axis for axis in range(3) if axis != through)
    # Columns run along whichever axis lies more left-right, then both axes point left and down, as on a console.
    reference = np.array([[-1.0, -0.11, 0.07], [0.05, -0.13, -1.0]])
    if abs(directions[first] @ reference[0]) < abs(directions[second] @ reference[0]):
        first, second = second, first
    flips = [-1] if directions[first] @ reference[0] < 0 else []
    flips += [-2] if directions[second] @ reference[1] < 0 else []
    order = [0, 3 - through, 3 - second, 3 - first]  # axes of the tensor (T, Z, Y, X)
    data = image.data if image.data.ndim == 4 else image.data[None]
    spacing = image.spacing

    def restore(labels: Tensor) -> Tensor:
        back = labels.flip(flips).permute(*np.argsort(order).tolist())
        return back if image.data.ndim == 4 else back[0]

    return _Stack(data.permute(*order).flip(flips), (spacing[second], spacing[first]), restore)


def _window(
    slices: Tensor, pixel: tuple[float, float], centre: tuple[float, float], size: tuple[int, int], zoom: float
) -> Tensor:
    # Bilinear (N, 1, *size) window about `centre` (y, x in source pixels), pixels of PIXEL * zoom mm; zero outside.
    height, width = slices.shape[-2:]
    sy, sx = PIXEL * zoom / pixel[0], PIXEL * zoom / pixel[1]
    ay, ax = sy * size[0] / height, sx * size[1] / width
    ty, tx = (2 * centre[0] + 1) / height - 1, (2 * centre[1] + 1) / width - 1
    theta = torch.tensor([[ax, 0.0, tx], [0.0, ay, ty]], dtype=torch.float32)
    grid = F.affine_grid(theta[None], [1, 1, *size], align_corners=False).expand(len(slices), -1, -1, -1)
    return F.grid_sample(slices[:, None], grid, mode="bilinear", align_corners=False)


def _unwindow(
    values: Tensor, pixel: tuple[float, float], centre: tuple[float, float], shape: tuple[int, int], zoom: float
) -> Tensor:
    # The inverse of `_window`: (N, C, h, w) back onto slices of `shape`, zero outside the window.
    size = values.shape[-2:]
    sy, sx = pixel[0] / (PIXEL * zoom), pixel[1] / (PIXEL * zoom)
    ay, ax = sy * shape[0] / size[0], sx * shape[1] / size[1]
    middle = ((shape[0] - 1) / 2 - centre[0], (shape[1] - 1) / 2 - centre[1])
    ty, tx = 2 * middle[0] * sy / size[0], 2 * middle[1] * sx / size[1]
    theta = torch.tensor([[ax, 0.0, tx], [0.0, ay, ty]], dtype=torch.float32)
    grid = F.affine_grid(theta[None], [1, 1, *shape], align_corners=False).expand(len(values), -1, -1, -1)
    return F.grid_sample(values, grid, mode="bilinear", align_corners=False)


def _scale(data: Tensor) -> Tensor:
    # Grey values to [0, 1] between the 1st and 99th percentile of what is not exactly empty.
    seen = data[data != 0].float()
    if len(seen) == 0:
        return torch.zeros_like(data)
    some = seen[:: max(1, len(seen) // 200_000)]
    low, high = torch.quantile(some, torch.tensor([0.01, 0.99])).tolist()
    return ((data - low) / max(high - low, 1e-6)).clamp(0.0, 1.0)


def _probabilities(network: nn.Module, images: Tensor) -> Tensor:
    device = next(network.parameters()).device
    batch = max(1, BATCH * WINDOW**2 // images[0].numel())
    parts = [part.to(device).contiguous(memory_format=torch.channels_last) for part in images.split(batch)]
    return torch.cat([network(part).softmax(1).cpu() for part in parts])


_VIEWS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))


def _view(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    return (images.flip(-1) if mirrored else images).rot90(turns, (-2, -1))


def _unview(images: Tensor, turns: int, mirrored: bool) -> Tensor:
    turned = images.rot90(-turns, (-2, -1))
    return turned.flip(-1) if mirrored else turned


@dataclass(frozen=True)
class _Place:
    r"""Where a heart may be: centre `(y, x)` in source pixels, its left ventricle's radius in mm, how much was seen."""

    centre: tuple[float, float]
    radius: float
    mass: float


def _look(network: nn.Module, stack: _Stack, flat: Tensor, zoom: float) -> _Place | None:
    # The likeliest left ventricle in whole slices (N, Y, X) of one or two frames, seen at pixels of PIXEL * zoom mm.
    from scipy import ndimage

    height, width = flat.shape[-2:]
    middle = ((height - 1) / 2, (width - 1) / 2)
    pixel = PIXEL * zoom
    rows, columns = (int(np.ceil(n * p / pixel / 16)) * 16 for n, p in zip((height, width), stack.pixel, strict=True))
    found = _probabilities(network, _window(flat, stack.pixel, middle, (rows, columns), zoom))
    left = (found[:, 1] + found[:, 2]).reshape(-1, stack.data.shape[1], rows, columns).mean(0).numpy()
    if left.max() < 0.3:
        return None
    smooth = ndimage.gaussian_filter(left, (0.8, 3.0, 3.0))
    parts, n = ndimage.label(smooth > 0.3 * smooth.max())
    mass = ndimage.sum(left, parts, index=np.arange(1, n + 1))
    heart = left * (parts == 1 + int(np.argmax(mass)))
    _, y, x = ndimage.center_of_mass(heart)
    areas = (heart > 0.5).sum((1, 2))
    area = np.quantile(areas[areas > 0], 0.75) * pixel**2 if areas.any() else 0.0  # a large, not the largest section
    centre = tuple(
        m + (c - (n - 1) / 2) * pixel / p
        for m, c, n, p in zip(middle, (y, x), (rows, columns), stack.pixel, strict=True)
    )
    return _Place((centre[0], centre[1]), float(np.sqrt(area / np.pi)), float(mass.max()))


def _find_heart(network: nn.Module, stack: _Stack) -> tuple[tuple[float, float], float] | None:
    r"""Centre of the heart (y, x in source pixels) and the zoom at which it looks as large as an average one, or None.

    The heart itself is the ruler: a large and a small one are seen at the same size, and so is a heart in a scan whose
    pixel size was lost or stated wrongly.
    """
    frames = stack.data[[0, len(stack.data) * 2 // 5]] if len(stack.data) > 2 else stack.data[:1]
    flat = _scale(frames).flatten(0, 1)
    place = _look(network, stack, flat, 1.0)
    if place is None or place.radius < SMALLEST:
        closer = _look(network, stack, flat, 0.6)
        if closer is not None and (place is None or closer.mass > place.mass):
            place = closer
    if place is None:
        return None
    sharper = _look(network, stack, flat, _zoom(place)) or place
    return sharper.centre, _zoom(sharper)


def _zoom(place: _Place) -> float:
    return min(max(place.radius / AVERAGE, 0.4), 1.6)


def _keep_the_heart(labels: np.ndarray) -> np.ndarray:
    # One heart: the largest connected left ventricle, and what touches it of the right; islands go.
    from scipy import ndimage

    left, n = ndimage.label((labels == 1) | (labels == 2), structure=np.ones((3, 3, 3)))
    if n > 1:
        sizes = np.bincount(left.ravel())[1:]
        labels = np.where((left > 0) & (left != 1 + int(np.argmax(sizes))), 0, labels)
    right, n = ndimage.label(labels == 3, structure=np.ones((3, 3, 3)))
    if n > 1:
        sizes = np.bincount(right.ravel())[1:]
        labels = np.where((right > 0) & (right != 1 + int(np.argmax(sizes))), 0, labels)
    for z, plane in enumerate(labels):  # papillary muscles belong to the cavity, so a cavity has no holes
        for c in (3, 1):
            labels[z] = np.where(ndimage.binary_fill_holes(plane == c), c, labels[z])
    return labels


@torch.no_grad()
def segment(image: Image, network: nn.Module) -> Image:
    r"""Labels (uint8, classes 0-3) of a short-axis scan, on its own grid.

    Args:
        image: `(T, Z, Y, X)` or `(Z, Y, X)`, any axis order, any pixel size, the heart anywhere.
        network: maps `(N, 1, Y, X)` in [0, 1] to logits `(N, 4, Y, X)`; in evaluation mode.
    """
    stack = _stack(image)
    n_frames, n_slices, height, width = stack.data.shape
    labels = torch.zeros((n_frames, n_slices, height, width), dtype=torch.uint8)
    place = _find_heart(network, stack)
    if place is None:
        return image.with_data(stack.restore(labels))
    centre, zoom = place
    views = _VIEWS if n_frames * n_slices <= MANY_VIEWS else _VIEWS[::5]
    around = _scale(_window(stack.data.flatten(0, 1), stack.pixel, centre, (WINDOW, WINDOW), zoom))
    for t in range(n_frames):
        part = around[t * n_slices : (t + 1) * n_slices]
        mean = sum(_unview(_probabilities(network, _view(part, *view)), *view) for view in views) / len(views)
        assert isinstance(mean, Tensor)
        whole = _unwindow(mean, stack.pixel, centre, (height, width), zoom)
        labels[t] = torch.from_numpy(_keep_the_heart(whole.argmax(1).to(torch.uint8).numpy()))
    return image.with_data(stack.restore(labels))


def read_scan(scan: Path) -> Image:
    r"""The short-axis image of a NIfTI file, a DICOM cine folder or a study folder (its cine, else ED and ES)."""
    from cardiolearn.study import open_study

    if not scan.is_dir() or not any(scan.glob("sa*.nii*")):
        return read_image(scan)
    study = open_study(scan)
    if study.has("sa", None):
        return study.image("sa", None)
    frames = [study.image("sa", phase) for phase in ("ED", "ES") if study.has("sa", phase)]
    if len(frames) == 2 and frames[0].data.shape == frames[1].data.shape:
        return Image(torch.stack([f.data for f in frames]), frames[0].affine)
    return frames[0]


def _summary(labels: Image) -> list[str]:
    # Volumes, and for a cine the ejection fractions between the frames of largest and smallest LV cavity.
    voxel = float(np.prod(labels.spacing)) * 1e-3
    frames = labels.data if labels.data.ndim == 4 else labels.data[None]
    volume = torch.stack([(frames == c).flatten(1).sum(1) for c in (1, 2, 3)], 1).double() * voxel
    lines = []
    for name, t in (("ED", int(volume[:, 0].argmax())), ("ES", int(volume[:, 0].argmin()))):
        left, wall, right = volume[t].tolist()
        where = f"{name} (frame {t})" if len(frames) > 1 else "volume"
        lines.append(f"{where}: LV {left:.1f} mL, RV {right:.1f} mL, LV mass {wall * 1.05:.1f} g")
        if len(frames) == 1:
            return lines
    most, least = volume.max(0).values, volume.min(0).values
    for name, c in (("LV", 0), ("RV", 2)):
        if most[c] > 0:
            lines.append(f"{name} ejection fraction: {100 * float(1 - least[c] / most[c]):.1f} %")
    return lines


def segment_file(scan: Path, out: Path, device: str = "auto") -> str:
    r"""Segment `scan` with the shipped network into the NIfTI file `out`; returns what to tell the user.

    Raises:
        InputError: the scan cannot be read, or `out` cannot be written; nothing is left behind.
    """
    from cardiolearn.errors import InputError
    from cardiolearn.networks.fcn import FCN
    from cardiolearn.training import keep_freed_memory, pick_device
    from cardiolearn.weights import load_weights

    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"{out}: expected a folder that can be written to, {out.parent} is none")
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{out}: expected a name ending in .nii or .nii.gz")
    where = pick_device(device)
    image = read_scan(scan)
    keep_freed_memory()
    network = FCN(n_classes=4)
    load_weights(network, "fcn_sax")
    fused = network.fused().to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    labels = segment(image, fused)
    write_image(out, labels)
    found = [name for name, c in (("LV", 1), ("myocardium", 2), ("RV", 3)) if not (labels.data == c).any()]
    lines = _summary(labels)
    if found:
        lines.append(f"warning: no {', '.join(found)} found; is this a short-axis cardiac MR scan?")
    return "\n".join([*lines, f"labels written to {out} (1 LV cavity, 2 myocardium, 3 RV cavity)"])
