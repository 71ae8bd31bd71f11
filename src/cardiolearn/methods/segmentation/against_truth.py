r"""Everybody against the truth, which is known of simulated hearts: the network, each observer, and majorities."""

from __future__ import annotations

import pandas as pd

from cardiolearn.measures.tables import Found, Outlined, versus_truth
from cardiolearn.phantom.cohorts.observers import ANNOTATORS, OBSERVERS, THICK_WALLED, majority_of

NETWORK, OBSERVER = "network", "observer"
CROWDS = {"eight": ANNOTATORS, "eight who draw thick walls": THICK_WALLED}


def everybody(truth: Found, found: Found, outlined: Outlined, seed: int) -> pd.DataFrame:
    r"""`tables.versus_truth` of the `network`, of each `observer`, and of the `majority of` two crowds of eight."""
    people = {f"{OBSERVER} {o.name}": {key: drawn[o.name] for key, drawn in outlined.items()} for o in OBSERVERS}
    crowds = {f"majority of {name}": majority_of(truth, crowd, seed) for name, crowd in CROWDS.items()}
    return versus_truth(truth, {NETWORK: found} | people | crowds)


def records(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    r"""The rows of the network and of the observers, by the prefix of their records.

    Args:
        table: of :func:`everybody`.
    """
    observers = table["method"].str.startswith(OBSERVER)
    return {"truth.fcn": table[table["method"] == NETWORK], "truth.observers": table[observers]}
