r"""Films and swipes hold their pictures, ask nobody for anything, and refuse what cannot be shown."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cardiolearn.errors import InputError
from cardiolearn.figures import widgets
from cardiolearn.figures.player_page import KEEP_KEY

plt.switch_backend("agg")


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def picture(grey: float, size: tuple[float, float] = (3, 2)) -> Figure:
    figure = plt.figure(figsize=size)
    figure.patch.set_facecolor((grey, grey, grey))
    return figure


def pixels(source: str | None) -> np.ndarray:
    kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", source or "").groups()  # type: ignore[union-attr]
    assert kind in ("webp", "png")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), dtype=float) / 255


def png(grey: float) -> bytes:
    written = io.BytesIO()
    Image.new("L", (30, 20), round(255 * grey)).save(written, "PNG")
    return written.getvalue()


def wide_png(width: int) -> bytes:
    written = io.BytesIO()
    Image.new("L", (width, 20)).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("draw", [picture, png])
def test_a_film_holds_each_picture_with_its_label(draw: object) -> None:
    greys = (0.2, 0.5, 0.8)
    player = widgets.film((draw(g) for g in greys), ["a", "</script>", "c"], 40, alt='A "heart"')  # type: ignore[operator]
    assert plt.get_fignums() == []
    tags = Tags(player.html)
    (image,), (slider,) = tags.of("img"), tags.of("input")
    assert image["alt"] == 'A "heart"' == repr(player)
    assert (slider["min"], slider["max"], slider["value"], slider["aria-valuetext"]) == ("0", "2", "0", "a")
    sources = json.loads(re.search(r"const sources = (\[.*?\]), labels = ", player.html)[1])  # type: ignore[index]
    assert sources[0] == image["src"]
    assert [pixels(source).mean() for source in sources] == pytest.approx(greys, abs=0.01)
    assert {pixels(source).shape for source in sources} in ({(200, 300)}, {(20, 30)})
    assert player.html.count("</script>") == 1 and "http" not in player.html
    assert "setInterval(next, 40)" in player.html and "hidden" not in tags.of("button")[0]
    assert "hidden" in Tags(widgets.film([draw(0)], ["a"], alt="x").html).of("button")[0]  # type: ignore[operator]


def test_a_swipe_shows_both_pictures_each_with_its_name() -> None:
    player = widgets.swipe(picture(0.2), picture(0.8), ("thick", "thin & new"), alt="A slice")
    left, right = Tags(player.html).of("img")
    assert [pixels(image["src"]).mean() for image in (left, right)] == pytest.approx([0.2, 0.8], abs=0.01)
    assert (left["alt"], right["alt"]) == ("A slice (thick)", "A slice (thin & new)")
    assert (left["width"], left["height"]) == ("300", "200") and "http" not in player.html


def test_two_players_on_a_page_do_not_meet() -> None:
    films = [widgets.film([png(0)], ["a"], alt="x") for _ in range(2)]
    ids = {Tags(film.html).of("figure")[0]["id"] for film in films}
    assert len(ids) == 2
    swipes = [widgets.swipe(png, png, ("a", "b"), alt="x").html for png in (wide_png(300), wide_png(500))]
    assert ['style="--width: 300px"' in html for html in swipes] == [True, False]
    rules = [re.findall(r"<style>(.*?)</style>", html, re.DOTALL) for html in swipes]
    assert rules[0] == rules[1]  # what holds for a class holds for every swipe of a page, so it names no size


@pytest.mark.parametrize("kind", ["film", "swipe"])
def test_keys_that_are_nobodys_here_are_left_to_jupyterlab(kind: str) -> None:
    film, swipe = widgets.film([png(0)], ["a"], alt="x"), widgets.swipe(png(0), png(1), ("a", "b"), alt="x")
    html = film.html if kind == "film" else swipe.html
    assert html.count('"keydown"') == html.count("stopPropagation") == html.count(KEEP_KEY) == 1


def test_what_cannot_be_shown_is_said() -> None:
    for labels in ([], ["a"], ["a", "b", "c"]):
        with pytest.raises(InputError, match="one label for each picture"):
            widgets.film([png(0), png(1)], labels, alt="x")
    with pytest.raises(InputError, match="one label for each picture, got 0 for 0"):
        widgets.film([], [], alt="x")
    with pytest.raises(InputError, match=r"pictures of one size, found \[\(300, 200\), \(400, 200\)\]"):
        widgets.film([picture(0), picture(0, (4, 2))], ["a", "b"], alt="x")
    with pytest.raises(InputError, match="swipe: expected pictures of one size"):
        widgets.swipe(picture(0), png(0), ("a", "b"), alt="x")
    with pytest.raises(InputError, match="expected alt text"):
        widgets.film([png(0)], ["a"], alt=" ")
    with pytest.raises(InputError, match="two labels, got 1"):
        widgets.swipe(png(0), png(0), ("a",), alt="x")  # type: ignore[arg-type]
    plt.close("all")
