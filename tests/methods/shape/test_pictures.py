r"""Found hearts as pictures: one cut for a row, chosen by distance, kept and read again."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from hearts import shell_hearts

from cardiolearn.errors import InputError
from cardiolearn.figures.picture_rows import draw_kept, draw_rows, read_rows, write_rows
from cardiolearn.methods.shape.evaluation import as_found
from cardiolearn.methods.shape.phantom_hearts import cases
from cardiolearn.methods.shape.pictures import ROOM, LongCut, faults_line, ranked, rows_of

HEARTS = shell_hearts(4)
TABLE = pd.DataFrame(
    {"subject": s, "phase": p, "method": m, "hausdorff": h + 3 * (m == "b"), "reasons": "" if h < 8 else "a hole"}
    for m in ("a", "b")
    for (s, p), h in zip(cases(4), (4.0, 9.0, 6.0, 2.0), strict=True)
)  # fmt: skip


def test_the_cut_runs_through_the_cavity_and_leaves_room() -> None:
    labels = HEARTS[0]
    cut = LongCut.through(labels)
    there = torch.nonzero(labels == 1)
    assert cut.row == int(there[:, 1].float().mean())
    plane = labels[:, cut.row]
    rows, columns = (torch.nonzero(plane.any(axis)).flatten() for axis in (1, 0))
    assert cut.slices.start == max(0, int((labels > 0).flatten(1).any(1).nonzero()[0]) - ROOM)
    assert cut.columns.stop - 1 - ROOM == int(columns[-1]) and int(rows[0]) >= cut.slices.start
    assert torch.equal(cut(labels, 20), plane[cut.slices, cut.columns])
    thick = torch.arange(5.0)[:, None, None].expand(5, 24, 28)
    assert torch.equal(cut(thick, 20)[:, 0], torch.arange(5.0).repeat_interleave(4)[cut.slices])
    with pytest.raises(InputError, match="expected labels with a left ventricle"):
        LongCut.through(labels * (labels != 1))


def test_worst_median_and_best_are_by_the_mean_of_all_methods() -> None:
    assert ranked(TABLE) == {"worst": ("00000", "ES"), "median": ("00000", "ED"), "best": ("00001", "ES")}
    assert ranked(TABLE[TABLE["phase"] == "ED"].head(1)) == {
        "worst": ("00000", "ED")
    }  # fmt: skip
    said = faults_line(TABLE, {"worst": ("00000", "ES")})
    assert said.splitlines()[1:] == [
        "    a: Hausdorff distance 9.0 mm; a hole", "    b: Hausdorff distance 12.0 mm; a hole"
    ]  # fmt: skip


def test_rows_are_kept_read_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = as_found(HEARTS, cases(4), (2.5,) * 3)
    stacks = {case: labels.data[::4].float() / 3 for case, labels in truth.items()}
    rows = rows_of(ranked(TABLE), stacks, truth, {"plain": truth}, given="stack")
    assert list(rows) == ["worst: 00000 ES", "median: 00000 ED", "best: 00001 ES"]
    line = rows["median: 00000 ED"]
    assert list(line) == ["stack", "plain", "truth"] and line["stack"].labels is None
    cut = LongCut.through(HEARTS[0])
    assert torch.equal(line["truth"].labels, cut(HEARTS[0], 20))  # type: ignore[arg-type]
    assert torch.equal(line["plain"].picture, cut(stacks["00000", "ED"], 20))
    path = tmp_path / "rows.npz"
    assert draw_kept(path, spacing=2.5, alt="hearts") is None and "Not recorded yet" in capsys.readouterr().out
    write_rows(path, rows)
    again = read_rows(path)
    for name, panels in rows.items():
        for title, panel in panels.items():
            torch.testing.assert_close(again[name][title].picture, panel.picture, atol=0.003, rtol=0)
            kept = again[name][title].labels
            assert (kept is None) == (panel.labels is None)
            assert kept is None or torch.equal(kept, panel.labels.to(torch.uint8))  # type: ignore[union-attr]
    for figure in (draw_rows(rows, spacing=2.5, alt="hearts"), draw_kept(path, spacing=2.5, alt="hearts")):
        assert figure is not None and len(figure.axes) == 9
        assert [ax.get_title() for ax in figure.axes[:3]] == ["stack", "plain", "truth"]
        assert figure.axes[3].get_ylabel() == "median\n00000 ED"
        windows = {ax.images[0].get_clim() for ax in figure.axes}
        assert windows == {(0.0, 1.0)}  # one grey scale
        plt.close(figure)
    path.write_bytes(b"no pictures")
    with pytest.raises(InputError, match=r"rows\.npz: expected pictures of a longer run"):
        read_rows(path)
