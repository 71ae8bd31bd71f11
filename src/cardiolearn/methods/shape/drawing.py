r"""The drawings of the lesson's networks, as the slides have them: auto-encoder, T-L network, ACNN-Seg, ACNN-SR."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cardiolearn.figures.alt_text import describe
from cardiolearn.figures.architecture import Arrow, Block, draw
from cardiolearn.methods.shape.autoencoder import CODE, FILTERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pictures = Mapping[str, NDArray[Any]]
_LARGE, _SMALL = 34, 6  # heights of the boxes of whole volumes and of codes: a drawing, not to scale
_STEPS = (24, 17, 12, 9)  # of the levels between
_CODE = f"{CODE} numbers"


def draw_autoencoder(pictures: Pictures) -> Figure:
    r"""Masks, the levels of the encoder, the code, the levels of the decoder, masks again.

    Args:
        pictures: `(Y, X, 3)` in colours: `"soft"`, what goes in, and `"mask"`, what should come out.
    """
    kinds = {
        "encode": "3x3x3 convolution with stride 2, LeakyReLU",
        "connect": "full connection: each number from all numbers",
        "decode": "3x3x3 deconvolution with stride 2, LeakyReLU",
        "classify": "4x4x4 deconvolution with stride 2, to four scores a voxel",
    }
    blocks = {"in": Block(0, 0, 1, _LARGE, "soft mask", pictures["soft"])}
    for i, (filters, size) in enumerate(zip(FILTERS, _STEPS, strict=True)):
        blocks[f"down {i}"] = Block(0.9 + 0.5 * i, 0, filters, size, "")
        blocks[f"up {i}"] = Block(5.6 - 0.55 * i, 0, filters, size, "")
    blocks["code"] = Block(3.05, 0, CODE, _SMALL, f"code: {_CODE}")
    blocks["out"] = Block(6.9, 0, 1, _LARGE, "mask", pictures["mask"])
    down = ["in", *(f"down {i}" for i in range(len(FILTERS)))]
    up = [f"up {i}" for i in reversed(range(len(FILTERS)))]
    arrows = [Arrow(a, b, "encode") for a, b in pairwise(down)] + [Arrow(a, b, "decode") for a, b in pairwise(up)]
    arrows += [Arrow(down[-1], "code", "connect"), Arrow("code", up[0], "connect"), Arrow("up 0", "out", "classify")]
    alt = f"A soft mask is made smaller in four levels to a code of {_CODE}, and the code is made a mask again"
    return describe(draw(blocks, arrows, kinds), alt)


def draw_tl(pictures: Pictures) -> Figure:
    r"""The T-L network: the auto-encoder above, the predictor, which finds the same code in a picture, below.

    Args:
        pictures: `"mask"` in colours, and `"thin"`, the grey picture `(Y, X)` of the same heart.
    """
    kinds = {
        "encode": "encoder",
        "decode": "decoder",
        "predict": "predictor: as the encoder, with one channel",
        "compare": "a loss (cross-entropy or distance of codes), by the stages that use it",
    }
    blocks = {
        "mask": Block(0, 0, 1, _LARGE, "mask", pictures["mask"]),
        "code": Block(1.6, 0, CODE, _SMALL, "code of the mask"),
        "rebuilt": Block(3.2, 0, 1, _LARGE, "rebuilt mask", pictures["mask"]),
        "thin": Block(0, 1.3, 1, _LARGE, "picture", pictures["thin"]),
        "read": Block(1.6, 1.3, CODE, _SMALL, "code of the picture"),
        "loss": Block(4.8, 0, 1, _SMALL, "1a, 2"),
        "apart": Block(3.2, 1.3, 1, _SMALL, "1b, 2"),
    }
    arrows = [
        Arrow("mask", "code", "encode"), Arrow("code", "rebuilt", "decode"), Arrow("rebuilt", "loss", "compare"),
        Arrow("thin", "read", "predict"), Arrow("read", "apart", "compare"), Arrow("code", "apart", "compare"),
    ]  # fmt: skip
    alt = "An auto-encoder of masks above; below a predictor reads the same code in the picture, and both are compared"
    return describe(draw(blocks, arrows, kinds), alt)


def draw_segmentation(pictures: Pictures) -> Figure:
    r"""ACNN-Seg: the segmenter, and the frozen encoder that compares what it found with the truth.

    Args:
        pictures: `"stack"`, grey, and `"mask"` and `"found"`, in colours.
    """
    names = ("thick slices", "probabilities", "true mask")
    return _constrained(
        (pictures["stack"], pictures["found"], pictures["mask"]), names, "segmenter", "encoder, frozen",
        "cross-entropy $L_x$: voxel by voxel",
    )  # fmt: skip


def draw_super_resolution(pictures: Pictures) -> Figure:
    r"""ACNN-SR: the restorer, and the frozen predictor that compares the hearts in its picture and in the true one.

    Args:
        pictures: grey, `"stack"`, `"found"` (restored) and `"thin"`.
    """
    names = ("thick slices", "restored slices", "thin slices")
    return _constrained(
        (pictures["stack"], pictures["found"], pictures["thin"]), names, "restorer", "predictor, frozen",
        "smooth-L1 $L_x$: voxel by voxel",
    )  # fmt: skip


def _constrained(
    pictures: tuple[NDArray[Any], ...], names: tuple[str, str, str], network: str, judge: str, voxels: str
) -> Figure:
    kinds = {
        "learn": f"{network}, which learns",
        "judge": f"{judge}: it lets gradients through, and does not learn",
        "voxels": voxels,
        "codes": "code loss $L_h$: the heart as a whole",
    }
    blocks = {
        "in": Block(0, 0, 1, _LARGE, names[0], pictures[0]),
        "found": Block(1.6, 0, 1, _LARGE, names[1], pictures[1]),
        "true": Block(1.6, 1.35, 1, _LARGE, names[2], pictures[2]),
        "voxels": Block(2.55, 0.675, 1, _SMALL, "$L_x$"),
        "code": Block(3.6, 0, CODE, _SMALL, "code"),
        "aim": Block(3.6, 1.35, CODE, _SMALL, "code"),
        "apart": Block(4.8, 0.675, 1, _SMALL, "$L_h$"),
    }
    arrows = [
        Arrow("in", "found", "learn"), Arrow("found", "code", "judge"), Arrow("true", "aim", "judge"),
        Arrow("code", "apart", "codes"), Arrow("aim", "apart", "codes"),
        Arrow("found", "voxels", "voxels"), Arrow("true", "voxels", "voxels"),
    ]  # fmt: skip
    alt = f"The {network} makes {names[1]} of {names[0]}; the {judge} gives their code and that of the {names[2]}"
    return describe(draw(blocks, arrows, kinds), alt)
