r"""The networks whose weights ship with the kit, by the names of the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.heart_place import LONG_AXIS, SHORT_AXIS

SHIPPED: dict[str, Callable[[], nn.Module]] = {
    plan.weights: partial(FCN, plan.n_classes) for plan in (SHORT_AXIS, LONG_AXIS)
}
