r"""Training slices of the long-axis views, kept and rendered as those of the short axis are.

Their labels are the truth: the simulated annotators close the wall all round the LV cavity, as it is in a short-axis
slice, and know no atria; on a long-axis slice they would wall up the mitral valve.
"""

from __future__ import annotations

import torch

from cardiolearn.phantom.batches import PIXEL, SIZE, SliceMaps, sample_moment
from cardiolearn.phantom.long_axis import LONG_AXIS_VIEWS, plan_long_axis
from cardiolearn.phantom.subject import Cohort

PLANES_PER_VIEW = 2
SUB_SLICES = (-2.0, 0.0, 2.0)  # mm from the mid-plane; together the profile of a slice of 6 mm
_SCATTER = 2.0  # the planes scatter twice as much as a technician's


def draw_long_axis_slices(index: int, cohort: Cohort = "train", seed: int = 0) -> SliceMaps:
    r"""Two planes each of the two- and the four-chamber view of subject `index`, in this order, with labels 0 to 5.

    The subject, its right ventricle and the moment are those of :func:`~cardiolearn.phantom.batches.draw_slices`; the
    planes turn by some 6 degrees and miss the ends of the axis by some 3 mm. Reproducible from the arguments alone.
    """
    g, scene, a = sample_moment(index, cohort, seed)
    grid = (torch.arange(SIZE) - (SIZE - 1) / 2) * PIXEL
    y, x, z = torch.meshgrid(grid, grid, torch.tensor(SUB_SLICES), indexing="ij")
    tissue, label = [], []
    for view in LONG_AXIS_VIEWS:
        for _ in range(PLANES_PER_VIEW):
            plane = plan_long_axis(scene, view, g, scatter=_SCATTER)
            points = x[..., None] * plane.right + y[..., None] * plane.down + z[..., None] * plane.normal + plane.middle
            found = scene.at(points.movedim(2, 0), a)
            tissue.append(found.tissue)
            label.append(found.label[SUB_SLICES.index(0.0)])
    return SliceMaps(torch.stack(tissue), torch.stack(label))
