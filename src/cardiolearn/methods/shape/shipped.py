r"""The networks whose weights ship with the kit, by the names of the weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from cardiolearn.methods.shape.pairs import PAIR
from cardiolearn.methods.shape.tasks import STACKS

SHIPPED: dict[str, Callable[[], nn.Module]] = {
    "acnn_stacks_masks": partial(STACKS.autoencoder, 0),
    **{f"acnn_stacks_{name}": partial(STACKS.segmenter, 0) for name in PAIR},
}
