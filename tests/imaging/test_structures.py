r"""The structures' labels: unique, those of the UK Biobank's public segmentations, and the same under every name."""

from __future__ import annotations

from cardiolearn.imaging import structures
from cardiolearn.imaging.structures import ATRIA, CHAMBERS, LABELS, NAMES, PHASES, STRUCTURES, VENTRICLES, VIEWS


def test_labels_are_numbered_once() -> None:
    assert list(LABELS.values()) == [1, 2, 3, 4, 5]  # 0 is background
    assert len({structure.abbreviation for structure in STRUCTURES.values()}) == len(set(NAMES.values())) == 5


def test_ventricles_are_labelled_as_in_bai_et_al() -> None:
    r"""Their code: 1 for the LV cavity, 2 for the myocardium, 3 for the RV cavity."""
    assert VENTRICLES == {"lv": 1, "myocardium": 2, "rv": 3}
    assert {key: STRUCTURES[key].name for key in VENTRICLES} == {
        "lv": "LV cavity", "myocardium": "LV myocardium", "rv": "RV cavity",
    }  # fmt: skip


def test_groups_and_constants_say_the_same() -> None:
    assert VENTRICLES | ATRIA == LABELS and not set(VENTRICLES) & set(ATRIA)
    assert LABELS == {
        "lv": structures.LV_CAVITY,
        "myocardium": structures.MYOCARDIUM,
        "rv": structures.RV_CAVITY,
        "la": structures.LEFT_ATRIUM,
        "ra": structures.RIGHT_ATRIUM,
    }
    assert NAMES["la"] == "left atrium" and NAMES["ra"] == "right atrium"


def test_a_four_chamber_view_has_four_chambers_and_a_two_chamber_view_two() -> None:
    assert set(CHAMBERS) == set(VIEWS) - {"sa"}
    assert {view: len(set(named) - {"myocardium"}) for view, named in CHAMBERS.items()} == {"la_2ch": 2, "la_4ch": 4}
    assert set(CHAMBERS["la_2ch"]) == {"lv", "myocardium", "la"}  # the left side
    assert all(LABELS[key] == label for named in CHAMBERS.values() for key, label in named.items())
    assert PHASES == ("ED", "ES")
