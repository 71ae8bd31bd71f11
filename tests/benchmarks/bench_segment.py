r"""What segmenting a cine of 192x208x10x50 costs beside the network alone: the rest may take a third of its time.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/bench_segment.py SCAN  # a short-axis cine, any

The verdict is a ratio of processor times within one run, so that a slow or busy machine does not decide it: all of
`segment_fullest`, finding the heart included, over the network's passes through as many windows as the cine needs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from cardiolearn.imaging.image import Image, resample
from cardiolearn.imaging.reading import read_image
from cardiolearn.learning.weights import load_weights, ready
from cardiolearn.methods.segmentation.fcn import FCN
from cardiolearn.methods.segmentation.heart_place import WINDOW, probabilities
from cardiolearn.methods.segmentation.whole_scan import segment_fullest

SHAPE = (10, 208, 192)  # Z, Y, X
FRAMES = 50
SIDES = 2  # that a long scan is seen from
BAR = 1.33


def cine(scan: Image) -> Image:
    r"""The middle of a scan on the same pixels, its frames repeated."""
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [(n - m) // 2 for n, m in zip(scan.data.shape[:0:-1], SHAPE[::-1], strict=True)]
    there = resample(scan, affine, SHAPE)
    return Image(there.data[torch.arange(FRAMES) % there.n_frames], there.affine)


@torch.no_grad()
def main() -> int:
    r"""Print both times; 1 where their ratio exceeds the bar."""
    network = FCN(4)
    load_weights(network, "fcn_sax")
    network = ready(network, torch.device("cpu"))
    image, windows = cine(read_image(Path(sys.argv[1]))), torch.rand(SHAPE[0], 1, WINDOW, WINDOW)
    probabilities(network, windows)  # to warm up
    start = time.process_time()
    labels = segment_fullest(image, network)[0]
    whole = time.process_time() - start
    start = time.process_time()
    for _ in range(FRAMES * SIDES):
        probabilities(network, windows)
    alone = time.process_time() - start
    assert all(frame.any() for frame in labels.data)
    print(f"segment {whole:.1f} s, the network alone {alone:.1f} s of processor time: {whole / alone:.2f} (bar {BAR})")
    return int(whole / alone > BAR)


if __name__ == "__main__":
    sys.exit(main())
