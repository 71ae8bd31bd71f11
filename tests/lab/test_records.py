r"""Records survive their JSON form, bad ones are refused, and numbers are printed as a reader wants them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardiolearn.errors import InputError
from cardiolearn.lab.records import from_bundle, make_record, number

NAMES = [f"s{i}" for i in range(8)]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.booleans())
def test_a_record_survives_its_json_form(values: list[float], named: bool) -> None:
    import json

    record = make_record("a.b", values, unit="mm", subjects=NAMES[: len(values)] if named else None)
    back = from_bundle(json.loads(json.dumps(record.bundle())))
    assert back.bundle() == record.bundle()
    assert record.name in record.text()
    assert "nan" not in record.text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "shape"),
        ({"values": [[1.0]]}, "need seeds"),
        ({"values": [1.0, math.inf]}, "finite"),
        ({"values": [1.0], "subjects": ["a", "b"]}, "2 subjects"),
        ({"values": [1.0, 2.0], "subjects": ["a", "a"]}, "subjects do not name"),
        ({"values": [1.0], "data": "mouse"}, "phantom"),
        ({"values": [1.0], "name": "Dice"}, "dotted"),
    ],
)
def test_bad_records_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_record(**{"name": "a.b", **arguments})


@given(st.floats(-1e7, 1e7))
def test_a_printed_number_is_close_to_the_number(value: float) -> None:
    assert float(number(value)) == pytest.approx(value, rel=0.006, abs=5.1e-4)
