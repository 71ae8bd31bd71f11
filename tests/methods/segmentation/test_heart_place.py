r"""Where the heart is and how large: its middle and its zoom in closed form, on the plan of each view."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hearts import ReadsGrey, ringed_heart, seeded

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.slices import Stack, stack
from cardiolearn.imaging.structures import LABELS, VIEWS
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.heart_place import (
    BATCH,
    LONG_AXIS,
    SHORT_AXIS,
    WINDOW,
    ViewPlan,
    find_heart,
    plan_of,
    probabilities,
    telling_frames,
)


def test_each_view_has_its_plan_and_an_unknown_one_is_refused() -> None:
    assert [plan_of(view) for view in VIEWS] == [SHORT_AXIS, LONG_AXIS, LONG_AXIS]
    assert plan_of("la") is LONG_AXIS
    for wrong in ("la_3ch", "short", ""):
        with pytest.raises(InputError, match=f"view: expected sa, la_2ch, la_4ch or la, got '{wrong}'"):
            plan_of(wrong)


@pytest.mark.parametrize("plan", [SHORT_AXIS, LONG_AXIS])
def test_a_plan_holds_each_structure_in_one_part_and_fits_its_network(plan: ViewPlan) -> None:
    labels = [label for part in plan.parts for label in part]
    assert sorted(labels) == list(range(1, plan.n_classes)) and set(labels) <= set(LABELS.values())
    assert set(plan.around) <= set(labels) and plan.smallest < plan.average
    network = FCN(plan.n_classes).eval()
    assert probabilities(network, torch.rand(1, 1, 32, 32)).shape[1] == plan.n_classes


@pytest.mark.parametrize(
    "shape", [(2 * BATCH + 3, 1, 32, 48), (BATCH + 2, 1, WINDOW, WINDOW), (3, 1, 4 * WINDOW, 3 * WINDOW)]
)
def test_probabilities_are_those_of_all_pictures_at_once(shape: tuple[int, ...]) -> None:
    sizes: list[int] = []

    class Counts(ReadsGrey):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(x.numel())
            return super().forward(x)

    pictures, network = torch.rand(shape, generator=seeded()), Counts()
    found = probabilities(network, pictures)
    expected = torch.softmax(ReadsGrey()(pictures), 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert max(sizes) <= max(BATCH * WINDOW**2, pictures[0].numel())  # memory does not grow with the scan
    assert max(sizes) < 2 * min(sizes)  # a small last batch costs nearly as much as a full one


def cylinder(radius: float, centre: tuple[float, float], pixel: tuple[float, float] = (1.5, 1.5), n: int = 4) -> Stack:
    r"""Slices of a bright cavity in a grey wall, `radius` mm outside, the `centre` (y, x) in pixels."""
    y, x = np.indices((140, 150))
    away = np.hypot((y - centre[0]) * pixel[0], (x - centre[1]) * pixel[1])
    grey = np.select([away < 0.7 * radius, away < radius], [100.0, 60.0], 1.0).astype(np.float32)
    return Stack(torch.from_numpy(grey).repeat(1, n, 1, 1), pixel, lambda labels: labels)


@pytest.mark.parametrize("plan", [SHORT_AXIS, LONG_AXIS])
@pytest.mark.parametrize(
    ("radius", "centre", "pixel"),
    [(32.0, (70.0, 75.0), (1.5, 1.5)), (25.0, (48.0, 90.0), (1.5, 1.5)), (38.0, (80.0, 60.0), (1.3, 1.8))],
)
def test_a_round_heart_is_found_in_its_middle_at_its_size(
    plan: ViewPlan, radius: float, centre: tuple[float, float], pixel: tuple[float, float]
) -> None:
    levels = (0.0, 1.0, 0.6, 5.0, 5.0, 5.0)[: plan.n_classes]
    place = find_heart(ReadsGrey(levels), cylinder(radius, centre, pixel), plan)
    assert place is not None
    assert place.centre == pytest.approx(centre, abs=0.6)  # pixels
    assert place.zoom == pytest.approx(radius / plan.average, rel=0.04)


@pytest.mark.parametrize(("radius", "zoom"), [(9.0, 0.4), (60.0, 1.6)])
def test_the_zoom_keeps_within_its_bounds(radius: float, zoom: float) -> None:
    place = find_heart(ReadsGrey(), cylinder(radius, (70.0, 75.0)), SHORT_AXIS)
    assert place is not None and place.zoom == pytest.approx(zoom)


@pytest.mark.parametrize(("reach", "size"), [(32, 96), (61, 96), (64, 112), (73, 112), (77, 128), (95, 128)])
def test_the_window_holds_all_of_the_heart_and_a_margin(reach: float, size: int) -> None:
    r"""A right ventricle reaches `reach` mm from the middle of a heart of average size: twice that and 10 mm more, in
    pixels of 1.5 mm, rounded up to a multiple of 16. Something bright that does not touch the heart does not count."""
    pictures = cylinder(SHORT_AXIS.average, (70.0, 75.0))
    y, x = np.indices((140, 150))
    beside = (abs(y - 70) < 8) & (x > 75) & (x <= 75 + reach / 1.5)
    far = (y > 130) & (x < 4)
    pictures.data[..., torch.from_numpy((beside | far) & (pictures.data[0, 0].numpy() < 2))] = 30.0
    place = find_heart(ReadsGrey(), pictures, SHORT_AXIS)
    assert place is not None and place.zoom == pytest.approx(1.0, rel=0.03)
    assert place.size == size


def test_in_a_cine_the_first_frame_and_one_near_end_systole_are_looked_at() -> None:
    r"""Of five frames the first and the third: hearts elsewhere in the other ones are not seen."""
    still, moved = (cylinder(30.0, centre).data for centre in ((60.0, 60.0), (90.0, 90.0)))
    nothing = torch.zeros_like(still)
    for frames in ((still, moved, nothing, moved, moved), (nothing, moved, still, moved, moved)):
        seen = telling_frames(Image(torch.cat(frames).to(torch.int16), np.diag([1.5, 1.5, 8.0, 1.0])))
        place = find_heart(ReadsGrey(), Stack(seen.data, (1.5, 1.5), lambda labels: labels), SHORT_AXIS)
        assert place is not None and place.centre == pytest.approx((60.0, 60.0), abs=0.6)


def test_of_two_bright_rings_the_larger_is_the_heart_and_nothing_is_found_in_the_dark() -> None:
    two = cylinder(30.0, (60.0, 50.0)).data
    two = torch.maximum(two, cylinder(14.0, (60.0, 120.0)).data)
    place = find_heart(ReadsGrey(), Stack(two, (1.5, 1.5), lambda labels: labels), SHORT_AXIS)
    assert place is not None and place.centre == pytest.approx((60.0, 50.0), abs=0.6)
    nothing = Stack(torch.zeros(1, 3, 40, 50), (1.5, 1.5), lambda labels: labels)
    assert find_heart(ReadsGrey(), nothing, SHORT_AXIS) is None


def test_the_right_ventricle_beside_it_does_not_shift_the_short_axis_middle() -> None:
    image: Image = ringed_heart()[0]
    pictures = stack(image)
    place = find_heart(ReadsGrey(), pictures, SHORT_AXIS)
    assert place is not None
    # The network's order shows the patient's left on the right and the feet below: this grid is turned by half a turn.
    assert place.centre == pytest.approx((79 - 40, 89 - 45), abs=0.8)
    assert place.zoom == pytest.approx(30.0 / SHORT_AXIS.average, rel=0.05)
