r"""Hearts that pass through a code: does a segmentation have the right code, and which heart does that code mean?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from cardiolearn.methods.shape.acnn import CodePrior, code_distance
from cardiolearn.methods.shape.autoencoder import AutoEncoder
from cardiolearn.methods.shape.evaluation import as_found, versus_truth
from cardiolearn.methods.shape.label_volumes import one_hot
from cardiolearn.methods.shape.phantom_hearts import cases
from cardiolearn.methods.shape.pictures import ranked, rows_of
from cardiolearn.methods.shape.soft_masks import blur
from cardiolearn.methods.shape.tasks import Task
from cardiolearn.methods.shape.training_volumes import found_volumes
from cardiolearn.methods.shape.volume_source import Batch

THROUGH, SMOOTHED = "through its code", "smoothed"  # end the names of what is made of a network's hearts
SHOWN = {
    "code": "code loss to the truth", "own": "code loss to the mask itself", "dice": "Dice",
    "hausdorff": "Hausdorff distance (mm)", "implausible": "implausible",
}  # fmt: skip


def through_code(
    networks: Mapping[str, nn.Module], autoencoder: AutoEncoder, prior: CodePrior, task: Task, scans: Batch
) -> tuple[pd.DataFrame, dict[str, Any]]:
    r"""What networks find: as it is; smoothed (the likeliest label after a blur); and as the auto-encoder rebuilds it
    from its code, a heart made of 64 numbers.

    Args:
        networks: segmenters by name; the last one is pictured with what its code means.
        prior: its encoder and variance tell how far codes lie apart.
        scans: pictures and labels of hearts, each scanned once.

    Returns:
        `evaluation.versus_truth` with the code loss of each heart to the truth (`code`) and to the mask that the
        network found (`own`); and the `pictures.rows_of` the worst, the median and the best scan of the last network.
    """
    images, labels = scans
    names, spacing = cases(len(labels)), (task.spacing,) * 3
    truth, tables = as_found(labels, names, spacing), []
    drawn: dict[str, Any] = {}
    last = list(networks)[-1]
    for name, network in networks.items():
        made = _made_of(found_volumes(network, images), autoencoder, task)
        found = {f"{name}{ending}": as_found(volume, names, spacing) for ending, volume in made.items()}
        table = versus_truth(truth, found, task.among)
        for column, aim in {"code": labels, "own": made[""]}.items():
            table[column] = [loss for volume in made.values() for loss in _code_losses(volume, aim, prior, task)]
        tables.append(table)
        shown = (name, f"{name}, {THROUGH}") if name == last else (name,)
        drawn |= {one: found[one] for one in shown}
    table = pd.concat(tables)
    chosen = ranked(table[table["method"] == last])
    return table, rows_of(chosen, dict(zip(names, images[:, 0], strict=True)), truth, drawn)


def _made_of(volume: Tensor, autoencoder: AutoEncoder, task: Task) -> dict[str, Tensor]:
    r"""By the ending of a name: what was found `(N, Z, Y, X)`, smoothed, and rebuilt by the auto-encoder."""
    masks = [one_hot(part, task.n_classes) for part in volume.split(4)]
    smooth = torch.cat([blur(part).argmax(1).to(torch.uint8) for part in masks])
    rebuilt = torch.cat([found_volumes(autoencoder, part) for part in masks])
    return {"": volume, f", {SMOOTHED}": smooth, f", {THROUGH}": rebuilt}


@torch.no_grad()
def _code_losses(found: Tensor, wanted: Tensor, prior: CodePrior, task: Task) -> list[float]:
    encoder, losses = prior.encoder, []
    device = next(encoder.parameters()).device
    for pair in zip(found.split(1), wanted.split(1), strict=True):
        ours, theirs = (one_hot(volume.to(device), task.n_classes) for volume in pair)
        losses.append(code_distance(encoder, ours, theirs, prior.variance).item())
    return losses
