r"""What a notebook imports first: `run = lab.start(...)` says where and how the lesson runs and keeps its numbers."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import ArrayLike

from cardiolearn.errors import InputError
from cardiolearn.files import write_atomically
from cardiolearn.home import WEIGHTS_VARIABLE, code_version, find_home, recorded_results, results_dir
from cardiolearn.records import MIME, START_MIME, Record, make_record, show

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from cardiolearn.checkpoint import History
    from cardiolearn.study import Study
    from cardiolearn.training import Lessons

Network = TypeVar("Network", bound="nn.Module")

# Minutes a lesson may take on two CPU cores; shown until a recorded run has measured it.
PROFILES = {"classroom": 3, "reproduce": 30, "full": 600}


@dataclass
class Run:
    r"""One lesson in one kernel. `weights`: "shipped" or a folder; `data`: what is measured, "phantom" or "real"."""

    lesson: str
    profile: str
    seed: int
    device: torch.device
    data_dir: Path | None
    weights: str
    data: str = "phantom"
    records: dict[str, Record] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        r"""Where the lesson keeps drawn hearts and unfinished trainings, so that a second run is quicker."""
        from cardiolearn.phantom.cohort import cache_folder

        return cache_folder() / self.lesson

    def studies(self, n: int, *, frames: int = 0, views: Sequence[str] = ("sa",), visit: int = 0) -> list[Study]:
        r"""The studies of `data_dir`; without one, `n` subjects of the phantom's unseen cohort, drawn once and kept.

        `frames` of a cine, `views` and `visit` as in :func:`~cardiolearn.phantom.cohort.write_cohort`.
        """
        from cardiolearn.phantom.cohort import write_cohort
        from cardiolearn.study import find_studies

        if self.data_dir is not None:
            return find_studies(self.data_dir)
        name = f"test-{self.seed}-{frames}-{visit}-{'-'.join(views)}"
        return write_cohort(self.folder / name, n, seed=self.seed, frames=frames, views=views, visit=visit)

    def train(
        self, network: nn.Module, lessons: Lessons, name: str, steps: int, on_step: Callable[[int, float], None] | None
    ) -> History:
        r"""Train on `lessons`; longer runs keep a checkpoint called `name`, from which they go on."""
        from cardiolearn.training import train

        options: dict[str, Any] = {"validate": lessons.held_out_score, "validate_every": 200, "on_step": on_step}
        if self.profile != "classroom":
            path = self.folder / f"{name}-{lessons.n}-{steps}-{self.seed}.safetensors"
            options |= {"checkpoint": path, "schedule": "cosine"}
        options |= {"seed": self.seed, "device": self.device, "learning_rate": 2e-3}
        return train(network, lessons, lessons.loss, steps=steps, **options)

    def trained(self, network: Network, name: str) -> Network:
        r"""What is tested: in `classroom` the shipped weights `name`, else `network` as its exported file will hold it.

        `network` holds the same weights afterwards; returned is a copy for inference on this run's device.
        """
        import copy

        from cardiolearn.networks.fcn import FCN
        from cardiolearn.training import keep_freed_memory, place
        from cardiolearn.weights import load_weights

        if self.profile == "classroom":
            origin = load_weights(network, name)
            show(f"loaded {name}, trained by {origin.notebook}, profile {origin.profile}, seed {origin.seed}")
        network.half().float().eval()  # the file holds 16-bit numbers
        keep_freed_memory()
        quick: Any = network.fused() if isinstance(network, FCN) else copy.deepcopy(network).requires_grad_(False)
        place(quick, self.device)
        return quick

    def ship(self, network: nn.Module, name: str, scores: Mapping[str, float]) -> None:
        r"""Export trained weights to `course/weights`, with where they come from and what they scored."""
        from cardiolearn.weights import Provenance, ship_weights

        ship_weights(name, network.cpu(), Provenance(self.lesson, self.profile, self.seed, metrics=dict(scores)))

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
        tolerance: float = 0.05,
    ) -> None:
        r"""Put numbers into the notebook's output, where `cardiolearn run` and `run.claims()` find them.

        `values`: a number, (subjects,), or (seeds, subjects) with `seeds=`. `subjects` name them, so that claims can
        pair them. `recorded=True` marks numbers read from a table of a longer run. `tolerance` is the relative change
        of the mean that a later run may show.
        """
        data = "phantom" if recorded else self.data  # the kit's own recorded runs
        options: dict[str, Any] = {"subjects": subjects, "seeds": seeds, "recorded": recorded, "tolerance": tolerance}
        record = make_record(name, values, unit=unit, data=data, **options)
        self.records[name] = record
        show(record.text(), {MIME: record.bundle()})

    def record_table(
        self,
        prefix: str,
        table: pd.DataFrame,
        units: Mapping[str, str],
        *,
        recorded: bool = False,
        tolerance: float = 0.05,
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
                options: dict[str, Any] = {"recorded": recorded, "tolerance": tolerance}
                self.record(f"{prefix}.{column}", values, unit=unit, subjects=list(values.index), **options)

    @property
    def shows_recorded(self) -> bool:
        r"""Whether long experiments are shown from the tables of a longer run: in `classroom`, and on real scans."""
        return self.profile == "classroom" or self.data_dir is not None

    def experiment(self, name: str, compute: Callable[[], pd.DataFrame], *, quick: bool = False) -> pd.DataFrame:
        r"""The table of a long experiment: computed and kept as `course/results/<name>.csv`, or read from there.

        A `quick` one, on the phantom, is computed in `classroom` too, and only beside real scans read. A longer run
        that was interrupted finds the tables it had finished in `folder`.
        """
        from cardiolearn.experiment import finished

        if not self.shows_recorded:
            kept = self.folder / f"tables-{code_version()}" / f"{name}-{self.profile}-{self.seed}.csv"
            table = finished(kept, compute)
            self.results_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(self.results_dir / f"{name}.csv", kept.read_bytes())
            return table
        read: pd.DataFrame = compute() if quick and self.data_dir is None else self.recorded(name)
        return read

    def claims(self, *chosen: str) -> None:
        r"""Show this lesson's claims, or those `chosen` by id, judged on what was recorded so far in this kernel."""
        from cardiolearn.claims import claims_table, judge_all
        from cardiolearn.ledger import load_claims, of_section

        ledger = of_section(load_claims(find_home() / "course" / "claims.toml"), self.lesson, chosen)
        verdicts = judge_all(ledger, self.records, longer_runs(self.profile))
        rows = {i: {"verdict": v.verdict, "evidence": v.evidence} for i, v in verdicts.items()}
        note = "A phantom shows a mechanism, never clinical performance. " if self.data == "phantom" else ""
        note += "In brackets: the 95 % interval. *Recorded*: the number is that of a longer run.\n\n"
        table = note + claims_table(ledger, rows)
        show(table, {"text/markdown": table})

    def recorded(self, name: str) -> Any:
        r"""A table of a longer run, `course/results/<name>.csv` (a DataFrame) or `.json`, announced as *recorded*.

        Raises:
            InputError: There is no such table.
        """
        import json

        from cardiolearn.experiment import read_results_table

        csv, other = self.results_dir / f"{name}.csv", self.results_dir / f"{name}.json"
        if csv.is_file():
            show(f"recorded (from a longer run, not computed here): {csv.name}")
            return read_results_table(csv)
        if other.is_file():
            show(f"recorded (from a longer run, not computed here): {other.name}")
            return json.loads(other.read_text(encoding="utf-8"))
        names = sorted(p.name for p in self.results_dir.glob("*.*"))
        raise InputError(f"{csv}: no such recorded table; there are {', '.join(names) or 'none yet'}")


def start(
    lesson: str, *, profile: str, seed: int, device: str, data_dir: str | Path | None, weights: str | Path
) -> Run:
    r"""Check the five parameters of a lesson and say how it will run.

    Raises:
        InputError: An unknown profile, a seed that is no whole number from 0, a device this machine does not have, a
            `data_dir` without studies or with phantom and real ones, or a `weights` folder without `weights.toml`.
    """
    from cardiolearn.plots import use_style
    from cardiolearn.training import pick_device

    if profile not in PROFILES:
        raise InputError(f"profile={profile!r}: expected one of {', '.join(PROFILES)}")
    if type(seed) is not int or seed < 0:
        raise InputError(f"seed={seed!r}: expected a whole number from 0")
    folder = None if data_dir is None else Path(data_dir).expanduser().resolve()
    _choose_weights(str(weights))
    find_home()
    data = "phantom" if folder is None else _kind_of_data(folder)
    run = Run(lesson, profile, seed, pick_device(device), folder, str(weights), data)
    use_style()
    facts = {"lesson": lesson, "profile": profile, "seed": seed, "data": run.data, "folder": str(Path.cwd())}
    show(_introduction(run), {START_MIME: facts})
    return run


def _kind_of_data(folder: Path) -> str:
    r"""Studies that the phantom wrote say so in their `info.toml` (`phantom = true`); all others are real."""
    from cardiolearn.study import find_studies

    kinds = {"phantom" if study.info.get("phantom") else "real" for study in find_studies(folder)}
    if len(kinds) > 1:
        raise InputError(f"{folder}: holds phantom and real studies; a lesson measures one or the other")
    return kinds.pop()


def _choose_weights(weights: str) -> None:
    r"""Let every `load_weights` of this kernel read from the chosen folder."""
    if weights == "shipped":
        os.environ.pop(WEIGHTS_VARIABLE, None)
        return
    folder = Path(weights).expanduser().resolve()
    if not (folder / "weights.toml").is_file():
        raise InputError(f"weights={weights!r}: expected 'shipped' or a folder with a weights.toml, found none")
    os.environ[WEIGHTS_VARIABLE] = str(folder)


def longer_runs(profile: str) -> list[dict[str, Any]]:
    r"""Recorded runs of the profiles longer than this one, longest first."""
    longer = list(PROFILES)[list(PROFILES).index(profile) + 1 :]
    return [results for name in reversed(longer) if (results := recorded_results(name)) is not None]


def expected_minutes(lesson: str, profile: str) -> tuple[float, str]:
    r"""Minutes a lesson takes and where the number is from: a recorded run, else the profile's budget."""
    results = recorded_results(profile) or {}
    seconds = results.get("notebooks", {}).get(lesson, {}).get("seconds")
    return (seconds / 60, "recorded run") if seconds else (PROFILES[profile], "budget on two CPU cores")


def _introduction(run: Run) -> str:
    import numpy
    import torch

    import cardiolearn

    minutes, origin = expected_minutes(run.lesson, run.profile)
    name = torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else f"{torch.get_num_threads()} threads"
    data = "built-in phantom hearts" if run.data_dir is None else f"scans in {run.data_dir}"
    return "\n".join(
        [
            f"lesson   {run.lesson}, profile {run.profile}, seed {run.seed}",
            f"device   {run.device} ({name})",
            f"data     {data}; weights {run.weights}",
            f"versions cardiolearn {cardiolearn.__version__}, Python {platform.python_version()}, "
            f"torch {torch.__version__}, numpy {numpy.__version__}",
            f"expect   about {max(minutes, 0.1):.1f} minutes ({origin})",
        ]
    )
