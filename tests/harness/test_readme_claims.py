r"""The claims in README.md and course/claims.md: counts first, the longest run that judged a claim decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toys import write_kit

from cardiolearn.errors import InputError
from cardiolearn.harness import readme_claims
from cardiolearn.harness.readme_claims import END, START, refresh_claims
from cardiolearn.lab.ledger import load_claims


def test_the_readme_gets_counts_and_a_few_claims_and_a_page_has_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = write_kit(tmp_path)
    monkeypatch.setattr(readme_claims, "FEATURED", ("toy.better",))
    ledger = kit / "course" / "claims.toml"
    ledger.write_text(
        "".join(ledger.read_text().replace("toy.better", i) for i in ("toy.better", "toy.other", "toy.good"))
    )
    readme, page = kit / "README.md", kit / "course" / "claims.md"
    readme.write_text(f"# Kit\n{START}\nold\n{END}\nrest\n")
    parts: dict[str, Any] = {"provenance": {}, "notebooks": {}, "metrics": {}}
    for profile, verdict in (("classroom", "recorded"), ("reproduce", "not shown")):
        claims = {i: {"verdict": verdict, "evidence": f"{profile} {i}; must be 1"} for i in ("toy.better", "toy.other")}
        claims["toy.good"] = {"verdict": "shown", "evidence": "good"}
        path = kit / "course" / "results" / f"{profile}.json"
        path.write_text(json.dumps(parts | {"claims": claims}))
    assert refresh_claims(kit) == [readme, page]
    text, whole = readme.read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    assert text.startswith(f"# Kit\n{START}\n") and text.endswith(f"{END}\nrest\n") and "old" not in text
    row = "| ✘ **not shown** | ours is better<br>*Slide: A Slide* | reproduce toy.better<br>must be 1 | 0.9 / 0.8 |"
    assert row in text and "toy.other" not in text  # of the longest run that judged it
    assert "**✔ 1 shown | ✘ 2 not shown**" in text and "3 claims are judged" in text and "Found: 1 shown." in text
    assert "(course/claims.md)" in text and "a phantom shows a mechanism" in text
    shown, _, rest = whole.partition("## Not shown")
    assert shown.count("✔ **shown**") == 1 and rest.count("✘ **not shown**") == 2 and "✔" not in rest
    assert "a phantom shows a mechanism" in whole
    refresh_claims(kit)
    assert readme.read_text(encoding="utf-8") == text
    readme.write_text("# Kit\n")
    with pytest.raises(InputError, match="expected the lines"):
        refresh_claims(kit)


def test_what_the_readme_shows_is_in_the_ledger() -> None:
    ids = {claim.id for claim in load_claims(Path(__file__).resolve().parents[2] / "course" / "claims.toml")}
    assert set(readme_claims.FEATURED) <= ids and len(readme_claims.FEATURED) == 5
