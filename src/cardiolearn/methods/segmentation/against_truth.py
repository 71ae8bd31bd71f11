r"""Everybody against the truth, which is known of simulated hearts: the network, each observer, and majorities."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from cardiolearn.measures.tables import Found, Outlined, versus_truth
from cardiolearn.phantom.cohorts.observers import ANNOTATORS, OBSERVERS, THICK_WALLED, majority_of

NETWORK, OBSERVER = "network", "observer"
_THICK = "eight who draw thick walls"
CROWDS = {"eight": ANNOTATORS, _THICK: THICK_WALLED}


def everybody(truth: Found, found: Found, outlined: Outlined, seed: int) -> pd.DataFrame:
    r"""`tables.versus_truth` of the `network`, of each `observer`, and of the `majority of` two crowds of eight."""
    people = {f"{OBSERVER} {o.name}": {key: by[o.name] for key, by in outlined.items()} for o in OBSERVERS}
    with ThreadPoolExecutor() as pool:  # outlining lets other threads run most of the time
        drawn = pool.map(lambda crowd: majority_of(truth, crowd, seed), CROWDS.values())
        crowds = {f"majority of {name}": labels for name, labels in zip(CROWDS, drawn, strict=True)}
    return versus_truth(truth, {NETWORK: found} | people | crowds)


def records(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    r"""The rows of the network and of the observers, by the prefix of their records.

    Args:
        table: of :func:`everybody`.
    """
    observers = table["method"].str.startswith(OBSERVER)
    return {"truth.fcn": table[table["method"] == NETWORK], "truth.observers": table[observers]}


def wall_of_the_crowd(table: pd.DataFrame) -> str:
    r"""In words: how thick a wall the majority of eight draws who all draw it too thick.

    Args:
        table: of :func:`everybody`.
    """
    drawn = table[table["method"] == f"majority of {_THICK}"]
    too_thick = (drawn["offset.epicardium"] - drawn["offset.lv"]).mean()
    return f"their majority draws the wall {abs(too_thick):.1f} mm too {'thick' if too_thick > 0 else 'thin'}"
