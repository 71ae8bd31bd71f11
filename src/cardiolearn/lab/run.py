r"""One lesson in one kernel: its studies, trainings and numbers, and how the lecture's claims fare."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from cardiolearn.errors import InputError
from cardiolearn.home import commit, real_patient_dir, results_dir, weights_dir
from cardiolearn.imaging.files import write_atomically
from cardiolearn.lab.claims import claims_of_lesson
from cardiolearn.lab.folded import FoldedRecords
from cardiolearn.lab.recorded import computed_table, recorded_table
from cardiolearn.lab.records import RECORDED_NOTE, WEIGHTS_MIME, Record, make_record, show
from cardiolearn.lab.stages import stage

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor, nn

    from cardiolearn.imaging.study import Study
    from cardiolearn.learning.checkpoint import History
    from cardiolearn.learning.training import Schedule, TrainingData


@dataclass(frozen=True)
class Run:
    r"""One lesson in one kernel; it stays what `lab.start` made it.

    Args:
        weights: "shipped" or a folder.
        folder: where the lesson keeps sampled hearts and unfinished trainings, so that a second run is quicker.
        data: what is measured, "phantom" or "real".
    """

    lesson: str
    profile: str
    seed: int
    device: torch.device
    data_dir: Path | None
    weights: str
    folder: Path
    data: str = "phantom"
    records: dict[str, Record] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: FoldedRecords = field(default_factory=FoldedRecords, repr=False)
    started: bool = field(default=False, init=False)  # by `lab.start`; a copy with other parameters is not

    def studies(self, n: int, *, frames: int = 0, views: Sequence[str] = ("sa",), visit: int = 0) -> list[Study]:
        r"""The studies of `data_dir`; without one, `n` subjects of the phantom's unseen cohort, scanned once and kept.

        `frames` of a cine, `views` and `visit` as in :class:`~cardiolearn.phantom.cohorts.studies.Examination`.
        """
        from cardiolearn.imaging.study import find_studies
        from cardiolearn.phantom.cohorts.studies import Examination, write_studies

        if self.data_dir is not None:
            return find_studies(self.data_dir)
        name = f"test-{self.seed}-{frames}-{visit}-{'-'.join(views)}"
        examination = Examination(frames=frames, views=tuple(views), visit=visit)
        return write_studies(self.folder / name, n, examination, seed=self.seed)

    def real_patient(self) -> Study:
        r"""A real heart to see: the first of `data_dir` where that holds real scans, else the patient that comes with
        the kit (`course/real_patient`), whose LV a cardiologist outlined.

        It is for seeing and trying, never for training, and nothing is chosen by it. One case proves nothing.
        """
        from cardiolearn.imaging.study import find_studies

        own = self.data_dir if self.data == "real" else None
        return find_studies(own or real_patient_dir())[0]

    def train(
        self, network: nn.Module, data: TrainingData, name: str, steps: int,
        on_step: Callable[[int, float], None] | None = None, *,
        example: tuple[Tensor, Tensor] | None = None, weight_decay: float = 0.0,
    ) -> History:  # fmt: skip
        r"""Train on `data`; longer runs keep a checkpoint called `name`, from which they go on.

        `weight_decay` as in `TrainingPlan`.

        Of an `example`, picture and labels, longer runs keep what the network found early and late in
        `course/results/<name>_snapshots.npz`. They end with the average of the last weights where it scores best.

        Raises:
            Unfinished: the time that `cardiolearn run --stage` gives is up; the same command goes on.
        """
        from cardiolearn.learning.checkpoint import Keep
        from cardiolearn.learning.clock import seconds_left
        from cardiolearn.learning.device import training_words
        from cardiolearn.learning.snapshots import Watch
        from cardiolearn.learning.training import TrainingPlan, train

        long, words = self.profile != "classroom", training_words(self.device)
        schedule: Schedule = "cosine" if long else "constant"
        plan = TrainingPlan(
            steps, self.seed, learning_rate=2e-3, schedule=schedule, average=long, weight_decay=weight_decay,
            validate_every=200,
        )  # fmt: skip
        fit = partial(train, network, data, data.loss, plan, self.device, validate=data.held_out_score, on_step=on_step)
        if not long:
            history = fit()
            show(f"trained {name}: {history.steps[-1]} steps in {history.seconds:.0f} s on {words}")
            return history
        kept = self.folder / f"{name}-{data.n}-{steps}-{self.seed}.safetensors"
        watch = None if example is None else Watch(kept.with_suffix(".npz"), *example)
        with stage(name, kept, words) as self.stages[name]:
            history = fit(keep=Keep(kept, seconds_left(), watch))
        if watch is not None:
            write_atomically(results_dir() / f"{name}_snapshots.npz", watch.path.read_bytes())
        return history

    def trained(self, network: nn.Module, name: str) -> Any:
        r"""What is tested: a copy for inference on this run's device of the shipped weights `name` in `classroom`, else
        of `network` as its exported file will hold it. `network` holds the same weights afterwards."""
        from cardiolearn.learning.weights import load_weights, ready

        if self.profile == "classroom":
            origin = load_weights(network, name)
            text = f"loaded {name}, trained by {origin.notebook}, profile {origin.profile}, seed {origin.seed}"
            show(text, {WEIGHTS_MIME: {"name": name, "sha256": origin.sha256, "folder": str(weights_dir().resolve())}})
        return ready(network, self.device)

    def ship(self, network: nn.Module, name: str, scores: Mapping[str, float], made_by: str | None = None) -> None:
        r"""Export weights to `course/weights`, with where they come from and what they scored.

        `train` made them under this name, or the `experiment` called `made_by` did.
        """
        from cardiolearn.learning.device import training_words
        from cardiolearn.learning.weights import Provenance, ship_weights
        from cardiolearn.phantom.cohorts.cache import phantom_version

        now = {"commits": [commit()], "phantom": phantom_version(), "device": training_words(self.device)}
        of = now | self.stages.get(made_by or name, {})  # it may have been finished by an earlier run, with other code
        commits = ", ".join(of["commits"])
        origin = Provenance(self.lesson, self.profile, self.seed, commits, of["phantom"], of["device"], dict(scores))
        ship_weights(name, network.cpu(), origin)

    @property
    def results_dir(self) -> Path:
        r"""`course/results`, the tables of longer runs."""
        return results_dir()

    def generator(self, name: str) -> torch.Generator:
        r"""A CPU generator for one purpose: the same seed and name give the same numbers, whatever ran before."""
        import torch

        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def record(
        self,
        name: str,
        values: ArrayLike,
        *,
        unit: str = "1",
        subjects: Sequence[object] | None = None,
        seeds: Sequence[int] | None = None,
        recorded: bool = False,
    ) -> None:
        r"""Put numbers into the notebook's output, where `cardiolearn run` and `run.claims()` find them.

        `values`: a number, (subjects,), or (seeds, subjects) with `seeds=`. `subjects` name them, so that claims can
        pair them. `recorded=True` marks numbers read from a table of a longer run.
        """
        if not self.started:
            raise InputError(f"record {name}: expected the run that lab.start gave, got a copy of it")
        data = "phantom" if recorded else self.data  # the kit's own recorded runs
        record = make_record(name, values, unit=unit, subjects=subjects, seeds=seeds, data=data, recorded=recorded)
        self.records[name] = record
        self.shown.add(record)

    def record_all(self, records: Mapping[str, Mapping[str, Any]], *, recorded: bool = False) -> None:
        r"""`record` what is said under each name: `values` and, where there are any, `unit`, `subjects` and `seeds`."""
        for name, what in records.items():
            self.record(name, **what, recorded=recorded)

    def record_table(
        self,
        prefix: str,
        table: pd.DataFrame,
        units: Mapping[str, str],
        *,
        recorded: bool = False,
    ) -> None:
        r"""`record` each column of `units` (column to unit) as `prefix.column`: the mean of each subject's rows.

        `table` has a column or an index `subject`. Columns it lacks are passed over, and so are subjects without a
        number.
        """
        if not len(table):
            return
        means = table.groupby("subject").mean(numeric_only=True)
        for column, unit in units.items():
            if column in means and len(values := means[column].dropna()):
                self.record(f"{prefix}.{column}", values, unit=unit, subjects=list(values.index), recorded=recorded)

    @property
    def shows_recorded(self) -> bool:
        r"""Whether long experiments are shown from the tables of a longer run: in `classroom`, and on real scans."""
        return self.profile == "classroom" or self.data_dir is not None

    def experiment(self, name: str, compute: Callable[[], pd.DataFrame], *, in_classroom: bool = False) -> pd.DataFrame:
        r"""The table of a long experiment: computed and kept as `course/results/<name>.csv`, or read from there.

        With `in_classroom` it is computed in `classroom` too, on the phantom, and only beside real scans read. A longer
        run that was interrupted finds the tables it had finished in `folder`.
        """
        if not self.shows_recorded:
            run = f"{self.profile}-{self.seed}"
            return computed_table(name, self.folder, run, compute, self.device.type, self.stages)
        read: pd.DataFrame = compute() if in_classroom and self.data_dir is None else self.recorded(name)
        return read

    def claims(self, *chosen: str) -> None:
        r"""Show this lesson's claims, or those `chosen` by id, judged on what was recorded so far in this kernel."""
        table = claims_of_lesson(self.lesson, self.profile, self.records, chosen)
        note = "A phantom shows a mechanism, never clinical performance. " if self.data == "phantom" else ""
        text = f"{note}In brackets: the 95 % interval. *Recorded*: the number is that of a longer run.\n\n{table}"
        show(text, {"text/markdown": text})

    def recorded(self, name: str) -> Any:
        r"""A table of a longer run, `course/results/<name>.csv` (a DataFrame) or `.json`, announced as *recorded*.

        Raises:
            InputError: There is no such table.
        """
        file, table = recorded_table(name)
        show(f"{RECORDED_NOTE}: {file}")
        return table
