r"""The claims ledger: every field is checked, and a damaged one is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import toy_ledger

from cardiolearn.errors import InputError
from cardiolearn.lab.ledger import load_claims

ROOT = Path(__file__).resolve().parents[2]


def test_the_kits_own_ledger_loads() -> None:
    claims = {claim.id: claim for claim in load_claims(ROOT / "course" / "claims.toml")}
    dice = claims["fcn.dice"]
    assert dice.rule.low == -0.01 and dice.rule.kind == "noninferior"
    assert [m.ours for m in dice.metrics] == ["fcn.dice.lv", "fcn.dice.myocardium", "fcn.dice.rv"]
    assert all(claim.names for claim in claims.values())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"colour": '"red"'}, "unknown key colour"),
        ({"paper": None}, "missing key paper"),
        ({"rule": '{ kind = "nicer" }'}, "rule must be of"),
        ({"rule": '{ kind = "higher", margin = 1 }'}, "unknown key margin"),
        ({"rule": '{ kind = "noninferior", margin = -1, better = "higher" }'}, "margin must be above 0"),
        ({"rule": '{ kind = "noninferior", margin = 1, better = "up" }'}, "better must be"),
        (
            {"rule": '{ kind = "within", low = 2, high = 1 }', "metrics": '[{ ours = "a.b", words = "ours" }]'},
            "not below",
        ),
        ({"rule": '{ kind = "at_least", value = nan }', "metrics": '[{ ours = "a.b", words = "ours" }]'}, "finite"),
        ({"rule": '{ kind = "at_least", value = 1 }'}, "unknown key baseline"),
        ({"metrics": '[{ ours = "toy.ours", words = "ours" }]'}, "missing key baseline"),
        ({"metrics": "[]"}, "metrics must be"),
        ({"test": '"eyeball"'}, "test must be"),
        ({"source": '"memory"'}, "source must be"),
        ({"slide": "[9, 3]"}, "slide must be text"),
        ({"statement": '" "'}, "statement must be text"),
    ],
)
def test_every_field_is_checked(tmp_path: Path, changed: dict[str, str | None], message: str) -> None:
    with pytest.raises(InputError, match=message):
        toy_ledger(tmp_path, **changed)


def test_a_damaged_ledger_and_a_repeated_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text("[[claim]\n")
    with pytest.raises(InputError, match="TOML"):
        load_claims(path)
    toy_ledger(tmp_path)
    path.write_text(f"{path.read_text()}\n{path.read_text()}")
    with pytest.raises(InputError, match="twice"):
        load_claims(path)
    with pytest.raises(InputError, match="No such file"):
        load_claims(tmp_path / "none.toml")
