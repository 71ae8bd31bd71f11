r"""A scan in any order and orientation comes to the lesson's grid as a training heart lies there."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch

from cardiolearn.errors import InputError
from cardiolearn.imaging.image import Image, resample
from cardiolearn.measures.metrics import dice
from cardiolearn.methods.shape.own_grid import own_stack
from cardiolearn.phantom.cohorts.volume_maps import SHAPE, SPACING, VolumeMaps, sample_volume
from cardiolearn.phantom.cohorts.volume_rendering import STACK_SHAPE


@cache
def heart() -> VolumeMaps:
    return sample_volume(3)


def in_a_patient(values: torch.Tensor, turn: float, backwards: bool) -> Image:
    r"""Thin slices `SHAPE` as the heart lies in a patient: turned, moved, and stored from apex to base, if wanted.

    The grid's axes are a left-handed triple in the patient: to the right, down, to the apex.
    """
    c, s = math.cos(turn), math.sin(turn)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.diag([SPACING, -SPACING, SPACING])
    affine[:3, 3] = [40.0, -25.0, 60.0]
    if backwards:
        affine[:3, 3] += affine[:3, 2] * (SHAPE[0] - 1)
        affine[:3, 2] *= -1
        values = values.flip(0)
    return Image(values, affine)


@pytest.mark.parametrize(("turn", "backwards"), [(0.0, False), (0.7, False), (2.5, True), (-1.2, True)])
def test_the_heart_lies_as_a_training_heart_does(turn: float, backwards: bool) -> None:
    labels = heart().label[0, 0]
    here = in_a_patient(labels, turn, backwards)
    own = own_stack(in_a_patient(labels.float(), turn, backwards), here)
    found = resample(here, own.affine, SHAPE, order=0).data
    assert own.found(found).spacing == pytest.approx((SPACING,) * 3)
    assert dice(found > 0, labels > 0) > 0.85  # training grids are turned and shifted a little at random
    middles = {k: torch.nonzero(found == k).float().mean(0) for k in (1, 2, 3)}
    assert middles[3][2] < middles[1][2] - 5  # the right ventricle on the left
    area = [(found[z] > 0).sum() for z in (20, 45)]
    assert area[0] > area[1]  # from base to apex
    theirs = in_a_patient(labels, turn, False).affine[:3, :3]
    along = (own.affine[:3, :3].T @ theirs) / SPACING**2
    assert (np.diag(along) > 0.9).all()  # neither upside down nor seen in a mirror


def test_the_stack_is_thick_slices_of_it_and_the_grey_scale_is_that_of_training() -> None:
    grey = torch.tensor([0.1, 1.0, 0.4, 0.9])[heart().label[0, 0].long()] + 0.01 * torch.rand(SHAPE)
    own = own_stack(in_a_patient(900 * grey, 0.4, False), in_a_patient(heart().label[0, 0], 0.4, False))
    assert own.stack.shape == (1, 1, *STACK_SHAPE) and own.stack.min() == 0.0 and own.stack.max() == 1.0
    thin = resample(in_a_patient(900 * grey, 0.4, False), own.affine, SHAPE).data
    picture = own.stack[0, 0, 7].flatten()
    between = thin[29:31].mean(0).flatten()  # the middle of thick slice 7 lies between thin ones 29 and 30
    assert np.corrcoef(picture, between)[0, 1] > 0.99


def test_where_a_scan_ends_the_stack_is_empty_as_missing_slices_are() -> None:
    labels = heart().label[0, 0]
    whole = in_a_patient(labels.float() + 1, 0.0, False)
    short = Image(whole.data[:40], whole.affine)
    own = own_stack(short, Image(labels[:40], whole.affine))
    assert (own.stack[0, 0].flatten(1).amax(1) == 0).sum() >= 2


def test_an_outline_without_both_ventricles_is_refused() -> None:
    labels = heart().label[0, 0]
    with pytest.raises(InputError, match="both ventricles, one is missing"):
        own_stack(in_a_patient(labels.float(), 0.0, False), in_a_patient(labels * (labels < 3), 0.0, False))
