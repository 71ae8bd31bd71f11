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
    from cardiolearn.learning.weights import load_weights, ready
    from cardiolearn.methods.segmentation.fcn import FCN
    from cardiolearn.methods.segmentation.heart_place import SHORT_AXIS
    from cardiolearn.methods.segmentation.whole_scan import segment_all

    study = find_studies(home / "course" / "real_patient")[0]
    phases = [phase for phase in ("ED", "ES") if study.has("sa", phase, label=True)]
    network = FCN(SHORT_AXIS.n_classes)
    load_weights(network, SHORT_AXIS.weights)
    found, _ = segment_all([study], ready(network, torch.device("cpu")))
    plt.switch_backend("agg")
    use_style()
    figure = beside_a_person(
        {phase: study.image("sa", phase) for phase in phases},
        {phase: found[study.subject, phase] for phase in phases},
        {phase: study.labels("sa", phase) for phase in phases},
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    path = home / "course" / "figures" / "real_patient.png"
    write_atomically(path, picture.getvalue())
    return path
