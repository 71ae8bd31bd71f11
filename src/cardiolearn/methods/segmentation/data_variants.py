r"""The choices of data that lesson 1 compares, and what of their trainings is put into the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from cardiolearn.learning.experiment import run_variants, values_of
from cardiolearn.methods.segmentation.data_study import PIXEL, SIZE, DataVariant, some_slice_maps
from cardiolearn.methods.segmentation.training_slices import TrainingSlices
from cardiolearn.phantom.cohorts.observers import THICK_WALLED
from cardiolearn.phantom.cohorts.slice_maps import SLICES_PER_SUBJECT
from cardiolearn.phantom.scanners.mri import TRAINING_VENDORS

SIZES = (1, 4, 16, 64, 256)  # subjects learnt from
VARIANTS = {f"{n} subjects": DataVariant(n, fixed=True) for n in SIZES}
VARIANTS |= {"one scanner": DataVariant(256, TRAINING_VENDORS[0]), "many scanners": DataVariant(256)}
HABITS = {"eight annotators": DataVariant(64), "one annotator": DataVariant(64, annotators=THICK_WALLED[2:3])}
#: What the networks are tested on, in words.
TESTS = {
    "train": "the pictures learnt from",
    "alike": "new hearts, known scanners",
    "unseen": "new hearts, unseen scanner",
}
WATCHED_SUBJECTS, HELD_OUT = 24, 4  # of the training that is watched


def watched_task(folder: Path, seed: int) -> TrainingSlices:
    r"""A task so small that a network learns it in half a minute: batches of 4 pictures of 64x64 pixels of 3 mm, of 20
    subjects' upright hearts by one scanner; 4 more subjects are held out."""
    maps = some_slice_maps(0, WATCHED_SUBJECTS, folder / "watched", seed, block=WATCHED_SUBJECTS // 2)
    n = len(maps) - HELD_OUT * SLICES_PER_SUBJECT
    return TrainingSlices(maps, n, TRAINING_VENDORS[0], size=SIZE, pixel=PIXEL, batch=4, upright=True)


def train_variants(folder: Path, **how: Any) -> pd.DataFrame:
    r"""The trainings of `VARIANTS`, 500 steps each; `how` as in `run_variants`."""
    return run_variants(folder / "trainings.csv", VARIANTS, steps=500, folder=folder, **how)


def train_habits(folder: Path, **how: Any) -> pd.DataFrame:
    r"""The trainings of `HABITS`, 1,500 steps each: a habit shows only once it is larger than the error of learning."""
    return run_variants(folder / "habits.csv", HABITS, steps=1500, folder=folder, **how)


def with_cost(trainings: pd.DataFrame) -> pd.DataFrame:
    r"""`trainings` with a column `cost`: what the unseen scanner costs of Dice."""
    return trainings.assign(cost=trainings["dice.home"] - trainings["dice.unseen"])


def compared(trainings: pd.DataFrame, habits: pd.DataFrame) -> dict[str, dict[str, Any]]:
    r"""What `Run.record_all` is given, by the record's name.

    Args:
        trainings: of `train_variants`, `with_cost`.
        habits: of `train_habits`.
    """
    chosen = {
        f"scanner.cost.{k}": (trainings, f"{k} {w}", "cost") for k, w in (("one", "scanner"), ("many", "scanners"))
    }
    for name, column in (("alike", "dice.alike"), ("dice", "dice.unseen")):
        chosen |= {f"size.{name}.{n}": (trainings, f"{n} subjects", column) for n in SIZES}
    for variant in HABITS:
        chosen |= {f"labels.{c}.{variant.split()[0]}": (habits, variant, f"{c}.unseen") for c in ("dice", "cavity")}
    records: dict[str, dict[str, Any]] = {}
    for name, (table, variant, column) in chosen.items():
        values, seeds, subjects = values_of(table, variant, column)
        unit = "%" if "cavity" in name else "1"
        records[name] = {"values": values, "unit": unit, "seeds": seeds, "subjects": subjects}
    for n in SIZES:  # one number a training
        values, seeds, _ = values_of(trainings, f"{n} subjects", "dice.train")
        records[f"size.train.{n}"] = {"values": values[:, 0], "subjects": seeds}
    return records


def learning_curves(trainings: pd.DataFrame) -> dict[str, dict[int, pd.Series]]:
    r"""Mean Dice of each training by the number of subjects it learnt from, for each of `TESTS` in words."""
    means = trainings.groupby(["variant", "seed"])[[f"dice.{test}" for test in TESTS]].mean()
    return {words: {n: means.loc[f"{n} subjects", f"dice.{c}"] for n in SIZES} for c, words in TESTS.items()}
