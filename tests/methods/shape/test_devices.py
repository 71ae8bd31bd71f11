r"""Shapes are learnt, judged and walked through where they are: nothing is made on the default device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hearts import seeded, shell_hearts

from cardiolearn.imaging.image import Image
from cardiolearn.measures.plausibility import faults
from cardiolearn.methods.shape.acnn import CodePrior, code_variance
from cardiolearn.methods.shape.codes import MaskComponents, codes_of_images, codes_of_labels, walk
from cardiolearn.methods.shape.evaluation import segment_all, versus_truth
from cardiolearn.methods.shape.frozen import frozen
from cardiolearn.methods.shape.receptive_field import effective_receptive_field, effective_width
from cardiolearn.methods.shape.segmenter import Segmenter
from cardiolearn.methods.shape.tl_network import TLNetwork
from cardiolearn.methods.shape.training_codes import TrainingPredictor, TrainingTL
from cardiolearn.methods.shape.training_volumes import HeartBatches, TrainingMasks, TrainingVolumes
from cardiolearn.methods.shape.volume_source import FixedVolumes

GRID = (16, 16, 16)
CPU = torch.device("cpu")


@pytest.fixture
def networks() -> tuple[TLNetwork, Segmenter]:
    return TLNetwork(GRID).eval(), Segmenter(upsampling=4, filters=(4, 4)).eval()


@pytest.fixture
def source() -> FixedVolumes:
    return FixedVolumes(shell_hearts(6, GRID), torch.rand(6, 1, *GRID, generator=seeded()))


@pytest.fixture
def elsewhere(networks: tuple[TLNetwork, Segmenter], source: FixedVolumes) -> Iterator[None]:
    with torch.device("meta"):
        yield


@pytest.mark.usefixtures("elsewhere")
def test_batches_losses_and_scores(networks: tuple[TLNetwork, Segmenter], source: FixedVolumes) -> None:
    network, segmenter = networks
    encoder = frozen(network.autoencoder.encoder)
    variance = code_variance(codes_of_labels(encoder, source.labels))
    assert source.images is not None
    thick = FixedVolumes(source.labels, source.images[:, :, ::4])
    for data, net in (
        (TrainingMasks(FixedVolumes(source.labels), 4), network.autoencoder),
        (TrainingPredictor(source, 4, encoder=encoder, variance=variance), network.predictor),
        (TrainingTL(source, 4, strength=0.1), network),
        (TrainingVolumes(thick, 4, prior=CodePrior(encoder, variance, 0.1)), segmenter),
    ):
        assert isinstance(data, HeartBatches)
        inputs, labels = data(0, torch.Generator(CPU).manual_seed(0))
        assert inputs.device == labels.device == CPU
        assert data.loss(net(inputs), labels).device == CPU  # type: ignore[attr-defined]
        assert np.isfinite(data.held_out_score(net))  # type: ignore[attr-defined]


@pytest.mark.usefixtures("elsewhere")
def test_codes_fields_and_evaluation(networks: tuple[TLNetwork, Segmenter], source: FixedVolumes) -> None:
    network, segmenter = networks
    assert source.images is not None
    code = codes_of_images(network.predictor, source.images)[0]
    assert walk(network.autoencoder.decoder, code, code, [-1.0, 1.0]).device == CPU
    assert MaskComponents.fit(source.labels, 3).of(source.labels).device == CPU
    field = effective_receptive_field(segmenter, (1, 4, 16, 16), torch.Generator(CPU).manual_seed(0), 1)
    assert field.device == CPU and len(effective_width(field)) == 3
    cases = [("a", "ED"), ("a", "ES")]
    found = segment_all(segmenter, source.images[:2, :, ::4], cases, (1.0, 1.0, 1.0))
    truth = {case: Image(source.labels[i], np.eye(4)) for i, case in enumerate(cases)}
    assert len(versus_truth(truth, {"segmenter": found})) == 2
    assert faults(truth[cases[0]]) == []
