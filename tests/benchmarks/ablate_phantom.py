r"""What each ingredient of the training pictures is worth: train without it, test on whole unseen scans.

    python tests/benchmarks/ablate_phantom.py [--steps 1000] [--hearts 480] [--subjects 16] [--out FILE.csv]

Every variant trains the FCN of lesson 1 from scratch on the same sampled hearts, batches and seed. The test scans are
of the unseen cohort and scanner, but none of the subjects lesson 1 tests on. The table is kept, so a stopped run goes
on. What is compared is Dice with the truth; a phantom cannot say what an ingredient it shares with the test is worth on
patients, only that a network without it fails where it occurs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from cardiolearn.imaging.structures import PHASES
from cardiolearn.imaging.study import Study
from cardiolearn.learning.experiment import run_stages, values_of
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.measures.agreement import compare
from cardiolearn.measures.statistics import paired_bootstrap_interval
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.training_slices import TrainingSlices
from cardiolearn.methods.segmentation.whole_scan import segment
from cardiolearn.phantom.body.tissue import Tissue
from cardiolearn.phantom.cohorts import rendering
from cardiolearn.phantom.cohorts.cache import cache_folder, phantom_version
from cardiolearn.phantom.cohorts.slice_maps import PIXEL, SIZE, SliceMaps, sample_slice_maps
from cardiolearn.phantom.cohorts.studies import write_studies
from cardiolearn.phantom.scanners.mri import ANY_VENDOR, TRAINING_VENDORS

ORGANS = (
    Tissue.LIVER, Tissue.LIVER_VESSEL, Tissue.SPLEEN, Tissue.STOMACH_WALL, Tissue.STOMACH_FLUID, Tissue.STOMACH_FOOD,
    Tissue.VISCERAL_FAT, Tissue.KIDNEY, Tissue.ARTERY, Tissue.VEIN, Tissue.MEDIASTINAL_FAT,
)  # fmt: skip
TEST_SEED = 77


def straight(n: int, generator: torch.Generator, size: int, pixel: float) -> torch.Tensor:
    r"""Poses that neither turn, mirror, scale nor shift."""
    zoom = size * pixel / (SIZE * PIXEL)
    return torch.tensor([[zoom, 0.0, 0.0], [0.0, zoom, 0.0]]).expand(n, 2, 3)


def bare(maps: SliceMaps) -> SliceMaps:
    r"""Lung in the place of every rival of the heart."""
    table = torch.arange(256, dtype=torch.uint8)
    table[list(ORGANS)] = int(Tissue.LUNG)
    return SliceMaps(table[maps.tissue.int()], maps.label)


def smooth_cavities(maps: SliceMaps) -> SliceMaps:
    r"""Blood in the place of papillary muscles and trabeculae."""
    blood = torch.where(maps.label == 3, int(Tissue.RV_BLOOD), int(Tissue.LV_BLOOD)).to(torch.uint8)[:, None]
    return SliceMaps(torch.where(maps.tissue == int(Tissue.TRABECULA), blood, maps.tissue), maps.label)


#: Name: what is put in the place of a part of `phantom.cohorts.rendering`, or done to the maps. What the scanner adds
#: (`phantom.scanners.exposure`, whose coil profile and texture pattern are smooth fields too) stays as it is.
PATCHES: dict[str, dict[str, Any]] = {
    "all ingredients": {},
    "no turns, shifts, sizes": {"_poses": straight},
    "no cropped pictures": {"_field_of_view": lambda images, generator: torch.ones_like(images, dtype=torch.bool)},
    "no bending": {"smooth_field": lambda n, shape, cell, generator: torch.zeros((n, *shape))},
    "bright free walls": {"near_free_walls": lambda tissue, pixel: torch.zeros((len(tissue), 2, *tissue.shape[1:]))},
    "no texture": {"TEXTURE": torch.zeros_like(rendering.TEXTURE)},
}
CHANGES: dict[str, Callable[[SliceMaps], SliceMaps]] = {
    "lung for organs and vessels": bare, "smooth cavities": smooth_cavities,
}  # fmt: skip
ONE_SCANNER = "one scanner"
VARIANTS = (*PATCHES, *CHANGES, ONE_SCANNER)


def trained(variant: str, maps: SliceMaps, steps: int, seed: int) -> FCN:
    r"""The FCN after `steps` steps on pictures without one ingredient."""
    vendor = TRAINING_VENDORS[0] if variant == ONE_SCANNER else ANY_VENDOR
    data = TrainingSlices(CHANGES.get(variant, lambda same: same)(maps), len(maps), vendor)
    network, plan = FCN(4), TrainingPlan(steps, seed, learning_rate=2e-3, schedule="cosine")
    with ExitStack() as stack:
        for name, value in PATCHES.get(variant, {}).items():
            stack.enter_context(patch.object(rendering, name, value))
        train(network, data, data.loss, plan, torch.device("cpu"))
    return network.eval()


def tested(
    variant: str, seed: int, maps: SliceMaps, studies: Sequence[Study], steps: int
) -> Iterator[Mapping[str, Any]]:
    r"""A row for each test subject: means over both phases of what `agreement.compare` measures."""
    network = trained(variant, maps, steps, seed).fused()
    for s in studies:
        both = [compare(segment(s.image(phase=p), network), s.labels(phase=p)) for p in PHASES]
        yield {"subject": s.subject} | {name: 0.5 * (both[0][name] + both[1][name]) for name in both[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--hearts", type=int, default=480, help="subjects that are learnt from")
    parser.add_argument("--subjects", type=int, default=16, help="subjects that are tested on, two at least")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation.csv"))
    given = parser.parse_args()
    folder = cache_folder()
    maps = sample_slice_maps(given.hearts, folder / "01_ml_in_mia" / "slices")
    studies = write_studies(folder / f"ablation-{TEST_SEED}", given.subjects, seed=TEST_SEED)

    def stage(variant: str, seed: int) -> Callable[[], Iterator[Mapping[str, Any]]]:
        return partial(tested, variant, seed, maps, studies, given.steps)

    asked = {"steps": given.steps, "hearts": given.hearts, "subjects": given.subjects}
    settings = asked | {"phantom": phantom_version()}
    table = run_stages(given.out, stage, variants=VARIANTS, seeds=[0], settings=settings)
    for variant in VARIANTS:
        line = f"{variant:28}"
        for metric in ("dice.lv", "dice.myocardium", "dice.rv"):
            with_all, without = (values_of(table, v, metric)[0].mean(0) for v in (VARIANTS[0], variant))
            low, high = paired_bootstrap_interval(without, with_all)
            change = f"{without.mean() - with_all.mean():+.3f}, {low:+.3f} to {high:+.3f}"
            line += f"  {metric[5:]} {without.mean():.3f} ({change})"
        print(line)


if __name__ == "__main__":
    main()
