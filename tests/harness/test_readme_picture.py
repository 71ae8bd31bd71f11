r"""The README's picture of the real patient is made of what the kit ships."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from cardiolearn import home
from cardiolearn.harness.readme_picture import write_picture
from cardiolearn.imaging.study import Study
from cardiolearn.methods.segmentation import whole_scan

COURSE = Path(__file__).parents[2] / "course"


def test_it_shows_the_kits_patient_and_what_the_network_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("real_patient", "weights"):
        shutil.copytree(COURSE / folder, tmp_path / "course" / folder)
    (tmp_path / "course" / "claims.toml").write_text("")
    (tmp_path / "course" / "figures").mkdir()
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    seen: list[str] = []

    def found(studies: list[Study], network: object) -> tuple[dict[tuple[str, str], object], None]:
        (study,) = studies
        seen.append(study.subject)
        return {(study.subject, phase): study.labels("sa", phase) for phase in ("ED", "ES")}, None

    monkeypatch.setattr(whole_scan, "segment_all", found)
    with mpl.rc_context():
        path = write_picture(tmp_path)
    assert seen == ["SCD0000101"]
    assert path == tmp_path / "course" / "figures" / "real_patient.png"
    pixels = plt.imread(path)
    assert pixels.shape[1] > 2 * pixels.shape[0] and pixels.std() > 0.1
