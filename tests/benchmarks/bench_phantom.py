r"""How fast hearts are sampled: short-axis tissue volumes of 12 x 96 x 96 a second on two threads.

    python tests/benchmarks/bench_phantom.py [--profile]

The verdict is a ratio taken within one run, so that a slow or busy machine does not decide it: a volume may cost no
more than `BAR` trilinear look-ups of all its voxels (about what a voxel's texture costs). The throughput is printed
beside it, by the clock and by processor time; the bar of the issue is 8 volumes a second.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F

from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.scanners.acquisition import grid_points

SHAPE = (12, 96, 96)
SPACING = (1.8, 1.8, 10.0)  # mm, as a cropped short-axis stack of the UK Biobank
THREADS = 2
BAR = 65.0  # about 8 volumes a second on two cores of 2020


def volume_points(scene: Scene) -> torch.Tensor:
    r"""Voxel centres `(12, 96, 96, 3)` of a short-axis stack centred on the ventricles, patient frame."""
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = scene.frame.double() * torch.tensor(SPACING, dtype=torch.float64)
    corner = torch.tensor([-12.0, -8.0, 0.5 * scene.heart.length]) - 0.5 * torch.tensor(SPACING) * torch.tensor(
        [SHAPE[2] - 1, SHAPE[1] - 1, SHAPE[0] - 1]
    )
    affine[:3, 3] = (scene.frame @ corner + scene.origin).double()
    return grid_points(affine.numpy(), SHAPE)


def seconds(work: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    r"""Least seconds of `repeats` runs of `work`, after one to warm up."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = clock()
        work()
        best = min(best, clock() - start)
    return best


def main() -> int:
    r"""Print the figures; 1 where a volume costs more look-ups than the bar allows."""
    torch.set_num_threads(1)
    scenes = [Scene(sample_subject(i, cohort="train")) for i in range(THREADS)]
    points = [volume_points(scene) for scene in scenes]
    cube = torch.randn(1, 1, 48, 48, 48)
    unit = (torch.rand((1, 1, 1, points[0].numel() // 3, 3)) * 2 - 1).contiguous()

    def volume(i: int) -> object:
        return scenes[i].at(points[i], 0.5 * i)

    cost = seconds(lambda: volume(0), 3, time.thread_time)
    lookup = seconds(lambda: F.grid_sample(cube, unit, align_corners=True), 5, time.thread_time)
    with ThreadPoolExecutor(THREADS) as pool:
        wall = seconds(lambda: list(pool.map(volume, range(THREADS))), 3, time.perf_counter) / THREADS
    print(f"one volume: {cost:.3f} s of one core = {cost / lookup:.1f} look-ups (bar {BAR:.0f})")
    print(f"{THREADS} threads: {1 / wall:.1f} volumes/s by the clock, {THREADS / cost:.1f} by processor time (bar 8)")
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(volume, 0)
        pstats.Stats(profile).sort_stats("tottime").print_stats(14)
    return int(cost / lookup > BAR)


if __name__ == "__main__":
    sys.exit(main())
