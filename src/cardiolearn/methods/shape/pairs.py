r"""The judged comparison: the same network without and with the shape prior, from equal weights, on equal batches.

One table has a row for every variant, training and test subject; the course of each training is kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from cardiolearn.figures import charts
from cardiolearn.figures.predict import Guess
from cardiolearn.imaging.files import read_tensors
from cardiolearn.imaging.structures import PHASES
from cardiolearn.learning.checkpoint import History, Keep, best_weights
from cardiolearn.learning.clock import seconds_left
from cardiolearn.learning.experiment import run_variants, values_of
from cardiolearn.learning.training import TrainingPlan, train
from cardiolearn.learning.weights import ready, save_weights
from cardiolearn.methods.shape.acnn import CodePrior
from cardiolearn.methods.shape.evaluation import as_found, segment_all, versus_truth
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.kept_scans import kept_scans
from cardiolearn.methods.shape.phantom_hearts import cases, each_once
from cardiolearn.methods.shape.pictures import ranked, rows_of
from cardiolearn.methods.shape.segmenter import Segmenter
from cardiolearn.methods.shape.tasks import TASKS, Task
from cardiolearn.methods.shape.training_volumes import TrainingVolumes
from cardiolearn.methods.shape.trainings import STRENGTH, WEIGHT_DECAY
from cardiolearn.methods.shape.volume_source import Batch, FixedVolumes

MEASURED = {"dice": "1", "surface": "mm", "hausdorff": "mm", "missed": "1", "implausible": "1"}
GAINS = {"hausdorff": "Hausdorff distance (mm)", "implausible": "share of implausible scans"}
SWEPT = (0.0, 0.01, 0.1, 1.0, 10.0)  # lambda 1; `STRENGTH` was chosen among them
SWEPT_SEEDS = range(10, 13)  # of trainings that are no part of any judged comparison
_LOOKS = 18  # scores of held-out hearts in the course of a training


@dataclass(frozen=True)
class PairVariant:
    r"""A segmenter of a task, trained with `strength` (lambda 1; 0 is the plain network) of a prior.

    Args:
        task: name of one of `TASKS`.
        judge: file of the encoder's weights, in the folder, by :func:`keep_judge`; `variance` is that of its codes.
        subjects, held, tests: learnt from, held out of the same cohort, and of the test cohort.
    """

    task: str
    strength: float
    judge: str
    variance: float
    subjects: int
    held: int
    tests: int

    def prepare(self, folder: Path, cohort_seed: int, seeds: Sequence[int]) -> None:
        r"""The hearts, sampled and scanned once for all trainings."""
        task = TASKS[self.task]
        self._scans(folder, cohort_seed)
        task.sample(self.tests, folder / self.task, "test", cohort_seed)

    def learn(
        self, folder: Path, cohort_seed: int, *, steps: int, seed: int, device: torch.device
    ) -> list[dict[str, Any]]:
        r"""A row for each test subject, the means over both phases of `MEASURED`.

        A training that is interrupted goes on from its checkpoint. Its course is left in the folder.
        """
        task = TASKS[self.task]
        n = len(PHASES) * task.scans * self.subjects
        data = TrainingVolumes(self._scans(folder, cohort_seed), n, n_classes=task.n_classes, prior=self._prior(folder))
        plan = TrainingPlan(
            steps, seed, learning_rate=4e-3, schedule="dropped", weight_decay=WEIGHT_DECAY,
            validate_every=max(1, steps // _LOOKS),
        )  # fmt: skip
        network, keep = task.segmenter(seed), Keep(_checkpoint(folder, self, steps, seed), seconds_left())
        history = train(network, data, data.loss, plan, device, validate=data.held_out_score, keep=keep)
        history.write(_course(folder, self, steps, seed))
        table = tested({"network": ready(network, device)}, task, self.tests, folder / self.task, cohort_seed)
        means = table.groupby("subject")[list(MEASURED)].mean().round(5)
        return [{"subject": subject, **row} for subject, row in means.to_dict("index").items()]

    def _scans(self, folder: Path, cohort_seed: int) -> FixedVolumes:
        return kept_scans(self.task, self.subjects + self.held, folder / self.task, cohort_seed)

    def _prior(self, folder: Path) -> CodePrior | None:
        if not self.strength:
            return None
        task = TASKS[self.task]
        encoder = task.autoencoder(0).encoder
        encoder.load_state_dict(read_tensors(folder / self.judge)[0])
        return CodePrior(frozen(encoder), self.variance, self.strength)


def keep_judge(folder: Path, task: Task, prior: CodePrior) -> dict[str, Any]:
    r"""The encoder of a prior written to the folder, under a name that tells its weights; what a `PairVariant` needs to
    find it again."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"judge-{task.name}.safetensors"
    name = f"judge-{task.name}-{save_weights(path, prior.encoder.network)[:8]}.safetensors"
    path.replace(folder / name)
    return {"task": task.name, "judge": name, "variance": prior.variance}


def compare(
    folder: Path, judge: Mapping[str, Any], sizes: Mapping[str, int], strengths: Mapping[str, float], **how: Any
) -> pd.DataFrame:
    r"""All `strengths`, by the variants' names, trained from each of `seeds`: the table of `run_variants`.

    Args:
        judge: of :func:`keep_judge`.
        sizes: `subjects`, `held` and `tests` of the variants.
        how: `seeds`, `steps`, `cohort_seed` and `device`, as in `run_variants`.
    """
    variants = _variants(judge, sizes, strengths)
    path = folder / f"pairs-{judge['task']}-{'-'.join(strengths)}-{how['steps']}-{how['cohort_seed']}.csv"
    return run_variants(path, variants, folder=folder, **how)


PAIR = {"plain": 0.0, "constrained": STRENGTH}
SWEEP = {f"{strength:g}": strength for strength in SWEPT}
CLEAN_SWEEP = {f"{strength:g}": strength for strength in SWEPT[2:]}  # by an encoder that learnt clean masks


def courses(
    folder: Path, judge: Mapping[str, Any], sizes: Mapping[str, int], strengths: Mapping[str, float], *,
    seeds: Sequence[int], steps: int,
) -> pd.DataFrame:  # fmt: skip
    r"""The held-out scores of finished trainings: `variant`, `seed`, `step`, `score`; and by how much those of the
    training's last third `rise` over it."""
    rows = []
    for name, variant in _variants(judge, sizes, strengths).items():
        for seed in seeds:
            course = History.from_dict(json.loads(_course(folder, variant, steps, seed).read_text(encoding="utf-8")))
            scored = course.validation.items()
            about = {"variant": name, "seed": seed, "rise": course.late_rise()}
            rows += [about | {"step": step, "score": score} for step, score in scored]
    return pd.DataFrame(rows)


def networks(
    folder: Path, judge: Mapping[str, Any], sizes: Mapping[str, int], strengths: Mapping[str, float], *,
    seed: int, steps: int,
) -> dict[str, Segmenter]:  # fmt: skip
    r"""What finished trainings of `compare` from this seed left, by the variants' names, in evaluation mode."""
    found = {}
    for name, variant in _variants(judge, sizes, strengths).items():
        found[name] = TASKS[variant.task].segmenter(seed)
        found[name].load_state_dict(best_weights(_checkpoint(folder, variant, steps, seed)))
        found[name].eval()
    return found


def tested(networks: Mapping[str, nn.Module], task: Task, tests: int, folder: Path, seed: int) -> pd.DataFrame:
    r"""`evaluation.versus_truth` of networks on the task's test cohort, each heart scanned once."""
    return shown(networks, task, each_once(task.sample(tests, folder, "test", seed), seed))[0]


def shown(networks: Mapping[str, nn.Module], task: Task, scans: Batch) -> tuple[pd.DataFrame, dict[str, Any]]:
    r"""`evaluation.versus_truth` of networks, and the `pictures.rows_of` the worst, the median and the best scan.

    Args:
        scans: pictures and labels of hearts, each scanned once.
    """
    images, labels = scans
    spacing, names = (task.spacing,) * 3, cases(len(labels))
    found = {name: segment_all(network, images, names, spacing) for name, network in networks.items()}
    truth = as_found(labels, names, spacing)
    table = versus_truth(truth, found, task.among)
    return table, rows_of(ranked(table), dict(zip(names, images[:, 0], strict=True)), truth, found)


def to_record(table: pd.DataFrame, task: str) -> dict[str, dict[str, Any]]:
    r"""What `Run.record_all` is given of a table of `compare`."""
    records = {}
    for variant in table["variant"].unique():
        for metric, unit in MEASURED.items():
            values, seeds, subjects = values_of(table, variant, metric)
            how = {"values": values, "unit": unit, "seeds": seeds, "subjects": subjects}
            records[f"acnn.{task}.{metric}.{variant}"] = how
    return records


def by_subject(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    r"""The mean over trainings of a metric: a row for each subject, a column for each variant, in their order."""
    wide = table.pivot_table(metric, "subject", "variant")
    return wide[list(table["variant"].unique())]


def draw_gains(table: pd.DataFrame, guess: Guess) -> str:
    r"""Draw by how much the second variant differs from the first in `GAINS`, with the learner's `guess` of the first
    of these; the answer to it, in mm."""
    wide = {title: by_subject(table, metric) for metric, title in GAINS.items()}
    first, second = list(table["variant"].unique())
    figure = charts.gains(wide, over=first)
    charts.show_guess(figure.axes[0], guess)
    distances = wide[GAINS["hausdorff"]]
    return guess.reply(f"{(distances[second] - distances[first]).mean():+.2f} mm")


def _variants(
    judge: Mapping[str, Any], sizes: Mapping[str, int], strengths: Mapping[str, float]
) -> dict[str, PairVariant]:
    fixed: dict[str, Any] = {**judge, **sizes}
    return {name: PairVariant(strength=strength, **fixed) for name, strength in strengths.items()}


def _name(variant: PairVariant, steps: int, seed: int) -> str:
    judged = variant.judge.removesuffix(".safetensors") if variant.strength else f"plain-{variant.task}"
    return f"pair-{judged}-{variant.strength:g}-{variant.subjects}-{steps}-{seed}"


def _checkpoint(folder: Path, variant: PairVariant, steps: int, seed: int) -> Path:
    return folder / f"{_name(variant, steps, seed)}.safetensors"


def _course(folder: Path, variant: PairVariant, steps: int, seed: int) -> Path:
    return folder / f"{_name(variant, steps, seed)}.json"
