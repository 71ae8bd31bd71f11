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
from cardiolearn.methods.shape.tasks import Task
from cardiolearn.methods.shape.training_volumes import found_volumes
from cardiolearn.methods.shape.volume_source import Batch

THROUGH = "through its code"  # ends the names of hearts that a decoder made
SHOWN = {"code": "code loss", "dice": "Dice", "hausdorff": "Hausdorff distance (mm)", "implausible": "implausible"}


def through_code(
    networks: Mapping[str, nn.Module], autoencoder: AutoEncoder, prior: CodePrior, task: Task, scans: Batch
) -> tuple[pd.DataFrame, dict[str, Any]]:
    r"""What networks find, as it is, and as the auto-encoder rebuilds it from its code: a heart from 64 numbers.

    Args:
        networks: segmenters by name; the last one is pictured with what its code means.
        prior: its encoder and variance tell how far the code of what was found lies from the true heart's.
        scans: pictures and labels of hearts, each scanned once.

    Returns:
        `evaluation.versus_truth` with the column `code`, the code loss of each heart; and the `pictures.rows_of` the
        worst, the median and the best scan of the last network.
    """
    images, labels = scans
    names, spacing = cases(len(labels)), (task.spacing,) * 3
    volumes: dict[str, Tensor] = {}
    for name, network in networks.items():
        volumes[name] = found_volumes(network, images)
        volumes[f"{name}, {THROUGH}"] = found_volumes(autoencoder, one_hot(volumes[name], task.n_classes))
    found = {name: as_found(volume, names, spacing) for name, volume in volumes.items()}
    truth = as_found(labels, names, spacing)
    table = versus_truth(truth, found, task.among)
    apart = {name: _code_losses(volume, labels, prior, task) for name, volume in volumes.items()}
    table["code"] = [loss for name in found for loss in apart[name]]
    strongest = list(networks)[-1]
    drawn = {name: those for name, those in found.items() if THROUGH not in name or name.startswith(strongest)}
    chosen = ranked(table[table["method"] == strongest])
    return table, rows_of(chosen, dict(zip(names, images[:, 0], strict=True)), truth, drawn)


@torch.no_grad()
def _code_losses(found: Tensor, labels: Tensor, prior: CodePrior, task: Task) -> list[float]:
    encoder, losses = prior.encoder, []
    device = next(encoder.parameters()).device
    for pair in zip(found.split(1), labels.split(1), strict=True):
        ours, theirs = (one_hot(volume.to(device), task.n_classes) for volume in pair)
        losses.append(code_distance(encoder, ours, theirs, prior.variance).item())
    return losses
