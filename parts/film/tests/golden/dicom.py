"""What pydicom makes of DICOM files: the standard that crate/tests/preprocess.rs compares with.

    python dicom.py OUT

Writes films of every kind that the crate renders to OUT with pydicom, then for these and each of pydicom's own test
files `N.grey.png`, the film as 8-bit grey, and `index.json`, a list in the order of N of {"path", "name", "is_ours",
"lossy", "refusal", "header"}: `is_ours` of the files written here, `refusal` is pydicom's error where it makes no
picture, `header` what it reads of the elements before the pixel data.

Grey, for one sample a pixel: v = apply_voi_lut(apply_modality_lut(stored)), then 255 (v - low) / (high - low), rounded
to even, where low and high are the ends of what apply_voi_lut returns (of the window's range, of the table's bits), or
where there is neither window nor table the ends of the values, padding apart; 255 minus that for MONOCHROME1 or an
INVERSE presentation table; padding is 0. A palette is applied first. Colour becomes Pillow's L; 16 bits become 8 at the
end. Deterministic. Needs pydicom, numpy and Pillow.
"""

import io, json, os, sys, warnings
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

warnings.simplefilter("ignore")
out = sys.argv[1]
os.makedirs(out, exist_ok=True)


def luma(rgb):
    """(19595 R + 38470 G + 7471 B + 2^15) / 2^16, which is Pillow's L, at any depth."""
    r, g, b = (rgb[..., at].astype(np.uint64) for at in range(3))
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16


def eight(sixteen):
    return ((sixteen.astype(np.uint64) * 2 + 257) // 514).astype(np.uint8)


def colour(rgb, bits):
    if bits == 8:
        return luma(rgb).astype(np.uint8)
    return eight(luma(np.rint(rgb.astype(np.float64) / (2**bits - 1) * 65535)))


def signed(ds, tag):
    """The padding value as pydicom gives it, which may have read a signed one as unsigned."""
    if tag not in ds or ds[tag].value in (None, ""):
        return None
    value = int(ds[tag].value)
    bits = ds.BitsStored
    value &= 2**bits - 1
    return value - 2**bits if ds.PixelRepresentation == 1 and value >= 2 ** (bits - 1) else value


def grey(path):
    ds = pydicom.dcmread(path, force=True)
    if int(ds.get("NumberOfFrames") or 1) > 1:
        raise ValueError("several frames")
    if ds.SamplesPerPixel == 3:
        return colour(pixel_array(ds), ds.BitsStored)
    stored = pixel_array(ds)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        rgb = apply_color_lut(stored, ds)
        bits = ds.RedPaletteColorLookupTableDescriptor[2]
        return colour(rgb, bits)
    padding = np.zeros(stored.shape, bool)
    first = signed(ds, "PixelPaddingValue")
    if first is not None:
        last = signed(ds, "PixelPaddingRangeLimit")
        last = first if last is None else last
        padding = (stored >= min(first, last)) & (stored <= max(first, last))
    measured = apply_modality_lut(stored, ds)
    values = apply_voi_lut(measured, ds)
    if ds.get("VOILUTSequence"):
        low, high = 0, 2 ** ds.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif (
        "WindowCenter" in ds
        and "WindowWidth" in ds
        and ds.WindowCenter not in (None, "")
        and ds.WindowWidth not in (None, "")
    ):
        if ds.get("ModalityLUTSequence"):
            low, high = 0, 2 ** ds.ModalityLUTSequence[0].LUTDescriptor[2] - 1
        else:
            low, high = (
                (-(2 ** (ds.BitsStored - 1)), 2 ** (ds.BitsStored - 1) - 1)
                if ds.PixelRepresentation
                else (0, 2**ds.BitsStored - 1)
            )
            slope, intercept = ds.get("RescaleSlope"), ds.get("RescaleIntercept")
            if slope is not None and intercept is not None:
                low, high = low * float(slope) + float(intercept), high * float(slope) + float(intercept)
    elif padding.all():
        low, high = 0, 1
    else:
        low, high = values[~padding].min(), values[~padding].max()
    low, high = float(low), float(high)
    fraction = (values.astype(np.float64) - low) / (high - low) if high != low else np.zeros(values.shape)
    level = np.rint(np.clip(fraction, 0, 1) * 255).astype(np.uint8)
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        level = 255 - level
    level[padding] = 0
    return level


files = []


def film(name, pixels, syntax=ExplicitVRLittleEndian, stored=None, photometric="MONOCHROME2", payload=None, **elements):
    """A film of `pixels`, [h, w] or [h, w, 3]; `elements` are set as they are, in place of the usual ones too."""
    ds = FileDataset(name, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{len(files) + 1}"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientID, ds.PatientName = f"Jürg-{len(files)}", "Doe^Jürg"
    ds.AccessionNumber = f"A{len(files):07}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.826.0.1.1", "1.2.826.0.1.2"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition, ds.ImageLaterality = "DX", "HUMERUS", "AP", "L"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    ds.BitsStored = stored or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    if payload is not None:
        ds.PixelData = encapsulate(payload)
        ds["PixelData"].is_undefined_length = True
    else:
        ds.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes()
        ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 and syntax != ImplicitVRLittleEndian else "OW"
        if len(ds.PixelData) % 2:
            ds.PixelData += b"\0"
    path = os.path.join(out, name + ".dcm")
    if syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.compress(RLELossless, generate_instance_uid=False)
    if syntax == ExplicitVRBigEndian:
        pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=False, force_encoding=True)
    else:
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
    files.append(path)


def table(data, first, bits, keyword_vr="US"):
    item = Dataset()
    item.LUTDescriptor = [len(data) % 65536, first, bits]
    item["LUTDescriptor"].VR = keyword_vr
    if len(data) < 32768:
        item.LUTData = [int(v) for v in data]
        item["LUTData"].VR = "US"
    else:
        item.LUTData = np.asarray(data).astype("<u2").tobytes()
        item["LUTData"].VR = "OW"
    return [item]


def encoded(array, format, **options):
    bytes_ = io.BytesIO()
    Image.fromarray(array).save(bytes_, format, **options)
    return bytes_.getvalue()


ys, xs = np.mgrid[0:61, 0:83]
ramp = ((xs * 41 + ys * 17) % 4096).astype(np.uint16)  # 12 bits, every level of a window met
low = ((xs * 3 + ys * 2) % 256).astype(np.uint8)
signed_ramp = (ramp.astype(np.int32) - 1500).astype(np.int16)
smooth = (127 + 80 * np.sin(xs / 9.0) + 40 * np.cos(ys / 7.0)).astype(np.uint8)
rgb = np.stack([low, low[::-1], 255 - low // 2], -1)
smooth_rgb = np.stack([smooth, smooth[::-1], 255 - smooth // 2], -1)

for syntax in (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
):
    label = syntax.name.split(",")[0].replace(" ", "-")
    film(f"twelve-{label}", ramp, syntax, stored=12)
    film(f"eight-{label}", low, syntax)
    film(f"signed-{label}", signed_ramp, syntax, stored=13)
    film(f"rgb-{label}", rgb, syntax, photometric="RGB")
for photometric in ("MONOCHROME1", "MONOCHROME2"):
    film(f"window-{photometric}", ramp, stored=12, photometric=photometric, WindowCenter="1800", WindowWidth="900")
    film(
        f"window-twice-{photometric}",
        ramp,
        stored=12,
        photometric=photometric,
        WindowCenter=["500.5", "9"],
        WindowWidth=["101", "7"],
    )
    film(f"plain-{photometric}", ramp, stored=12, photometric=photometric)
    film(
        f"table-{photometric}",
        ramp,
        stored=12,
        photometric=photometric,
        VOILUTSequence=table(np.linspace(0, 1, 3000) ** 2 * 1023, 200, 10),
    )
film("inverse", ramp, stored=12, photometric="MONOCHROME1", PresentationLUTShape="INVERSE")
film("identity", ramp, stored=12, PresentationLUTShape="IDENTITY")
film("inverse-of-two", ramp, stored=12, PresentationLUTShape="INVERSE")
film("exact", ramp, stored=12, WindowCenter="2000", WindowWidth="800", VOILUTFunction="LINEAR_EXACT")
film("sigmoid", ramp, stored=12, WindowCenter="2000", WindowWidth="800", VOILUTFunction="SIGMOID")
film("threshold", ramp, stored=12, WindowCenter="2000", WindowWidth="1")
film(
    "rescaled", ramp, stored=12, RescaleSlope="0.37", RescaleIntercept="-300.5", WindowCenter="200", WindowWidth="600.5"
)
film("rescaled-down", ramp, stored=12, RescaleSlope="-2", RescaleIntercept="5")
film(
    "signed-window",
    signed_ramp,
    stored=13,
    RescaleSlope="2",
    RescaleIntercept="-1024",
    WindowCenter="40",
    WindowWidth="4000",
)
film("modality-table", ramp, stored=12, ModalityLUTSequence=table(np.sqrt(np.arange(4096)) * 1000, 0, 16))
film(
    "modality-table-window",
    ramp,
    stored=12,
    ModalityLUTSequence=table(np.arange(4096)[::-1] * 16, 0, 16),
    WindowCenter="30000",
    WindowWidth="50000",
)
film("signed-table", signed_ramp, stored=13, VOILUTSequence=table(np.arange(4096) * 16, -1000, 16, "SS"))
film("table-of-eight-bits", low, VOILUTSequence=table(np.arange(256)[::-1], 0, 8))
film(
    "table-before-window",
    ramp,
    stored=12,
    VOILUTSequence=table(np.arange(4096)[::-1], 0, 12),
    WindowCenter="10",
    WindowWidth="20",
)
film("table-of-65536", (ramp * 16).astype(np.uint16), VOILUTSequence=table(65535 - np.arange(65536), 0, 16))
film("padding", np.where(xs < 20, 4095, ramp).astype(np.uint16), stored=12, PixelPaddingValue=4095)
film(
    "padding-range",
    ramp,
    stored=12,
    PixelPaddingValue=100,
    PixelPaddingRangeLimit=900,
    WindowCenter="2000",
    WindowWidth="4000",
)
film("padding-signed", np.where(xs < 20, -2000, signed_ramp).astype(np.int16), PixelPaddingValue=-2000)
film("padding-alone", np.full((20, 20), 7, np.uint16), PixelPaddingValue=7)
film("flat", np.full((20, 20), 900, np.uint16), stored=12)
film("deep", (ramp.astype(np.uint32) * 100003), WindowCenter="200000000", WindowWidth="390000000")
film("planar", rgb, photometric="RGB")
film("rgb-of-sixteen-bits", (rgb.astype(np.uint16) * 257 - rgb // 3), photometric="RGB")
film("ybr", rgb, photometric="YBR_FULL")
film("one-pixel", np.full((1, 1), 5, np.uint8))
film("one-row", ramp[:1], stored=12)
entries = np.arange(256)
palette = {"Red": entries * 200 + 3000, "Green": 65535 - entries * 90, "Blue": (entries * 7919) % 65536}
film(
    "palette",
    low,
    photometric="PALETTE COLOR",
    **{f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in palette},
    **{f"{c}PaletteColorLookupTableData": v.astype("<u2").tobytes() for c, v in palette.items()},
)
film(
    "palette-of-eight-bits",
    low,
    photometric="PALETTE COLOR",
    **{f"{c}PaletteColorLookupTableDescriptor": [256, 0, 8] for c in palette},
    **{f"{c}PaletteColorLookupTableData": (v >> 8).astype("<u1").tobytes() for c, v in palette.items()},
)
film(
    "palette-from-100",
    low,
    photometric="PALETTE COLOR",
    **{f"{c}PaletteColorLookupTableDescriptor": [64, 100, 16] for c in palette},
    **{f"{c}PaletteColorLookupTableData": v[:64].astype("<u2").tobytes() for c, v in palette.items()},
)
film("jpeg", smooth, JPEGBaseline8Bit, payload=[encoded(smooth, "JPEG", quality=90)])
film(
    "jpeg-window",
    smooth,
    JPEGBaseline8Bit,
    photometric="MONOCHROME1",
    payload=[encoded(smooth, "JPEG", quality=90)],
    WindowCenter="128",
    WindowWidth="300",
)
film(
    "jpeg-colour",
    smooth_rgb,
    JPEGBaseline8Bit,
    photometric="YBR_FULL_422",
    payload=[encoded(smooth_rgb, "JPEG", quality=95)],
)
film(
    "jpeg-rgb",
    smooth_rgb,
    JPEGBaseline8Bit,
    photometric="RGB",
    payload=[encoded(smooth_rgb, "JPEG", quality=95, keep_rgb=True)],
)
film("j2k-eight", low, JPEG2000Lossless, payload=[encoded(low, "JPEG2000", no_jp2=True)])
film("j2k-twelve", ramp, JPEG2000Lossless, stored=16, payload=[encoded(ramp, "JPEG2000", no_jp2=True)])
film("j2k-rgb", rgb, JPEG2000Lossless, photometric="RGB", payload=[encoded(rgb, "JPEG2000", no_jp2=True, mct=0)])
film("j2k-rct", rgb, JPEG2000Lossless, photometric="YBR_RCT", payload=[encoded(rgb, "JPEG2000", no_jp2=True, mct=1)])
film(
    "j2k-lossy",
    smooth,
    JPEG2000,
    payload=[encoded(smooth, "JPEG2000", no_jp2=True, irreversible=True, quality_mode="rates", quality_layers=[8])],
)
film("no-preamble", ramp, stored=12)
path = files[-1]
with open(path, "rb") as file:
    whole = file.read()
with open(path, "wb") as file:
    file.write(whole[132:])

root = os.path.join(os.path.dirname(pydicom.__file__), "data", "test_files")
for folder, folders, names in os.walk(root):
    folders.sort()
    files += [os.path.join(folder, name) for name in sorted(names) if not name.endswith((".py", ".pyc"))]


def is_lossy(path):
    """JPEG 2000 without loss is exact; every JPEG but the lossless processes is not."""
    meta = getattr(pydicom.dcmread(path, force=True, stop_before_pixels=True), "file_meta", {})
    return meta.get("TransferSyntaxUID") in (JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit)


def header(path):
    ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    text = lambda tag: str(ds[tag].value).strip() if tag in ds and ds[tag].value not in (None, "") else None
    return {
        "patient": text("PatientID"),
        "study": text("StudyInstanceUID"),
        "accession": text("AccessionNumber"),
        "series": text("SeriesInstanceUID"),
        "instance": text("SOPInstanceUID"),
        "part": text("BodyPartExamined"),
        "view": text("ViewPosition"),
        "laterality": text("ImageLaterality") or text("Laterality"),
        "modality": text("Modality"),
        "photometric": text("PhotometricInterpretation") or "",
        "rows": int(ds.Rows),
        "columns": int(ds.Columns),
        "frames": int(ds.get("NumberOfFrames") or 1),
    }


index = []
for at, path in enumerate(files):
    entry = {
        "path": path,
        "name": os.path.relpath(path, root) if path.startswith(root) else os.path.basename(path),
        "is_ours": not path.startswith(root),
        "lossy": is_lossy(path),
        "refusal": None,
        "header": None,
    }
    try:
        entry["header"] = header(path)
    except Exception:
        pass
    try:
        Image.fromarray(grey(path)).save(os.path.join(out, f"{at}.grey.png"))
    except Exception as error:
        entry["refusal"] = f"{type(error).__name__}: {error}".split("\n")[0]
    index.append(entry)
with open(os.path.join(out, "index.json"), "w") as file:
    json.dump(index, file)
