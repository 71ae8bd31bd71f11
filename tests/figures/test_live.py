r"""The live curve shows what came in, over a recorded one where there is one, and leaves no figure behind."""

from __future__ import annotations

import pytest

from cardiolearn.figures.live import LiveCurve
from cardiolearn.learning.checkpoint import History


def test_the_last_step_is_always_drawn() -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with LiveCurve(123) as curve:
        for step in range(1, 124):
            curve(step, 1 / step)
        x, y = curve.figure.axes[0].lines[0].get_data()
        assert list(x) == list(range(1, 124))
        assert y[-1] == pytest.approx(1 / 123)
    assert not plt.get_fignums()


def test_between_redraws_points_are_kept() -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    with LiveCurve(200, loss="cross-entropy") as curve:
        axes = curve.figure.axes[0]
        shown = []
        for step in range(1, 11):
            curve(step, 0.5)
            shown.append(len(axes.lines[0].get_xdata()))
    assert shown == [0, 0, 0, 4, 4, 4, 4, 8, 8, 8]  # fifty times in 200 steps
    assert (axes.get_ylabel(), axes.get_xscale(), axes.get_yscale()) == ("cross-entropy", "log", "log")


def test_the_recorded_training_lies_behind_it() -> None:
    recorded = History(steps=[1, 2, 3], loss=[1.0, 0.5, 0.3333]).to_dict()
    with LiveCurve(2, recorded) as curve:
        grey, blue = curve.figure.axes[0].lines
        assert list(grey.get_xdata()) == [1, 2, 3] and list(grey.get_ydata()) == [1.0, 0.5, 0.3333]
        assert len(blue.get_xdata()) == 0
        curve(1, 0.9)
        curve(2, 0.4)
        assert list(blue.get_xdata()) == [1, 2] and list(blue.get_ydata()) == [0.9, 0.4]
        assert grey.get_zorder() <= blue.get_zorder()


def test_a_failed_training_leaves_no_figure() -> None:
    import matplotlib.pyplot as plt

    with pytest.raises(FloatingPointError), LiveCurve(5) as curve:
        curve(1, 1.0)
        raise FloatingPointError
    assert not plt.get_fignums()
