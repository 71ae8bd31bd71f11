r"""Hearts are drawn, scanned and rendered on the device they are given: nothing is made on the default device.

There need not be an accelerator to see it: with `meta` as the default device, a tensor that was made without naming one
holds no numbers, and to mix it with those of the CPU is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hearts import COARSE, seeded

from cardiolearn.phantom.body.scene import Scene
from cardiolearn.phantom.body.subject import sample_subject
from cardiolearn.phantom.cohorts.rendering import render_batch
from cardiolearn.phantom.cohorts.slice_maps import SliceMaps, sample_long_axis_slices, sample_slices
from cardiolearn.phantom.cohorts.ultrasound_volumes import render_ultrasound, sample_beams
from cardiolearn.phantom.cohorts.volume_maps import sample_volume
from cardiolearn.phantom.cohorts.volume_rendering import render_stacks
from cardiolearn.phantom.scanners.acquisition import Scan, scan_short_axis
from cardiolearn.phantom.scanners.artefacts import KINDS, degrade
from cardiolearn.phantom.scanners.crossing_views import crossing, long_axis_picture
from cardiolearn.phantom.scanners.long_axis import LONG_AXIS_VIEWS, plan_long_axis, scan_long_axis
from cardiolearn.phantom.scanners.thick_slices import clinical_stack
from cardiolearn.phantom.scanners.thin_slices import SPACING, scan_high_resolution

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def elsewhere() -> Iterator[None]:
    with torch.device("meta"):
        yield


def scene() -> Scene:
    return Scene(sample_subject(1, cohort="test", group="HCM"), CPU)


def test_scans_are_made_where_the_scene_is() -> None:
    here = scene()
    scans = [scan_short_axis(here, COARSE, (0.0, 1.0), seed=1, shape=(24, 28))]
    scans += [scan_long_axis(here, COARSE, view, (0.5,), seed=1, shape=(24, 28)) for view in LONG_AXIS_VIEWS]
    for scan in scans:
        assert scan.image.data.device == scan.labels.data.device == CPU
        assert scan.image.data.std() > 0.0 and scan.labels.data.any()


def thin() -> tuple[Scene, Scan]:
    here = scene()
    return here, scan_high_resolution(here, COARSE, (0.0, 1.0), seed=1, shape=(20, 24, 28))


def test_thin_slices_stacks_and_crossing_views_are_made_where_the_volume_is() -> None:
    here, scan = thin()
    assert scan.image.data.device == scan.labels.data.device == CPU
    stack = clinical_stack(scan.image.data, SPACING, seeded())
    where = crossing(plan_long_axis(here, "la_4ch", seeded()), scan.image.affine)
    picture = long_axis_picture(scan.image.data[0], SPACING, where, seeded())
    assert stack.device == picture.device == CPU and picture[1].any()
    for kind in KINDS:
        assert degrade(scan.image.frame(0), kind, 0.5, seeded()).data.device == CPU


@pytest.mark.parametrize("upright", [True, False])
def test_batches_are_rendered_where_the_maps_are(upright: bool) -> None:
    tissue = torch.randint(38, (4, 3, 208, 208), generator=seeded(), device=CPU).to(torch.uint8)
    maps, picks = SliceMaps(tissue, tissue[:, 1] % 4), torch.arange(3, device=CPU)
    images, labels = render_batch(maps, picks, seeded(1), size=64, upright=upright)
    assert images.device == labels.device == CPU and images.std() > 0.0


def test_training_slices_are_drawn_on_the_device_that_is_given() -> None:
    for sample in (sample_slices, sample_long_axis_slices):
        maps = sample(0, device=CPU)
        assert maps.tissue.device == maps.label.device == CPU and maps.label.any()


def test_whole_hearts_are_sampled_and_their_stacks_rendered_on_the_device_that_is_given() -> None:
    maps = sample_volume(0, device=CPU)
    found = render_stacks(maps, torch.arange(2, device=CPU), seeded())
    assert found.stack.device == found.thin.device == found.label.device == CPU
    assert found.stack.std() > 0.0 and found.label.any()


def test_ultrasound_is_scanned_on_the_device_that_is_given() -> None:
    picture, label = render_ultrasound(sample_beams(0, device=CPU), torch.arange(2, device=CPU), seeded())
    assert picture.device == label.device == CPU
    assert picture.std() > 0.0 and label.any()
