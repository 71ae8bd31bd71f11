r"""How long a reader waits for a widget: seconds a change, computing and drawing apart, in every lesson.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/bench_widgets.py [--repeats 5]

What an *explorer* shows is computed when its slider is let go: that may take `BAR` seconds of computing. Films and
swipes are prepared beforehand and ask nothing of the kernel, so a change costs no computing; what is timed of them is
one picture of the preparation, without what a lesson computes once for all pictures (a registration, a segmentation).

The verdict is processor time, so that a busy machine does not decide it; seconds by the clock are printed beside it.
All numbers are medians. Drawing is a PNG as a notebook shows it for an explorer, for the others what a film holds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from cardiolearn.figures import learning, slices, volumes, widgets
from cardiolearn.figures.alt_text import bundle
from cardiolearn.figures.style import use_style
from cardiolearn.imaging.image import Image
from cardiolearn.learning.snapshots import Snapshots
from cardiolearn.learning.weights import load_weights, ready
from cardiolearn.measures.clinical import volume_curve
from cardiolearn.methods.registration.shown import bent_grids
from cardiolearn.methods.segmentation import robustness
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.heart_place import ONE_SIDE
from cardiolearn.methods.segmentation.whole_scan import segment
from cardiolearn.methods.shape import walking
from cardiolearn.methods.shape.equal_dice import TwoMasks
from cardiolearn.methods.shape.tasks import STACKS
from cardiolearn.phantom.cohorts.cache import cache_folder
from cardiolearn.phantom.cohorts.studies import Examination, write_studies
from cardiolearn.phantom.cohorts.volume_maps import SPACING as VOXEL
from cardiolearn.phantom.cohorts.volume_maps import sample_volume
from cardiolearn.phantom.scanners.thick_slices import clinical_stack
from cardiolearn.phantom.scanners.thin_slices import SHAPE, SPACING

BAR = 0.3  # seconds of computing that a change may take
EXPLORER, PREPARED = "explorer", "prepared"
CHANGES = ((0.6, 0.05), (-0.5, 0.0), (0.3, 0.2))  # contrast and noise; in turn, so that nothing is found ready
THICKNESSES = (4.0, 8.0, 12.0)  # mm
SPOILT = ((2.5, 50), (3.6, 100), (5.1, 20))  # mm that a border moves, and crumbs

Clocks = tuple[float, float]  # processor time and seconds by the clock


@dataclass(frozen=True)
class Widget:
    r"""One widget of a lesson: `compute(turn)` gives what `draw` makes a figure of."""

    lesson: int
    name: str
    kind: str
    compute: Callable[[int], Any]
    draw: Callable[[Any], Figure]


def timed(work: Callable[[], Any]) -> tuple[Any, Clocks]:
    r"""What `work` gives, and how long it took."""
    cpu, clock = time.process_time(), time.perf_counter()
    found = work()
    return found, (time.process_time() - cpu, time.perf_counter() - clock)


def shown(widget: Widget, found: Any) -> None:
    r"""Draw what was computed, up to what a browser is sent; nothing stays open."""
    figure = widget.draw(found)
    if widget.kind == EXPLORER:
        bundle(figure)
        plt.close(figure)
    else:
        widgets.film([figure], ["one"], alt=widget.name)


def medians(widget: Widget, repeats: int) -> tuple[Clocks, Clocks]:
    r"""Median times of computing and of drawing one change, after one to warm up."""
    shown(widget, widget.compute(0))
    computing, drawing = [], []
    for turn in range(1, repeats + 1):
        found, spent = timed(lambda turn=turn: widget.compute(turn))
        computing.append(spent)
        drawing.append(timed(lambda found=found: shown(widget, found))[1])
    return middle(computing), middle(drawing)


def middle(spent: list[Clocks]) -> Clocks:
    cpu, clock = zip(*spent, strict=True)
    return statistics.median(cpu), statistics.median(clock)


def lesson_1(folder: Path) -> list[Widget]:
    r"""The slider over contrast and noise, the beating heart, and the snapshots of a training."""
    (study,) = write_studies(folder, 1, Examination(), seed=0)
    frames = [study.image("sa", phase) for phase in ("ED", "ES")]
    scan, cine = frames[0], Image(torch.stack([f.data for f in frames]), frames[0].affine, 0.08)
    network = FCN(4)
    load_weights(network, "fcn_sax")
    network = ready(network, torch.device("cpu"))
    outline = segment(cine, network)
    whole, curve = outline.frame(0), volume_curve(outline)
    z = slices.middle_slice(whole)

    def changed(turn: int) -> tuple[Image, Image]:
        one = robustness.changed_slice(scan, z, *CHANGES[turn % len(CHANGES)])
        return one, segment(one, network, ONE_SIDE)

    picture, truth = torch.randint(0, 255, (128, 128), dtype=torch.uint8).numpy(), whole.data[z, :128, :128].numpy()
    course = Snapshots(picture, truth, {0: truth})
    return [
        Widget(1, "contrast and noise", EXPLORER, changed, lambda pair: slices.one_slice(*pair, whole.one_slice(z))),
        Widget(1, "beating heart", PREPARED, lambda turn: turn % 2, lambda t: slices.beat(cine, outline, curve, t)),
        Widget(1, "snapshots", PREPARED, lambda _: course, lambda known: learning.snapshot_figures(known)[0][0]),
    ]


def lesson_2() -> list[Widget]:
    r"""The slices that grow thicker, the grid that bends, and one side of a swipe. It has no explorer."""
    generator = torch.Generator().manual_seed(0)
    volume = torch.rand(SHAPE, generator=generator)
    field, plane = torch.randn((2, *SHAPE[1:]), generator=generator), volume[0]
    along = {"spacing": (SPACING[0], SPACING[2]), "down": "z"}

    def thicker(turn: int) -> dict[str, torch.Tensor]:
        stack = clinical_stack(volume, SPACING, generator, thickness=THICKNESSES[turn % len(THICKNESSES)])
        return {"thin slices": volume[:, 56], "thick slices": stack.repeat_interleave(5, 0)[:, 56]}

    def grid(bent: torch.Tensor) -> Figure:
        return bent_grids({"end-systole": (plane, bent)}, spacing=SPACING[1::-1])

    def side(cut: torch.Tensor) -> Figure:
        return volumes.picture(cut, window=(0.0, 1.0), **along)  # type: ignore[arg-type]

    return [
        Widget(2, "slice thickness", PREPARED, thicker, lambda planes: volumes.side_by_side(planes, **along)),
        Widget(2, "bending grid", PREPARED, lambda turn: turn / 5 * field, grid),
        Widget(2, "one side of a swipe", PREPARED, lambda _: volume[:, 56], side),
    ]


def lesson_3() -> list[Widget]:
    r"""The two masks that are spoilt, and a step of the walk along a code."""
    heart = sample_volume(0).label[0, 0]
    two, decoder = TwoMasks(heart, VOXEL), STACKS.autoencoder(0).decoder.eval()
    codes = torch.randn((8, 64), generator=torch.Generator().manual_seed(0))

    def spoilt(turn: int) -> tuple[float, int]:
        border, crumbs = SPOILT[turn % len(SPOILT)]
        for mask in (two.moved(border), two.crumbled(crumbs)):
            two.said(mask)
        return border, crumbs  # drawing computes it again

    def walked(turn: int) -> torch.Tensor:
        return walking.hearts_along(decoder, codes, turn, (1.0,))[0]

    return [
        Widget(3, "two masks", EXPLORER, spoilt, lambda pair: two.draw(*pair)),
        Widget(3, "walk along a code", PREPARED, walked, lambda _: walking.draw_heart(heart, VOXEL, "one step")),
    ]


def main() -> int:
    r"""Print a table; 1 where a change of an explorer takes more computing than the bar allows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    plt.switch_backend("agg")
    use_style()
    late = []
    print("medians, seconds: processor time (by the clock)")
    print(f"{'lesson':6}  {'widget':20}  {'kind':8}  {'computing':>15}  {'drawing':>15}")
    for widget in [*lesson_1(cache_folder() / "bench_widgets"), *lesson_2(), *lesson_3()]:
        computing, drawing = medians(widget, repeats)
        each = "  ".join(f"{cpu:6.3f} ({clock:6.3f})" for cpu, clock in (computing, drawing))
        print(f"{widget.lesson:6}  {widget.name:20}  {widget.kind:8}  {each}")
        if widget.kind == EXPLORER and computing[0] > BAR:
            late.append(widget.name)
    print(f"explorers: a change may take {BAR} s of computing; over it: {', '.join(late) or 'none'}")
    print("prepared: a change takes no computing, the pictures are in the page")
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
