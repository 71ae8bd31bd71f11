r"""What each ingredient of the training pictures is worth: train without it, test on whole unseen scans.

    python tests/benchmarks/ablate_phantom.py [--steps 1000] [--subjects 16] [--out FILE.csv]

Every variant trains the FCN of lesson 1 from scratch on the same drawn hearts, batches and seed. The test scans are of
the unseen cohort and scanner, but none of the subjects lesson 1 tests on. The table is kept, so a stopped run goes on.
What is compared is Dice with the truth; a phantom cannot say what an ingredient it shares with the test is worth on
patients, only that a network without it fails where it occurs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from cardiolearn import evaluation, segmentation, training
from cardiolearn.experiment import run_stages, values_of
from cardiolearn.networks.fcn import FCN
from cardiolearn.phantom import batches, cohort
from cardiolearn.phantom.mri import ANY_VENDOR, TRAINING_VENDORS
from cardiolearn.phantom.tissue import Tissue
from cardiolearn.statistics import paired_bootstrap_interval
from cardiolearn.study import PHASES

ORGANS = (
    Tissue.LIVER, Tissue.LIVER_VESSEL, Tissue.SPLEEN, Tissue.STOMACH_WALL, Tissue.STOMACH_FLUID, Tissue.STOMACH_FOOD,
    Tissue.VISCERAL_FAT, Tissue.KIDNEY, Tissue.ARTERY, Tissue.VEIN, Tissue.MEDIASTINAL_FAT,
)  # fmt: skip
TRAIN_SUBJECTS, TEST_SEED = 480, 77


def straight(n: int, generator: torch.Generator, size: int, pixel: float) -> torch.Tensor:
    r"""Poses that neither turn, mirror, scale nor shift."""
    zoom = size * pixel / (batches.SIZE * batches.PIXEL)
    return torch.tensor([[zoom, 0.0, 0.0], [0.0, zoom, 0.0]]).expand(n, 2, 3)


def bare(maps: batches.SliceMaps) -> batches.SliceMaps:
    r"""Lung in the place of every rival of the heart."""
    table = torch.arange(256, dtype=torch.uint8)
    table[list(ORGANS)] = int(Tissue.LUNG)
    return batches.SliceMaps(table[maps.tissue.int()], maps.label)


def smooth_cavities(maps: batches.SliceMaps) -> batches.SliceMaps:
    r"""Blood in the place of papillary muscles and trabeculae."""
    blood = torch.where(maps.label == 3, int(Tissue.RV_BLOOD), int(Tissue.LV_BLOOD)).to(torch.uint8)[:, None]
    return batches.SliceMaps(torch.where(maps.tissue == int(Tissue.TRABECULA), blood, maps.tissue), maps.label)


#: Name: what is put in the place of a part of `phantom.batches`, or done to the maps.
PATCHES: dict[str, dict[str, Any]] = {
    "all ingredients": {},
    "no turns, shifts, sizes": {"_poses": straight},
    "no cropped pictures": {"_field_of_view": lambda images, generator: torch.ones_like(images, dtype=torch.bool)},
    "no bending": {"smooth_field": lambda n, shape, cell, generator: torch.zeros((n, *shape))},
    "no texture": {"TEXTURE": torch.zeros_like(batches.TEXTURE)},
}
CHANGES: dict[str, Callable[[batches.SliceMaps], batches.SliceMaps]] = {
    "lung for organs and vessels": bare, "smooth cavities": smooth_cavities,
}  # fmt: skip
ONE_SCANNER = "one scanner"
VARIANTS = (*PATCHES, *CHANGES, ONE_SCANNER)


def trained(variant: str, maps: batches.SliceMaps, steps: int, seed: int) -> FCN:
    r"""The FCN after `steps` steps on pictures without one ingredient."""
    vendor = TRAINING_VENDORS[0] if variant == ONE_SCANNER else ANY_VENDOR
    maps = CHANGES.get(variant, lambda same: same)(maps)

    def draw(step: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        picks = torch.randint(0, len(maps), (16,), generator=generator)
        return batches.render_batch(maps, picks, generator, vendor=vendor)

    network, settings = FCN(4), {"learning_rate": 2e-3, "schedule": "cosine", "device": torch.device("cpu")}
    with ExitStack() as stack:
        for name, value in PATCHES.get(variant, {}).items():
            stack.enter_context(patch.object(batches, name, value))
        training.train(network, draw, torch.nn.functional.cross_entropy, steps=steps, seed=seed, **settings)  # type: ignore[arg-type]
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation.csv"))
    given = parser.parse_args()
    folder = cohort.cache_folder()
    maps = batches.draw_cohort(TRAIN_SUBJECTS, folder / "01_ml_in_mia" / "slices")
    studies = cohort.write_cohort(folder / f"ablation-{TEST_SEED}", given.subjects, seed=TEST_SEED)

    def stage(variant: str, seed: int) -> Iterator[dict[str, Any]]:
        network = trained(variant, maps, given.steps, seed).fused()
        for s in studies:
            both = [
                evaluation.compare(segmentation.segment(s.image(phase=p), network), s.labels(phase=p)) for p in PHASES
            ]
            yield {"subject": s.subject} | {name: 0.5 * (both[0][name] + both[1][name]) for name in both[0]}

    settings = {"steps": given.steps, "subjects": given.subjects, "phantom": cohort.phantom_version()}
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
