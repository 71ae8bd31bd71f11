r"""Free-form deformation beside SimpleITK's B-spline registration: time, and how well chambers overlap afterwards.

    pip install -c constraints.txt SimpleITK
    python tests/benchmarks/bench_registration.py [--subjects 1]

Both follow phantom hearts from end-diastole to end-systole on 64^3 voxels with control points 10 mm apart and mean
squares, both on two threads. SimpleITK stops by its own rule (L-BFGS-B on three levels of the images, a tenth of
the voxels, until gradient or mean squares settle or after 100 iterations), ours after 30 iterations a level. The
verdict is the ratio of times.
"""

from __future__ import annotations

import argparse
import time

import pandas as pd
import SimpleITK as sitk  # noqa: N813
import torch
import torch.nn.functional as F
from torch import Tensor

from cardiolearn.imaging.intensity import unit_variance
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.registration.bsplines import grid_places
from cardiolearn.methods.registration.ffd import RegistrationSettings, register, warp
from cardiolearn.phantom.cohorts.volumes import scan_volume
from cardiolearn.phantom.scanners.thin_slices import SHAPE, SPACING

SIZE = (64, 64, 64)
STEPS = tuple(n * s / m for n, s, m in zip(SHAPE, SPACING[::-1], SIZE, strict=True))  # mm, (z, y, x)
CHAMBERS = {1: "LV cavity", 2: "LV myocardium", 3: "RV cavity"}
THREADS = 2
SAMPLED = 0.1  # of the voxels, that SimpleITK's metric sees; with all of them it had not ended after 7 minutes


def pair(subject: int) -> tuple[Tensor, Tensor]:
    r"""Images `(2, 64, 64, 64)` at end-diastole and end-systole, scaled, and their labels."""
    scanned = scan_volume(subject, "test")
    image = F.interpolate(scanned.image.float(), size=SIZE, mode="trilinear", align_corners=False)[0]
    label = F.interpolate(scanned.label.float(), size=SIZE, mode="nearest-exact")[0]
    middle, width = unit_variance(image)
    return (image - middle) / width, label.to(torch.uint8)


def ours(fixed: Tensor, moving: Tensor, labels: Tensor) -> tuple[Tensor, float, float]:
    r"""The moving labels deformed by `registration.ffd`, the share of voxels that folded, seconds of registering."""
    began = time.perf_counter()
    deformation = register(fixed, moving, STEPS)
    seconds = time.perf_counter() - began
    places = grid_places(SIZE, STEPS)
    field = deformation.at(places).movedim(-1, 0)
    soft = torch.stack([warp((labels == k).float(), field, STEPS) for k in range(4)])
    return soft.argmax(0), float((deformation.jacobian(places) <= 0).float().mean()), seconds


def theirs(fixed: Tensor, moving: Tensor, labels: Tensor) -> tuple[Tensor, float, float]:
    r"""The same by SimpleITK, multi-resolution B-splines."""
    images = [sitk.GetImageFromArray(v.numpy()) for v in (fixed, moving, labels)]
    for image in images:
        image.SetSpacing(STEPS[::-1])
    mesh = [round((n - 1) * s / RegistrationSettings().knot) for n, s in zip(SIZE, STEPS, strict=True)][::-1]
    start = sitk.BSplineTransformInitializer(images[0], mesh, order=3)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLED, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsLBFGSB(gradientConvergenceTolerance=1e-5, numberOfIterations=100)
    method.SetInitialTransform(start, inPlace=True)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(False)
    began = time.perf_counter()
    found = method.Execute(images[0], images[1])
    seconds = time.perf_counter() - began
    warped = sitk.Resample(images[2], images[0], found, sitk.sitkNearestNeighbor)
    field = sitk.TransformToDisplacementField(
        found, sitk.sitkVectorFloat64, images[0].GetSize(), images[0].GetOrigin(), images[0].GetSpacing()
    )
    folded = sitk.GetArrayViewFromImage(sitk.DisplacementFieldJacobianDeterminant(field)) <= 0
    return torch.from_numpy(sitk.GetArrayFromImage(warped)), float(folded.mean()), seconds


def main() -> None:
    r"""Print time, Dice of the chambers and folded voxels of each, means over subjects."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--subjects", type=int, default=1)
    subjects = parser.parse_args().subjects
    torch.set_num_threads(THREADS)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    rows = []
    for subject in range(subjects):
        (fixed, moving), (wanted, labels) = pair(subject)
        rows.append({"method": "not registered", **overlap(labels, wanted)})
        for name, method in {"cardiolearn": ours, "SimpleITK": theirs}.items():
            warped, folded, seconds = method(fixed, moving, labels)
            rows.append({"method": name, "seconds": seconds, "folded": folded, **overlap(warped, wanted)})
    table = pd.DataFrame(rows).groupby("method", sort=False).mean()
    print(table.round(3).to_string())
    seconds = table["seconds"]
    print(f"SimpleITK takes {seconds['SimpleITK'] / seconds['cardiolearn']:.0f} times as long")


def overlap(found: Tensor, wanted: Tensor) -> dict[str, float]:
    r"""Dice of each chamber."""
    return {name: dice(found == k, wanted == k) for k, name in CHAMBERS.items()}


if __name__ == "__main__":
    main()
