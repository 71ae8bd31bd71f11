r"""Figures of numbers: every dot drawn, every axis labelled."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from cardiolearn.figures import charts


def axes() -> mpl.axes.Axes:
    import matplotlib.pyplot as plt

    return plt.figure().subplots()


TABLE = pd.DataFrame({"lv_edv": [100.0, 150.0, 210.0], "lv_ef": [60.0, 50.0, np.nan]}, index=["a", "b", "c"])


def test_agreement_shows_every_subject_and_the_unit() -> None:
    ax = axes()
    values = pd.DataFrame({"network": [0.9, 0.8, np.nan], "observers": [0.7, 0.6, 0.5]})
    charts.agreement(ax, values, quantity="Dice")
    assert ax.get_ylabel() == "Dice" and [t.get_text() for t in ax.get_xticklabels()] == ["network", "observers"]
    joined, dots = ax.lines[:2], ax.lines[2:]
    assert [list(line.get_ydata()) for line in joined] == [[0.9, 0.7], [0.8, 0.6]]  # a subject each
    assert [list(line.get_ydata()) for line in dots] == [[0.9, 0.8], [0.7, 0.6]]  # a group each
    skewed = pd.DataFrame({"network": [0.0, 0.1, 0.8], "observers": [1.0, 0.5, 0.0]})
    charts.agreement(skew := axes(), skewed, quantity="Dice")
    bars = [bar.get_segments()[0] for bar in skew.collections]
    assert [bar[:, 1].tolist() for bar in bars] == [pytest.approx([0.3, 0.3]), pytest.approx([0.5, 0.5])]  # means
    assert [bar[:, 0].mean() for bar in bars] == pytest.approx([0, 1])
    charts.agreement(ax, pd.DataFrame({"network": [1.0]}), quantity="contour distance", unit="mm")
    assert ax.get_ylabel() == "contour distance (mm)"


def test_agreements_leave_out_what_has_no_number() -> None:
    figure = charts.agreements({"one": TABLE, "two": TABLE}, {"lv_edv": "EDV", "lv_ef": "EF"}, quantity="mL")
    left, right = figure.axes
    assert (left.get_title(), right.get_title(), left.get_ylabel(), right.get_ylabel()) == ("EDV", "EF", "mL", "")
    assert [len(line.get_xdata()) for line in right.lines] == [2, 2, 2, 2]  # two joined, two groups


def test_bland_altman_shows_bias_and_limits() -> None:
    ax = axes()
    charts.bland_altman(ax, [10.0, 12.0, 11.0], [9.0, 10.0, 11.0], quantity="EDV", unit="mL")
    heights = [line.get_ydata()[0] for line in ax.lines[1:]]
    assert heights == pytest.approx([1.0, 1.0 - 1.96, 1.0 + 1.96])
    assert ax.lines[0].get_ydata() == pytest.approx([1.0, 2.0, 0.0])
    assert ax.get_xlabel() == "mean EDV (mL)" and ax.get_ylabel() == "difference (mL)"
    figure = charts.bland_altmans(TABLE, TABLE + 1, {"lv_edv": "mL", "lv_ef": "%"})
    assert [ax.get_title() for ax in figure.axes] == ["LV EDV", "LV EF"]
    assert [ax.get_ylabel() for ax in figure.axes] == ["difference (mL)", "difference (points)"]
    assert len(figure.axes[1].lines[0].get_xdata()) == 2
    five = {"lv_edv": "mL", "lv_esv": "mL", "lv_ef": "%", "lv_mass": "g", "lv_mass_es": "g"}
    table = pd.DataFrame({column: [1.0, 2.0, 4.0] for column in five})
    figure = charts.bland_altmans(table, table + 1, five)
    assert [ax.get_title() for ax in figure.axes] == ["LV EDV", "LV ESV", "LV EF", "LV mass", "LV mass at ES"]
    assert len({ax.get_subplotspec().rowspan.start for ax in figure.axes}) == 2  # a readable size


def test_expectation_has_one_dot_per_scan_and_colour_per_kind() -> None:
    scans = pd.DataFrame(
        {"subject": ["a", "a", "a", "b"], "kind": ["none", "none", "blur", "none"], "dice": 0.9, "expected": 0.8}
    )
    ax = axes()
    charts.expectation(ax, scans, failed=0.8)
    assert {line.get_label(): len(line.get_xdata()) for line in ax.lines[:2]} == {"none": 2, "blur": 1}
    assert ax.lines[2].get_ydata()[0] == 0.8


def test_reliability_lies_on_the_line_where_calibrated() -> None:
    rows = pd.DataFrame({"bin": [5, 9, 9], "stated": [0.55, 0.9, 1.0], "right": [0.55, 1.0, 0.9], "pixels": [10, 5, 5]})
    ax = axes()
    charts.reliability(ax, rows)
    assert ax.collections[0].get_offsets().data == pytest.approx(np.array([[0.55, 0.55], [0.95, 0.95]]))
    assert "error 0.000" in ax.get_legend().get_texts()[1].get_text()


def test_learning_curve_shows_each_training_and_their_mean() -> None:
    ax = axes()
    charts.learning_curve(ax, {"home": {4: [0.5, 0.7], 64: [0.8]}}, quantity="Dice")
    mean, few, many = ax.lines
    assert list(mean.get_xdata()) == [4, 64] and list(mean.get_ydata()) == pytest.approx([0.6, 0.8])
    assert list(few.get_xdata()) == [4, 4] and list(few.get_ydata()) == [0.5, 0.7]
    assert list(many.get_xdata()) == [64] and list(many.get_ydata()) == [0.8]
    assert ax.get_xscale() == "log" and [t.get_text() for t in ax.get_xticklabels()] == ["4", "64"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("subjects learnt from", "Dice")


def test_gains_are_differences_with_a_line_at_none() -> None:
    table = pd.DataFrame({"linear": [1.0, 2.0], "network": [1.5, 2.7]})
    figure = charts.gains({"PSNR (dB), still": table, "PSNR (dB), moved": table + 3.0}, over="linear")
    for ax in figure.axes:
        assert [label.get_text() for label in ax.get_xticklabels()] == ["network"]
        heights = [line.get_ydata() for line in ax.lines]
        assert any(np.allclose(np.asarray(y, dtype=float), [0.5, 0.7]) for y in heights)
        assert any((np.asarray(y) == 0.0).all() for y in heights)
        assert ax.get_ylabel() == "difference from linear"
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    apart = charts.gains({"PSNR (dB)": table, "SSIM": table / 10}, over="linear")
    assert apart.axes[0].get_ylim() != apart.axes[1].get_ylim()


def test_courses_have_a_line_for_each_training_and_show_the_last_third() -> None:
    steps, variants = [10, 20, 30], ("plain", "constrained")
    rows = [
        {"variant": variant, "seed": seed, "step": step, "score": step + seed}
        for variant in variants for seed in (0, 1) for step in steps
    ]  # fmt: skip
    figure = charts.courses(pd.DataFrame(rows), quantity="mean Dice")
    whole, late = figure.axes
    assert [list(line.get_ydata()) for line in whole.lines] == [[10, 20, 30], [11, 21, 31]] * 2
    assert [list(line.get_xdata()) for line in late.lines] == [[20, 30]] * 4
    colours = [line.get_color() for line in whole.lines]
    assert colours[0] == colours[1] != colours[2] == colours[3] and whole.get_ylabel() == "mean Dice"
    legend = whole.get_legend()
    drawn = {text.get_text(): line.get_color() for text, line in zip(legend.texts, legend.get_lines(), strict=True)}
    assert drawn == {"plain": colours[0], "constrained": colours[2]}
