r"""The order of frames: by time, by number, and where the two contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicoms import Datasets, cine, pixels, save

from cardiolearn.errors import InputError, InputWarning
from cardiolearn.imaging.reading import read_image


def in_order(frames: np.ndarray) -> bool:
    r"""Do frames `(T, Z, Y, X)` come in the order of time?"""
    shape = frames.shape[:2]
    expected = np.stack([np.stack([pixels(t, z) for z in range(shape[1])]) for t in range(shape[0])])
    return bool((frames == expected).all())


@pytest.mark.parametrize("times", ["absent", "equal"])
def test_instance_numbers_order_frames_without_trigger_times(tmp_path: Path, times: str) -> None:
    datasets = cine()
    for ds in datasets.values():
        if times == "absent":
            del ds.TriggerTime
        else:
            ds.TriggerTime = 0
        ds.NominalInterval = 800
    image = read_image(save(tmp_path, datasets))
    assert image.data[:, 0, 0, 0].tolist() == [0, 100, 200, 300]
    assert image.frame_duration == pytest.approx(0.2)


def setting(keyword: str, value: float | str, key: tuple[int, int] = (2, 1)) -> Callable[[Datasets], None]:
    return lambda datasets: setattr(datasets[key], keyword, value)


def renumbering(datasets: Datasets) -> None:
    for number, ds in zip(np.random.default_rng(0).permutation(len(datasets)), datasets.values(), strict=True):
        ds.InstanceNumber = int(number)


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        (setting("TriggerTime", 1e4), "TriggerTime contradicts .* order of InstanceNumber"),  # would be last
        (setting("TriggerTime", -1.0), "TriggerTime contradicts .* order of InstanceNumber"),  # would be first
        (setting("TriggerTime", 0.3), "TriggerTime contradicts .* order of InstanceNumber"),  # as another frame
        (setting("TriggerTime", ""), "TriggerTime contradicts .* order of InstanceNumber"),
        (setting("InstanceNumber", 900), "InstanceNumber contradicts .* order of TriggerTime"),
        (renumbering, "InstanceNumber contradicts .* order of TriggerTime"),
    ],
)
def test_a_contradiction_is_decided_by_even_steps(
    tmp_path: Path, change: Callable[[Datasets], None], chosen: str
) -> None:
    datasets = cine(6, 3)
    change(datasets)
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match=chosen) as caught:
        image = read_image(tmp_path)
    assert len(caught) == 1
    assert in_order(image.data.numpy())
    assert image.frame_duration == pytest.approx(0.04)


def test_numbers_that_run_backwards_are_told(tmp_path: Path) -> None:
    datasets = cine(4, 3)
    for ds in datasets.values():
        ds.InstanceNumber = 100 - ds.InstanceNumber
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match="InstanceNumber falls while TriggerTime grows") as caught:
        assert in_order(read_image(tmp_path).data.numpy())
    assert len(caught) == 1


def test_two_frames_run_the_same_way_in_all_slices(tmp_path: Path) -> None:
    datasets = cine(2, 4)
    datasets[1, 2].TriggerTime = -5.0
    save(tmp_path, datasets)
    with pytest.warns(InputWarning, match="TriggerTime contradicts .* order of InstanceNumber"):
        image = read_image(tmp_path)
    assert in_order(image.data.numpy())


def test_pictures_at_one_place_and_time_are_refused(tmp_path: Path) -> None:
    datasets = cine(4, 2)  # two kinds of pictures, without a word which is which
    for (t, _), ds in datasets.items():
        ds.TriggerTime = 40.0 * (t // 2)
    with pytest.raises(InputError, match=r"one picture for each slice and time, .* into a folder of their own"):
        read_image(save(tmp_path, datasets))


def test_times_and_numbers_that_decide_nothing_are_refused(tmp_path: Path) -> None:
    datasets = cine(6, 2)
    datasets[2, 1].TriggerTime, datasets[3, 1].InstanceNumber = 1e4, 900
    with pytest.raises(InputError, match="the two contradict each other"):
        read_image(save(tmp_path, datasets))


def test_frames_that_take_longer_than_a_beat(tmp_path: Path) -> None:
    datasets = cine()
    for ds in datasets.values():
        ds.NominalInterval = 100
    with pytest.warns(InputWarning, match=r"TriggerTime spans 160 ms, the heart beat .* 100 ms: TriggerTime taken"):
        assert read_image(save(tmp_path, datasets)).frame_duration == pytest.approx(0.04)
