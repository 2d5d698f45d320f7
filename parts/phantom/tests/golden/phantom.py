"""Reads DICOM phantoms with pydicom and compares them with the PNG ones: `phantom.py DICOM_ROOT PNG_ROOT`."""

import json
import sys
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE

root, pictures = map(Path, sys.argv[1:])
problems, interpretations, largest = [], set(), 0
instances, studies = set(), {}
films = sorted(root.glob("*/XR_HUMERUS/*/*/*.dcm"))
for path in films:
    data = pydicom.dcmread(path)
    for element in data.iterall():
        element.value  # Values are checked against their type as they are looked at.
    grey = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    if data.PhotometricInterpretation == "MONOCHROME1":
        grey = 4095 - grey
    grey = np.rint(np.asarray(grey, dtype=np.float64) * 255 / 4095).astype(int)
    picture = np.asarray(Image.open(pictures / path.relative_to(root).with_suffix(".png"))).astype(int)
    if grey.shape != picture.shape:
        problems.append(f"{path.name}: {grey.shape} instead of {picture.shape}")
        continue
    largest = max(largest, int(np.abs(grey - picture).max()))
    interpretations.add(data.PhotometricInterpretation)
    expected = {
        "Modality": "DX",
        "BodyPartExamined": "HUMERUS",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "SOPClassUID": pydicom.uid.DigitalXRayImageStorageForPresentation,
        "QualityControlImage": "YES",
        "ContentQualification": "RESEARCH",
    }
    for name, value in expected.items():
        if data.get(name) != value:
            problems.append(f"{path}: {name} is {data.get(name)!r}")
    if data.ViewPosition not in {"AP", "LL", "RL", "LLO", "RLO"}:
        problems.append(f"{path}: ViewPosition is {data.ViewPosition}")
    if "SYNTHETIC" not in str(data.PatientName) or "SYNTHETIC" not in data.PatientID:
        problems.append(f"{path}: not marked as synthetic")
    for uid in (data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID):
        if not uid.is_valid or not uid.startswith("2.25."):
            problems.append(f"{path}: {uid} is no UUID")
    if data.file_meta.MediaStorageSOPInstanceUID != data.SOPInstanceUID:
        problems.append(f"{path}: two instance identifiers")
    if data.SOPInstanceUID in instances:
        problems.append(f"{path}: an instance identifier twice")
    instances.add(data.SOPInstanceUID)
    # One identifier a study, and one patient.
    if studies.setdefault(path.parent, (data.StudyInstanceUID, data.PatientID)) != (
        data.StudyInstanceUID,
        data.PatientID,
    ):
        problems.append(f"{path}: another study than its neighbours")
if len({study for study, _ in studies.values()}) != len(studies):
    problems.append("two studies share an identifier")
print(
    json.dumps(
        {
            "films": len(films),
            "largest_difference": largest,
            "interpretations": sorted(interpretations),
            "problems": problems,
        }
    )
)
