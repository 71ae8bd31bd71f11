r"""The commands. Every line of thought is elsewhere; here are only their names and options."""

from __future__ import annotations

import ast
import io
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cardiolearn.errors import InputError, InputWarning

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def _about() -> None:
    r"""Learning anatomical image representations of the heart: run the lessons, segment a scan."""


@app.command()
def run(
    lessons: Annotated[list[str] | None, typer.Argument(help="Lessons by name or number (01); default all.")] = None,
    profile: Annotated[str, typer.Option(help="classroom, reproduce or full.")] = "classroom",
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for the run; default runs/<date and time>.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run (--out, else latest).")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Write course/results/<profile>.json.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    time_limit: Annotated[float | None, typer.Option(min=0.01, help="Minutes a notebook may take in all.")] = None,
    stage: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes after which long work pauses; --resume goes on with it.")
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://...")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Another parameter: -p data_dir=PATH")
    ] = None,
) -> None:
    r"""Run notebooks, judge the claims, compare with the recorded run; exit 1 when something does not hold."""
    from cardiolearn.harness.run import RunOptions, run_lessons

    given = _parameters(parameter or ())
    options = RunOptions(
        parameters=given | {"profile": profile, "seed": seed, "device": device},
        jobs=jobs,
        out=out,
        resume=resume,
        record=record,
        time_limit=time_limit and 60 * time_limit,
        stage=stage and 60 * stage,
        cluster=cluster,
    )
    results, problems = run_lessons(lessons or (), options)
    if all(row["status"] == "ok" for row in results["notebooks"].values()):
        for claim, row in results["claims"].items():
            print(f"claim {claim}: {row['verdict']} - {row['evidence']}")
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(f"\n{count}:", *problems, sep="\n  ", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def report(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run; default the latest.")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file; default report.html in the run's folder.")] = None,
    readme: Annotated[
        bool, typer.Option("--readme", help="Refresh README's claims and picture, and course/claims.md.")
    ] = False,
) -> None:
    r"""Write one HTML file with claims, figures and timings, readable without a network."""
    from cardiolearn.harness.readme_picture import write_picture
    from cardiolearn.harness.report import refresh_claims, write_report
    from cardiolearn.harness.run import latest_run
    from cardiolearn.home import find_home

    home = find_home()
    if readme:
        print(*refresh_claims(home), write_picture(home), sep="\n")
        return
    folder = run or latest_run(home)
    print(write_report(folder, out or folder / "report.html", home))


@app.command()
def learner() -> None:
    r"""Write the learner's notebooks, without solutions, to course/learner."""
    from cardiolearn.harness.learner import write_learner
    from cardiolearn.home import find_home

    for path in write_learner(find_home() / "notebooks", find_home() / "course" / "learner"):
        print(path)


@app.command()
def segment(
    scan: Annotated[Path, typer.Argument(help="A NIfTI file, a DICOM cine folder, or a study folder.")],
    out: Annotated[Path, typer.Option(help="The label map to write, in the scan's own grid.")],
    view: Annotated[str, typer.Option(help="sa: a short-axis stack; la: a two- or four-chamber picture.")] = "sa",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    r"""Outline the chambers of a scan; volumes or areas, ejection fraction for a cine, and what to look at."""
    from cardiolearn.methods.segmentation.command import segment_file

    print(segment_file(scan, out, device, view))


@app.command()
def check() -> None:
    r"""Say whether this machine is ready for the lessons, and what is missing; exit 1 when it is not."""
    from cardiolearn.harness.machine import machine_lines

    lines, ready = machine_lines()
    print(*lines, sep="\n")
    if not ready:
        raise typer.Exit(1)


@app.command()
def version() -> None:
    r"""Print the version."""
    import cardiolearn

    print(cardiolearn.__version__)


def _parameters(texts: Sequence[str]) -> dict[str, Any]:
    r"""The parameters of all `-p`; one that has an option of its own, or two values, is refused."""
    given: dict[str, Any] = {}
    for text in texts:
        name, value = _parameter(text)
        if name in ("profile", "seed", "device"):
            raise InputError(f"-p {text}: use --{name} {text.partition('=')[2]}")
        if name in given and given[name] != value:
            raise InputError(f"-p {text}: expected one value of {name}, got another before")
        given[name] = value
    return given


def _parameter(text: str) -> tuple[str, Any]:
    r"""`name=value`, the value as Python writes it or as text; an existing path becomes absolute.

    >>> _parameter("frames=3"), _parameter("weights=shipped")
    (('frames', 3), ('weights', 'shipped'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"-p {text}: expected NAME=VALUE")
    if name in ("data_dir", "weights") and Path(value).expanduser().exists():
        return name, str(Path(value).expanduser().resolve())
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _say(message: Warning | str, category: type[Warning], *where: Any, **_: Any) -> None:
    r"""A warning as one line on stderr, of our own without the line of code that raised it."""
    text = str(message) if issubclass(category, InputWarning) else f"{category.__name__}: {message}"
    print(f"cardiolearn: warning: {' '.join(text.split())}", file=sys.stderr)


def main(commands: typer.Typer = app) -> None:
    r"""Entry point, of `data_scripts/` too: an input the user can correct is one line on stderr and exit code 2."""
    warnings.showwarning = _say
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that the terminal lacks are written as codes
            stream.reconfigure(errors="backslashreplace")
    try:
        commands()
    except InputError as error:
        print(f"cardiolearn: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("cardiolearn: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
