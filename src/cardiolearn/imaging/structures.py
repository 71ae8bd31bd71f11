r"""The heart's structures: their labels and names, the views and phases they are seen in. Said here alone."""

from __future__ import annotations

from typing import NamedTuple


class Structure(NamedTuple):
    r"""One structure: its `label` in every label map, its `name` for a reader, and an `abbreviation` for a picture."""

    label: int
    name: str
    abbreviation: str


#: By the key that tables, records and colours use. A label means the same in all views; 0 is background.
STRUCTURES = {
    "lv": Structure(1, "LV cavity", "LV"),
    "myocardium": Structure(2, "LV myocardium", "wall"),
    "rv": Structure(3, "RV cavity", "RV"),
    "la": Structure(4, "left atrium", "LA"),
    "ra": Structure(5, "right atrium", "RA"),
}
LV_CAVITY, MYOCARDIUM, RV_CAVITY, LEFT_ATRIUM, RIGHT_ATRIUM = (s.label for s in STRUCTURES.values())
LABELS = {key: structure.label for key, structure in STRUCTURES.items()}
NAMES = {key: structure.name for key, structure in STRUCTURES.items()}
VENTRICLES = {key: LABELS[key] for key in ("lv", "myocardium", "rv")}
ATRIA = {key: LABELS[key] for key in ("la", "ra")}
#: What is outlined in a long-axis view. The two-chamber view may graze the right ventricle; nobody outlines that.
CHAMBERS = {"la_2ch": {key: LABELS[key] for key in ("lv", "myocardium", "la")}, "la_4ch": LABELS}

VIEWS = ("sa", "la_2ch", "la_4ch")  # short axis, two chambers, four chambers
VIEW_NAMES = {"sa": "short axis", "la_2ch": "2 chambers", "la_4ch": "4 chambers"}
PHASES = ("ED", "ES")  # end-diastole, end-systole
MYOCARDIAL_DENSITY = 1.05  # g/mL
