r"""The frames of a slice in the order of time: by TriggerTime, unless InstanceNumber shows it to be wrong."""

from __future__ import annotations

import numpy as np

from cardiolearn.errors import InputError
from cardiolearn.imaging.dicom_file import Picture
from cardiolearn.imaging.image import plausible_frame_duration

_LONGER_THAN_A_BEAT = 1.3


def in_order_of_time(folder: str, slices: list[list[Picture]], remarks: list[str]) -> list[list[Picture]]:
    r"""The pictures of each slice in the order of time; what was chosen on the way is added to `remarks`.

    TriggerTime decides. Where it is absent or the same for all, InstanceNumber does; where the two contradict each
    other, the one whose steps are even.

    Raises:
        InputError: two pictures at one place and time, or times and numbers that contradict each other.
    """
    keyed = [_Slice(members) for members in slices]
    # A scanner may number backwards, but not some slices one way and some the other.
    backwards = sum(s.direction for s in keyed) < 0
    if backwards:
        remarks.append("InstanceNumber falls while TriggerTime grows: frames are in the order of TriggerTime")
    steps = np.concatenate([np.diff(np.sort(s.times[np.isfinite(s.times)])) for s in keyed])
    usual = float(np.median(steps)) if len(steps) else 0.0
    return [[s.members[i] for i in s.order(folder, backwards, usual, remarks)] for s in keyed]


def frame_duration(slices: list[list[Picture]], remarks: list[str]) -> float | None:
    r"""Seconds between frames: the median step of the trigger times, else the RR interval over the frames."""
    steps = np.diff([[p.trigger_time for p in members] for members in slices], axis=1)
    beats = [p.rr_interval for members in slices for p in members if np.isfinite(p.rr_interval)]
    beat = float(np.median(beats)) if beats else float("nan")
    duration = plausible_frame_duration(float(np.nanmedian(steps)) / 1e3) if np.isfinite(steps).any() else None
    n_frames = len(slices[0])
    if duration and beat > 0 and duration * n_frames > _LONGER_THAN_A_BEAT * beat / 1e3:
        remarks.append(
            f"TriggerTime spans {1e3 * duration * n_frames:.0f} ms, the heart beat (NominalInterval) {beat:.0f} ms: "
            "TriggerTime taken"
        )
    return duration or plausible_frame_duration(beat / n_frames / 1e3)


class _Slice:
    r"""The pictures of one slice, with the two keys that may order them."""

    def __init__(self, members: list[Picture]) -> None:
        self.members = members
        self.times = np.array([p.trigger_time for p in members])
        self.numbers = np.array([p.number for p in members])
        self.by_time, self.by_number = _ascending(self.times), _ascending(self.numbers)

    @property
    def direction(self) -> int:
        r"""Do most numbers grow (1) or fall (-1) with time? 0 where it is not known."""
        if self.by_number is None:
            return 0
        steps = np.diff(self.times[self.by_number])
        return int(np.sign(np.sign(steps[np.isfinite(steps)]).sum()))

    def order(self, folder: str, backwards: bool, usual_step: float, remarks: list[str]) -> np.ndarray:
        r"""Indices of the pictures in the order of time; `usual_step` is that between trigger times in all slices."""
        name = self.members[0].name
        if len(self.members) == 1:
            return np.array([0])
        if _each_repeated(self.times):
            raise InputError(
                f"{folder}: expected one picture for each slice and time, {name} shares both with another: put "
                "pictures of another kind (phase, another contrast) into a folder of their own"
            )
        by_time, by_number = self.by_time, self.by_number
        told_apart = len(set(self.times[np.isfinite(self.times)])) > 1
        if by_number is not None and backwards and told_apart:
            by_number = by_number[::-1]
        if by_time is not None and (by_number is None or (by_time == by_number).all()):
            return by_time
        if by_number is not None and not told_apart:
            return by_number
        if by_time is not None and _even(self.times, usual_step):
            remarks.append("InstanceNumber contradicts TriggerTime: frames are in the order of TriggerTime")
            return by_time
        if by_number is not None and _even(self.numbers, float(np.median(np.diff(np.sort(self.numbers))))):
            remarks.append("TriggerTime contradicts InstanceNumber: frames are in the order of InstanceNumber")
            return by_number
        raise InputError(
            f"{folder}: expected one picture for each slice and TriggerTime or InstanceNumber, {name} and others share "
            "both, or the two contradict each other"
        )


def _ascending(keys: np.ndarray) -> np.ndarray | None:
    r"""Indices that sort the keys; None where a key is missing or occurs twice."""
    return np.argsort(keys) if np.isfinite(keys).all() and len(set(keys)) == len(keys) else None


def _each_repeated(times: np.ndarray) -> bool:
    r"""Do several times occur, each equally often and more than once?"""
    counts = np.unique(times, return_counts=True)[1]
    return bool(np.isfinite(times).all()) and len(counts) > 1 and counts.min() == counts.max() > 1


def _even(keys: np.ndarray, step: float) -> bool:
    return bool((np.abs(np.diff(np.sort(keys)) - step) <= 0.5 * step).all())
