r"""The README's picture of the real patient is made of what the kit ships."""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch

from cardiolearn import home
from cardiolearn.harness.readme_picture import write_picture
from cardiolearn.imaging.image import Image
from cardiolearn.imaging.study import find_studies
from cardiolearn.methods.segmentation import whole_scan

COURSE = Path(__file__).parents[2] / "course"


def test_it_shows_the_kits_patient_and_what_the_network_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("real_patient", "weights"):
        shutil.copytree(COURSE / folder, tmp_path / "course" / folder)
    (tmp_path / "course" / "claims.toml").write_text("")
    (tmp_path / "course" / "figures").mkdir()
    monkeypatch.setenv(home.VARIABLE, str(tmp_path))
    seen: list[Image] = []

    def outline(image: Image) -> Image:
        seen.append(image)
        return image.with_data((image.data > image.data.float().mean()).to(torch.uint8))

    monkeypatch.setattr(whole_scan, "shipped_outliner", lambda device: outline)
    with mpl.rc_context():
        path = write_picture(tmp_path)
    (patient,) = find_studies(COURSE / "real_patient")
    for image, phase in zip(seen, ("ED", "ES"), strict=True):
        assert torch.equal(image.data, patient.image("sa", phase).data)
    assert path == tmp_path / "course" / "figures" / "real_patient.png"
    pixels = plt.imread(path)
    assert pixels.shape[1] > 2 * pixels.shape[0] and pixels.std() > 0.1
