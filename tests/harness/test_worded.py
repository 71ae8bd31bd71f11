r"""Tables of notebooks, made readable: held against the tables pandas reads back."""

from __future__ import annotations

import io

import pandas as pd

from cardiolearn.harness.worded import printed, tables

TABLE = pd.DataFrame({"subject": ["a", "b"], "dice.lv": [0.9, None], "lv_ef": [60, 55], "other": ["x", "y"]})


def read(html: str) -> pd.DataFrame:
    (table,) = pd.read_html(io.StringIO(html), flavor="lxml")
    return table


def test_headings_are_words_in_one_row() -> None:
    (html,) = tables(TABLE.set_index("subject").to_html() + "<p>no table</p>")
    assert html.count("<tr>") == 3 and "class=" not in html and "style=" not in html and "NaN" not in html
    head = html.split("</thead>")[0]
    for name in ("subject", "LV cavity, Dice", "LV ejection fraction", "other"):
        assert f"<th>{name}</th>" in head
    assert html.count("<td>") == 6 and "<td>0.9</td>" in html


def test_the_name_of_the_index_takes_the_place_of_that_of_the_columns() -> None:
    wide = TABLE.pivot(index="subject", columns="other", values="lv_ef")
    (html,) = tables(wide.to_html())
    assert "<thead><tr><th>subject</th><th>x</th><th>y</th></tr>" in html


def test_several_levels_of_columns_stay_as_they_are() -> None:
    wide = TABLE.pivot(index="subject", columns="other", values=["lv_ef"])
    (html,) = tables(wide.to_html())
    assert html.count("<tr") == 5 and 'colspan="2"' in html


def test_a_table_without_a_head_is_kept() -> None:
    assert tables("<table><tr><th>la_2ch</th></tr></table>") == ["<table><tr><th>2 chambers</th></tr></table>"]
    assert tables("no table") == []


def test_other_text_is_printed_as_it_is() -> None:
    assert printed("(1, 4, 128, 128)") == "(1, 4, 128, 128)"
