r"""The live curve shows what came in and leaves no figure behind; a saved history draws again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cardiolearn.checkpoint import History
from cardiolearn.live import LiveCurve, save_history


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


def test_the_recorded_training_lies_behind_it(tmp_path: Path) -> None:
    history = History(steps=[1, 2, 3], loss=[1.0, 0.5, 1 / 3], validation={3: 0.8}, seconds=2.0)
    save_history(tmp_path / "curve.json", history)
    recorded = json.loads((tmp_path / "curve.json").read_text())
    assert recorded["loss"] == [1.0, 0.5, 0.3333]
    assert History.from_dict(recorded).validation == {3: 0.8}
    with LiveCurve(2, recorded) as curve:
        grey, blue = curve.figure.axes[0].lines
        assert list(grey.get_xdata()) == [1, 2, 3]
        assert len(blue.get_xdata()) == 0


def test_a_failed_training_leaves_no_figure() -> None:
    import matplotlib.pyplot as plt

    with pytest.raises(FloatingPointError), LiveCurve(5) as curve:
        curve(1, 1.0)
        raise FloatingPointError
    assert not plt.get_fignums()
