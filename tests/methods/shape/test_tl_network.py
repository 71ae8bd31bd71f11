r"""The T-L network: two ways to one code, packed into one tensor and taken apart again."""

from __future__ import annotations

import pytest
import torch
from hearts import seeded
from torch import nn

from cardiolearn.methods.shape.tl_network import TLNetwork, parts, reader
from cardiolearn.methods.shape.training_codes import TrainingTL
from cardiolearn.methods.shape.volume_source import FixedVolumes

GRID = (16, 17, 18)


def test_what_comes_apart_is_what_its_parts_say() -> None:
    network = TLNetwork(GRID, 3).eval()
    masks, images = torch.rand(2, 3, *GRID, generator=seeded()), torch.rand(2, 1, *GRID, generator=seeded(1))
    found = parts(network(torch.cat((masks, images), 1)), 3, GRID)
    torch.testing.assert_close(found.logits, network.autoencoder(masks))
    torch.testing.assert_close(found.mask_code, network.autoencoder.encoder(masks))
    torch.testing.assert_close(found.image_code, network.predictor(images))
    torch.testing.assert_close(reader(network)(images), network.autoencoder.decoder(found.image_code))


def test_the_predictor_is_the_encoder_with_one_channel_and_weights_of_its_own() -> None:
    network = TLNetwork(GRID)
    encoder, predictor = ([m for m in net.modules() if isinstance(m, nn.Conv3d | nn.Linear)]
                          for net in (network.autoencoder.encoder, network.predictor))  # fmt: skip
    assert [m.weight.shape for m in encoder[1:]] == [m.weight.shape for m in predictor[1:]]
    assert (encoder[0].in_channels, predictor[0].in_channels) == (4, 1)
    assert not torch.equal(encoder[-1].weight, predictor[-1].weight)


def test_no_tensor_stays_behind() -> None:
    network = TLNetwork(GRID).to("meta")
    labels = torch.empty(2, *GRID, dtype=torch.uint8, device="meta")
    data = TrainingTL(FixedVolumes(labels), 1, strength=1.0)
    data.loss(network(torch.empty(2, 5, *GRID, device="meta")), labels).backward()
    assert all(p.grad is not None and p.grad.is_meta for p in network.parameters())


def test_another_shape_is_refused() -> None:
    for shape in [(1, 4, *GRID), (1, 5, 16, 16, 16), (5, *GRID)]:
        with pytest.raises(ValueError, match=r"TLNetwork: expected \(N, 5, 16, 17, 18\), got"):
            TLNetwork(GRID)(torch.zeros(shape))
