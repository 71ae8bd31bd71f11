r"""Films and swipes: pictures prepared beforehand, in a player that needs no kernel.

Each is one piece of HTML with its pictures and a few lines of script inside: nothing is asked of the kernel or of the
network, so a change shows at once, and it works in a saved notebook and in the report too. Where scripts do not run,
and on paper, the first picture of a film and both pictures of a swipe stand.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import uuid
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from cardiolearn.errors import InputError
from cardiolearn.figures.player_page import FILM, SWIPE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
QUALITY = 88  # of lossy WebP: grey levels move by one or two of 255, a film shrinks to a fifth


class Player:
    r"""What a cell shows: `html`, and in words `alt`."""

    def __init__(self, html: str, alt: str) -> None:
        self.html = html
        self.alt = alt

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        return self.html


def film(
    pictures: Iterable[Figure | bytes], labels: Sequence[str], milliseconds: int | None = None, *, alt: str
) -> Player:
    r"""Pictures behind a slider, to be looked at in any order; with `milliseconds` a picture also played.

    Args:
        pictures: matplotlib figures, which are closed, or PNG files; all of one size in pixels. `(draw(t) for t in
            range(25))` draws one after the other, where a list has 25 figures open.
        labels: what is said of each beside the slider, such as "frame 3" or "step 200".
        alt: what the pictures show, for those who cannot see them.

    Raises:
        InputError: No pictures, not one label for each, pictures of several sizes, no alt text.
    """
    _say_something("film", alt)
    sources, _ = _sources("film", pictures)
    if not sources or len(labels) != len(sources):
        raise InputError(f"film: expected one label for each picture, got {len(labels)} for {len(sources)}")
    page = FILM.format(
        id=f"film-{uuid.uuid4().hex[:10]}",
        alt=escape(alt, quote=True),
        first=sources[0],
        label=escape(labels[0]),
        last=len(sources) - 1,
        play="" if milliseconds else "hidden",
        milliseconds=milliseconds or 0,
        sources=json.dumps(sources),
        labels=_script_text(labels),
    )
    return Player(page, alt)


def swipe(left: Figure | bytes, right: Figure | bytes, labels: tuple[str, str], *, alt: str) -> Player:
    r"""Two pictures of one size over each other; a divider that the reader drags shows more of the one or the other.

    Raises:
        InputError: Pictures of two sizes, not two labels, no alt text.
    """
    _say_something("swipe", alt)
    if len(labels) != 2:
        raise InputError(f"swipe: expected two labels, got {len(labels)}")
    (first, second), (width, height) = _sources("swipe", (left, right))
    page = SWIPE.format(
        id=f"swipe-{uuid.uuid4().hex[:10]}",
        alt=escape(alt, quote=True),
        left=first,
        right=second,
        left_label=escape(labels[0], quote=True),
        right_label=escape(labels[1], quote=True),
        width=width,
        height=height,
    )
    return Player(page, alt)


def _say_something(what: str, alt: str) -> None:
    if not alt.strip():
        raise InputError(f"{what}: expected alt text, which says what the pictures show")


def _script_text(labels: Sequence[str]) -> str:
    r"""Labels as JSON that cannot end the script it stands in."""
    return json.dumps(list(labels)).replace("<", "\\u003c")


def _sources(what: str, pictures: Iterable[Figure | bytes]) -> tuple[list[str], tuple[int, int]]:
    r"""Each picture as a `data:` address, and their size (width, height) in pixels.

    One after the other: of pictures that are drawn when they are asked for, one is open at a time.
    """
    sources, sizes = [], set()
    for picture in pictures:
        kind, content, size = _png(picture) if isinstance(picture, bytes) else _drawn(picture)
        sizes.add(size)
        sources.append(f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
    if len(sizes) > 1:
        raise InputError(f"{what}: expected pictures of one size, found {sorted(sizes)} pixels")
    return sources, sizes.pop() if sizes else (0, 0)


def _png(picture: bytes) -> tuple[str, bytes, tuple[int, int]]:
    width, height = struct.unpack(">II", picture[16:24])
    return "png", picture, (width, height)


def _drawn(figure: Figure) -> tuple[str, bytes, tuple[int, int]]:
    r"""A figure as WebP, closed; drawn once, where `savefig` draws twice if its layout is constrained."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    canvas, written = FigureCanvasAgg(figure), io.BytesIO()
    canvas.print_webp(written, pil_kwargs={"quality": QUALITY, "method": 2})
    plt.close(figure)
    return "webp", written.getvalue(), canvas.get_width_height()
