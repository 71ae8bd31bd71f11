r"""The trainings of the lesson, one after the other: auto-encoder, T-L network, segmenters and restorers.

Each is handed to `train`, which is `Run.train`: longer runs keep it under its name, and go on where they were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from cardiolearn.methods.shape.acnn import CodePrior, code_variance
from cardiolearn.methods.shape.autoencoder import AutoEncoder
from cardiolearn.methods.shape.codes import codes_of_images, codes_of_labels
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.phantom_hearts import Hearts, StackHearts, each_once
from cardiolearn.methods.shape.restoring import Restorer, TrainingRestoring, with_motion_alone
from cardiolearn.methods.shape.tasks import STACKS, Task
from cardiolearn.methods.shape.tl_network import TLNetwork
from cardiolearn.methods.shape.training_codes import TrainingPredictor, TrainingTL
from cardiolearn.methods.shape.training_volumes import TrainingMasks
from cardiolearn.methods.shape.volume_source import FixedVolumes
from cardiolearn.phantom.cohorts.volume_maps import VolumeMaps
from cardiolearn.phantom.cohorts.volume_rendering import without_motion

Train = Callable[..., Any]  # network, data, name and steps to the training's history
STRENGTH = 0.01  # lambda 1, of the distance of codes as `code_distance` normalises it; chosen on held-out hearts
TOGETHER = 0.1  # of the codes' distance beside the cross-entropy, in the last stage of the T-L network
WEIGHT_DECAY = 1e-5  # lambda 2
_PICTURED = 16  # subjects whose pictures tell how much a predictor's codes vary


def train_autoencoder(
    train: Train, task: Task, hearts: Hearts, n: int, steps: int, seed: int, *, faulty: bool = True
) -> Any:
    r"""The auto-encoder of a task (stage 1a) learns from the first `n` hearts, with `faulty` from spoilt masks of them;
    the network and its history."""
    network = task.autoencoder(seed)
    data = TrainingMasks(FixedVolumes(hearts.labels), n, n_classes=task.n_classes, faulty=faulty)
    return network, train(network, data, f"acnn_{task.name}_masks{'' if faulty else '_clean'}", steps)


def judge(autoencoder: AutoEncoder, task: Task, hearts: Hearts, strength: float = STRENGTH) -> CodePrior:
    r"""The prior of an auto-encoder, frozen: its codes' variance is that over these `hearts`."""
    encoder = frozen(autoencoder.encoder)
    return CodePrior(encoder, code_variance(codes_of_labels(encoder, hearts.labels, task.n_classes)), strength)


def train_tl(train: Train, autoencoder: AutoEncoder, hearts: StackHearts, n: int, steps: int, seed: int) -> TLNetwork:
    r"""The T-L network, begun with a trained `autoencoder` (stage 1a): the predictor alone (1b), then all of it (2),
    `steps` each, on thin slices."""
    network = TLNetwork(STACKS.grid, STACKS.n_classes, seed=seed)
    network.autoencoder.load_state_dict(autoencoder.state_dict())
    thin = replace(hearts, thin=True)
    prior = judge(autoencoder, STACKS, hearts)
    alone = TrainingPredictor(thin, n, encoder=prior.encoder, variance=prior.variance)
    train(network.predictor, alone, "acnn_tl_predictor", steps)
    train(network, TrainingTL(thin, n, batch=4, strength=TOGETHER), "acnn_tl", steps)
    return network


def train_restorers(
    train: Train, network: TLNetwork, hearts: StackHearts, n: int, steps: int, seed: int
) -> dict[str, nn.Module]:
    r"""Four restorers of thin slices: `"plain"` and `"constrained"`, and both again with motion augmentation.

    The prior's codes are those that the T-L network's predictor reads in pictures. Slices are there, and of full
    contrast: only their shifts make the difference.
    """
    all_there = with_motion_alone(hearts)
    predictor = frozen(network.predictor)
    few = VolumeMaps(hearts.maps.tissue[:_PICTURED], hearts.maps.label[:_PICTURED])
    pictures, _ = each_once(replace(all_there, maps=few, thin=True), seed)
    prior = CodePrior(predictor, code_variance(codes_of_images(predictor, pictures)), STRENGTH)
    networks: dict[str, nn.Module] = {}
    for motion in (False, True):
        seen = all_there if motion else replace(all_there, degradation=without_motion(all_there.degradation))
        for name, chosen in {"plain": None, "constrained": prior}.items():
            title = f"{name}, motion" if motion else name
            networks[title] = Restorer(seed=seed)
            data = TrainingRestoring(seen, n, prior=chosen)
            train(networks[title], data, f"acnn_sr_{name}{'_motion' if motion else ''}", steps)
    return networks
