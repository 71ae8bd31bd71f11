r"""The README's first picture: what the shipped network finds in the kit's one real patient."""

from __future__ import annotations

import io
from pathlib import Path

from cardiolearn.imaging.files import write_atomically


def write_picture(home: Path) -> Path:
    r"""Write `course/figures/real_patient.png`: the patient, outlined by the shipped network and the cardiologist.

    Raises:
        InputError: the patient or the weights are missing.
    """
    import matplotlib.pyplot as plt
    import torch

    from cardiolearn.figures.beside import beside_a_person
    from cardiolearn.figures.style import use_style
    from cardiolearn.imaging.study import find_studies
    from cardiolearn.methods.segmentation.whole_scan import shipped_outliner

    study = find_studies(home / "course" / "real_patient")[0]
    phases = [phase for phase in ("ED", "ES") if study.has("sa", phase, label=True)]
    images, outline = {phase: study.image("sa", phase) for phase in phases}, shipped_outliner(torch.device("cpu"))
    plt.switch_backend("agg")
    use_style()
    figure = beside_a_person(
        images,
        {phase: outline(image) for phase, image in images.items()},
        {phase: study.labels("sa", phase) for phase in phases},
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    path = home / "course" / "figures" / "real_patient.png"
    write_atomically(path, picture.getvalue())
    return path
