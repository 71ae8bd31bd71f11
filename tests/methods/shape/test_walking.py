r"""A walk along a code: the number that is moved, by how much, and what is drawn of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from hearts import seeded, shell_hearts
from torch import Tensor, nn

from cardiolearn.methods.shape.walking import draw_heart, figures_along, hearts_along, histogram, widest

CODES = torch.randn((30, 64), generator=seeded()) * torch.linspace(0.5, 2.0, 64)


class Places(nn.Module):
    r"""In the place of a decoder: keeps what codes it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))
        self.asked: list[Tensor] = []

    def forward(self, codes: Tensor) -> Tensor:
        self.asked.append(codes)
        return torch.zeros(len(codes), 4, 4, 4, 4)


def test_the_widest_numbers_vary_most() -> None:
    first, second = widest(CODES)
    order = CODES.std(0).sort(descending=True).values
    assert CODES[:, first].std() == order[0] and CODES[:, second].std() == order[1]


def test_one_number_is_moved_by_its_standard_deviations() -> None:
    decoder = Places()
    assert hearts_along(decoder, CODES, 7, (-2.0, 0.0, 3.0)).shape == (3, 4, 4, 4)
    (asked,) = decoder.asked
    apart = asked - CODES.mean(0)
    expected = torch.zeros(3, 64)
    expected[:, 7] = torch.tensor([-2.0, 0.0, 3.0]) * CODES[:, 7].std()
    torch.testing.assert_close(apart, expected, atol=1e-5, rtol=1e-5)


def test_figures_say_where_they_are_and_have_one_size() -> None:
    hearts = shell_hearts(2)
    figures = list(figures_along(hearts, 2.5, "number 8", (-1.0, 2.0)))
    assert [figure.axes[0].get_title() for figure in figures] == ["number 8 at -1 SD", "number 8 at +2 SD"]
    limits = {(figure.axes[0].get_xlim(), figure.axes[0].get_zlim()) for figure in figures}  # type: ignore[attr-defined]
    assert len(limits) == 1
    across = figures[0].axes[1].images[1].get_array()
    there = torch.nonzero((hearts[0] == 1).flatten(1).any(1)).flatten()
    assert across is not None and ((across[..., 3] > 0) == (hearts[0][there[len(there) // 2]] > 0).numpy()).all()
    empty = draw_heart(torch.zeros(20, 24, 28, dtype=torch.uint8), 2.5, "nothing")  # a code that is no heart's
    for figure in (*figures, empty):
        plt.close(figure)


def test_the_histogram_holds_every_number() -> None:
    figure = histogram(CODES)
    counts = sum(patch.get_height() for patch in figure.axes[0].patches)  # type: ignore[attr-defined]
    assert counts == CODES.numel()
    assert sum(len(line.get_xdata()) for line in figure.axes[1].lines) == len(CODES)  # type: ignore[arg-type]
    plt.close(figure)
