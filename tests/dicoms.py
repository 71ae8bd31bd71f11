r"""DICOM files made for tests, with a known answer: a cine as single pictures, and as Enhanced MR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.spatial.transform import Rotation

DIRECTIONS = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()  # columns: row, column, normal (LPS)
ORIGIN = np.array([-30.0, 12.0, 55.0])
STUDY, SERIES = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["series"])
Datasets = dict[tuple[int, int], FileDataset]


def pixels(t: int, z: int, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    r"""What frame `t` of slice `z` shows: no two numbers of a cine are the same."""
    return (np.arange(size[0] * size[1]).reshape(size) + 100 * t + 1000 * z).astype(np.uint16)


def position(z: float, step: float = 9.0) -> list[str]:
    r"""ImagePositionPatient of slice `z`."""
    return [f"{v:.9f}" for v in ORIGIN + z * step * DIRECTIONS[:, 2]]


def one_file(t: int, z: int, step: float = 9.0, size: tuple[int, int] = (6, 8)) -> FileDataset:
    r"""Frame `t` of slice `z` as a file of its own."""
    ds = _file(size, MRImageStorage)
    ds.SliceThickness = 6.0
    ds.PixelSpacing = [1.5, 1.5]
    ds.ImageOrientationPatient = [*DIRECTIONS[:, 0], *DIRECTIONS[:, 1]]
    ds.ImagePositionPatient = position(z, step)
    ds.TriggerTime = 40.0 * t + 0.3 * z
    ds.InstanceNumber = 1 + 20 * z + t
    ds.PixelData = pixels(t, z, size).tobytes()
    return ds


def cine(n_frames: int = 4, n_slices: int = 3, step: float = 9.0) -> Datasets:
    r"""A cine, a file for each picture."""
    return {(t, z): one_file(t, z, step) for t in range(n_frames) for z in range(n_slices)}


def enhanced(pictures: list[tuple[int, int]], step: float = 9.0) -> FileDataset:
    r"""Frames `(t, z)` as one Enhanced MR file, in this order."""
    ds = _file((6, 8), EnhancedMRImageStorage)
    ds.NumberOfFrames = len(pictures)
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [*DIRECTIONS[:, 0], *DIRECTIONS[:, 1]]
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [1.5, 1.5]
    shared.PixelMeasuresSequence[0].SliceThickness = 6.0
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence([_frame(t, z, step) for t, z in pictures])
    ds.PixelData = b"".join(pixels(t, z).tobytes() for t, z in pictures)
    _open_ended(ds)
    return ds


def save(folder: Path, datasets: Datasets) -> Path:
    r"""Write files under names in an order that means nothing."""
    names = np.random.default_rng(0).permutation(len(datasets))
    for name, ds in zip(names, datasets.values(), strict=True):
        ds.save_as(folder / f"{name}.dcm", enforce_file_format=False)
    return folder


def _file(size: tuple[int, int], kind: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.Modality = kind, "MR"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.PatientName = ds.SeriesDescription = "SECRET"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SeriesNumber = STUDY, SERIES, 7
    ds.Rows, ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    return ds


def _frame(t: int, z: int, step: float) -> Dataset:
    groups = {
        "PlanePositionSequence": {"ImagePositionPatient": position(z, step)},
        "CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 40.0 * t, "RRIntervalTimeNominal": 160.0},
        "PixelValueTransformationSequence": {"RescaleSlope": 2, "RescaleIntercept": -5, "RescaleType": "US"},
        "FrameContentSequence": {"TemporalPositionIndex": t + 1, "InStackPositionNumber": z + 1, "StackID": "1"},
        "MRImageFrameTypeSequence": {
            "FrameType": ["ORIGINAL", "PRIMARY", "CARDIAC", "NONE"],
            "ComplexImageComponent": "MAGNITUDE",
        },
    }
    item = Dataset()
    for group, values in groups.items():
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        setattr(item, group, [inner])
    return item


def _open_ended(ds: Dataset) -> None:
    r"""Sequences end where they end, as many scanners write them: bytes in them may then be changed in a file."""
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _open_ended(item)
