r"""The networks whose weights ship with the kit, by the names of the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from cardiolearn.methods.superresolution.networks import NETWORKS

SHIPPED: dict[str, Callable[[], nn.Module]] = {"sr_sax": partial(NETWORKS["deconvolution"], 0)}
