r"""Runs notebooks, judges them, and compares the run with the recorded one.

Results are written after every notebook, so a run that is interrupted goes on with `resume`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

from cardiolearn.errors import InputError
from cardiolearn.harness.execute import Job, Outcome, execute
from cardiolearn.harness.notebooks import PARAMETERS, discover, read_notebook
from cardiolearn.harness.outputs import records_of
from cardiolearn.harness.regressions import add_spread, flipped, regressions, under_another_seed
from cardiolearn.harness.results import (
    add_claims,
    add_outcome,
    merge_recorded,
    provenance,
    write_results,
)
from cardiolearn.home import find_home
from cardiolearn.imaging.locks import locked
from cardiolearn.imaging.study import find_studies
from cardiolearn.imaging.unfinished import sweep
from cardiolearn.lab.ledger import Claim, load_claims
from cardiolearn.lab.recorded import PROFILES, Results, longer_runs, read_results, recorded_run, results_path
from cardiolearn.lab.records import Record
from cardiolearn.lab.values import read_values
from cardiolearn.learning.device import pick_device

# Seconds a notebook may take in all before it is killed; generous beside the budgets, for slow laptops.
TIME_LIMITS = {"classroom": 900.0, "reproduce": 6 * 3600.0, "full": 7 * 24 * 3600.0}


_Recorded = tuple[Results | None, dict[str, Record]]  # a recorded run, and the values behind its numbers


@dataclass(frozen=True)
class RunOptions:
    r"""How to run: parameters as papermill gets them, notebooks at a time, where, what after, and seconds for each: to
    its end, and to where its long trainings and tables pause (`stage`)."""

    parameters: dict[str, Any] = field(default_factory=dict)
    jobs: int = 1
    out: Path | None = None
    resume: bool = False
    record: bool = False
    time_limit: float | None = None
    stage: float | None = None
    cluster: str | None = None
    home: Path | None = None


def run_lessons(lessons: Sequence[str], options: RunOptions) -> tuple[Results, list[str]]:
    r"""Run the named lessons (all when none is named); returns the results and every reason to call the run failed.

    Raises:
        InputError: Unknown lesson or profile, a device that this machine lacks, an output folder that cannot be used,
            a damaged recorded file.
    """
    home = options.home or find_home()
    parameters = PARAMETERS | options.parameters
    profile = parameters["profile"]
    if profile not in PROFILES:
        raise InputError(f"profile {profile!r}: expected one of {', '.join(PROFILES)}")
    pick_device(str(parameters["device"]))  # what the machine lacks, it lacks for every lesson
    if parameters["data_dir"] is not None:
        find_studies(parameters["data_dir"])  # what is wrong with the folder is wrong for every lesson
    notebooks = discover(home / "notebooks", lessons)
    ledger = load_claims(home / "course" / "claims.toml")
    folder = home / "course" / "results"
    recorded = _recorded(profile, folder)
    out = _output_folder(home, options)
    for place in (folder, home / "course" / "weights", home / "runs", out):
        sweep(place)
    with locked(out / "results.json", wait=False):  # two runs in one folder would overwrite each other's results
        return _run_in(out, notebooks, parameters, options, ledger, recorded, folder)


def _recorded(profile: str, folder: Path) -> _Recorded:
    results = recorded_run(profile, folder)
    return results, read_values(results_path(profile, folder).with_suffix(".csv"), results) if results else {}


def _run_in(
    out: Path, notebooks: Sequence[Path], parameters: dict[str, Any], options: RunOptions,
    ledger: Sequence[Claim], recorded: _Recorded, folder: Path,
) -> tuple[Results, list[str]]:  # fmt: skip
    profile = parameters["profile"]
    results = _begin(out, parameters, options.resume)
    limit = options.time_limit or TIME_LIMITS[profile]
    jobs = [_job(path, out, parameters, limit, options) for path in notebooks]
    todo = [job for job in jobs if not _finished(job, results)]
    for job in jobs:
        if job not in todo:
            print(f"{job.name}: finished before, kept")
    records = {
        record.name: record for job in jobs if job not in todo for record in records_of(read_notebook(job.executed))
    }
    with _executed(todo, options) as outcomes:
        for outcome in outcomes:
            add_outcome(results, outcome)
            records |= {record.name: record for record in outcome.records}
            write_results(out / "results.json", results, records)
            _say(outcome.name, results)
    problems = _judge(results, jobs, recorded, ledger, records, longer_runs(profile, folder))
    write_results(out / "results.json", results, records)
    if options.record and not problems.failed:
        with locked(results_path(profile, folder)):  # another run may have recorded other lessons meanwhile
            before, values = _recorded(profile, folder)
            if before is not None and _comparable(results, before):
                add_spread(results, before, records, values)
            write_results(results_path(profile, folder), merge_recorded(results, before, ledger), values | records)
        print(f"recorded as {results_path(profile, folder)}")
        return results, []
    return results, problems.failed + problems.changed


@dataclass
class _Problems:
    failed: list[str] = field(default_factory=list)  # notebooks and claims that do not hold together
    changed: list[str] = field(default_factory=list)  # differences from the recorded run


def _comparable(results: Results, recorded: Results) -> bool:
    r"""Whether the same subjects were measured in both."""
    return all(results["provenance"][key] == recorded["provenance"].get(key) for key in ("seed", "data"))


def _judge(
    results: Results, jobs: Sequence[Job], recorded_run_and_values: _Recorded, ledger: Sequence[Claim],
    records: Mapping[str, Record], longer: Sequence[Results],
) -> _Problems:  # fmt: skip
    problems, (recorded, values) = _Problems(), recorded_run_and_values
    for job in jobs:
        problems.failed += [f"{job.name}: {problem}" for problem in results["notebooks"][job.name]["problems"]]
    problems.failed += add_claims(results, ledger, records, longer)
    if recorded is None or results["provenance"]["data"] != recorded["provenance"]["data"]:
        why = "nothing is recorded for this profile" if recorded is None else "other data"
        print(f"not compared with a recorded run: {why}")
    elif _comparable(results, recorded):
        problems.changed = regressions(results, recorded, ledger, records, values) + flipped(results, recorded, ledger)
    else:
        seed = recorded["provenance"]["seed"]
        print(f"compared with the recorded run of seed {seed}: numbers must be there, new, and within what is expected")
        problems.changed = under_another_seed(results, recorded, records, values)
    return problems


def _output_folder(home: Path, options: RunOptions) -> Path:
    out = options.out
    if out is None and options.resume:
        out = latest_run(home)
    place = out or home / "runs"
    try:
        place.mkdir(parents=True, exist_ok=True)
        out = out or _new_folder(place)
    except OSError as error:
        raise InputError(f"{place}: cannot hold the run ({error.strerror}); name a folder with --out") from None
    if not os.access(out, os.W_OK):
        raise InputError(f"{out}: the folder for the run is not writable; name another one with --out")
    return out.resolve()


def _new_folder(runs: Path) -> Path:
    r"""A folder named after the time that no other run has, also of those that begin in the same second."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    for number in count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("there is always another number")


def latest_run(home: Path) -> Path:
    r"""The folder in `runs/` whose results were written last.

    Raises:
        InputError: There is none.
    """
    done = list((home / "runs").glob("*/results.json"))
    if not done:
        raise InputError(f"{home / 'runs'}: expected the results of a run, found none; start with 'cardiolearn run'")
    return max(done, key=lambda path: path.stat().st_mtime_ns).parent


def _begin(out: Path, parameters: dict[str, Any], resume: bool) -> Results:
    r"""Empty results, or those of the run to go on with."""
    results: Results = {"provenance": provenance(parameters), "notebooks": {}, "metrics": {}, "claims": {}}
    results["provenance"]["parameters"] = _fingerprint(parameters)
    path = out / "results.json"
    if not path.is_file():
        return results
    if not resume:
        raise InputError(f"{out}: holds the results of another run; give --resume, or another folder")
    before = read_results(path)
    if before["provenance"]["parameters"] != results["provenance"]["parameters"]:
        raise InputError(f"{out}: was run with other parameters; give another folder")
    return results | {"notebooks": before["notebooks"], "metrics": before["metrics"]}


def _fingerprint(parameters: dict[str, Any]) -> str:
    r"""Identity of the parameters; a hash, because a data folder's path may name a person."""
    return hashlib.sha256(repr(sorted(parameters.items())).encode()).hexdigest()[:16]


def _job(path: Path, out: Path, parameters: dict[str, Any], limit: float, options: RunOptions) -> Job:
    threads = max(1, (os.cpu_count() or 1) // options.jobs) if options.jobs > 1 else None
    return Job(str(path.resolve()), str(out), parameters, limit, threads, options.jobs == 1, options.stage)


def _finished(job: Job, results: Results) -> bool:
    row = results["notebooks"].get(job.name, {})
    digest = hashlib.sha256(Path(job.notebook).read_bytes()).hexdigest()
    return row.get("status") == "ok" and row["sha256"] == digest and job.executed.is_file()


@contextmanager
def _executed(jobs: Sequence[Job], options: RunOptions) -> Iterator[Iterator[Outcome]]:
    r"""Outcomes as they come, from threads that each wait for a process, or from a Dask cluster."""
    if options.cluster is None:
        stop = Event()
        with ThreadPoolExecutor(max_workers=options.jobs) as pool:
            futures = [pool.submit(execute, job, stop) for job in jobs]
            try:
                yield (future.result() for future in as_completed(futures))
            finally:  # after an interruption nothing that waits may start, and nothing that runs goes on
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        return
    try:
        from dask.distributed import Client
        from dask.distributed import as_completed as as_completed_there
    except ImportError:
        raise InputError("--cluster needs Dask; install it with: pip install 'cardiolearn[cluster]'") from None
    with Client(options.cluster) as client:
        there = [client.submit(execute, job, pure=False) for job in jobs]
        yield (future.result() for future in as_completed_there(there))


def _say(name: str, results: Results) -> None:
    row = results["notebooks"][name]
    peak = f", {row['peak_mb']:.0f} MB" if row["peak_mb"] else ""
    count = sum(metric["notebook"] == name for metric in results["metrics"].values())
    print(f"{name}: {row['status']}, {row['seconds']:.0f} s{peak}, {count} numbers", flush=True)
