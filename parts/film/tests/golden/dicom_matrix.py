"""Every way in which DICOM may store grey, crossed: what crate/tests/dicom_matrix.rs compares with.

    python dicom_matrix.py OUT

Writes small films to OUT and `index.json`, a list of {"name", "path", "picture", "refusal", "doubtful"}: `picture` is
the film as 8-bit grey, or else `refusal` is what the error must contain; `doubtful` where the look-up table holds
other bits than it declares.

Each picture is made twice. Once by the standard (PS3.3 C.7.6.3, C.11.1, C.11.2) in numpy, from the numbers that the
film was made of, never from the file; once by pydicom from the file (pixel_array, apply_modality_lut, apply_voi_lut,
apply_color_lut, convert_color_space). Where both exist they must agree within a grey level, or the script fails, but
for what pydicom 3.0 is known to do otherwise:

- HIGH_BIT: it takes the lowest bits, whatever High Bit says.
- FIRST: it takes the sign of a table's first value from Pixel Representation, or from the element's representation,
  where C.11.2.1.1 has the range of rescaled values decide (its issue 942).
- PACKED: entries of 8 bits that are packed in words are an error, or read as words.
- INDEX: tables are indexed by numbers of the type of their entries or of the pixels, so that entries above the 256th
  of 8 bits are not reached, and a negative first value beside unsigned pixels is an error. Modality tables of 12 bits
  are an error.
- HELD: it says what a table holds, not how bright that is. Where a table declares other bits than its highest entry
  takes, Horos and Cornerstone scale by what it holds (dicom-rs' pull request 825).
- WIDTH_BELOW_1: an error in pydicom; viewers take such a film as one without a window.
- YBR: colours of 8 bits in 16 are not turned to RGB.
- BIG: palettes of big-endian files are read as little-endian, packed ones apart.

Padding is no part of pydicom's functions: what it covers is black here, and not counted among the film's values.
Deterministic. Needs pydicom, numpy and Pillow.
"""

import json, os, sys, warnings
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

warnings.simplefilter("ignore")
out = sys.argv[1]
os.makedirs(out, exist_ok=True)
rng = np.random.default_rng(11)
EXPLICIT, IMPLICIT, BIG = ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian
SYNTAX = {EXPLICIT: "explicit", IMPLICIT: "implicit", BIG: "big", RLELossless: "rle"}
ROWS, COLUMNS = 16, 24
index, names, checked = [], set(), {}


# --- by the standard ---


def levels(values, low, high):
    """Values as grey, from low to high; black where there is no difference."""
    if high == low:
        return np.zeros(values.shape, np.uint8)
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def look_up(entries, first, values):
    """C.11.1.1, C.11.2.1.1: the first or the last entry outside."""
    return np.asarray(entries, np.float64)[np.clip(values - first, 0, len(entries) - 1).astype(int)]


def windowed(values, centre, width, function):
    """C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2; from 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    below, above = values <= centre - width / 2, values > centre + width / 2
    between = (values - centre) / width + 0.5 if width > 0 else values
    return np.where(below, 0, np.where(above, 1, between))


def luma(rgb):
    """Pillow's L: (19595 R + 38470 G + 7471 B + 2^15) / 2^16."""
    r, g, b = (rgb[..., at].astype(np.uint64) for at in range(3))
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16


def grey_of(rgb, bits):
    """Colours of so many bits as 8-bit grey."""
    if bits == 8:
        return luma(rgb).astype(np.uint8)
    sixteen = luma(np.rint(rgb.astype(np.float64) / (2**bits - 1) * 65535))
    return ((sixteen * 2 + 257) // 514).astype(np.uint8)


# --- films ---


class Storage:
    """How a sample lies in its bits."""

    def __init__(self, signed, allocated, stored, high=None):
        self.signed, self.allocated, self.stored = signed, allocated, stored
        self.high = stored - 1 if high is None else high
        self.low, self.top = (-(2 ** (stored - 1)), 2 ** (stored - 1) - 1) if signed else (0, 2**stored - 1)

    def __str__(self):
        return f"{'s' if self.signed else 'u'}{self.stored}of{self.allocated}to{self.high}"

    def ramp(self):
        """Every part of the range, both ends met."""
        return np.rint(np.linspace(self.low, self.top, ROWS * COLUMNS)).astype(np.int64).reshape(ROWS, COLUMNS)

    def typed(self, values=None):
        """The values as pydicom would give them; signed bytes as words, since their tables begin further down."""
        values = self.ramp() if values is None else values
        return values.astype(f"i{max(self.allocated // 8, 2)}" if self.signed else f"u{self.allocated // 8}")

    def samples(self, values):
        """The values at their bits, and noise in the bits that do not count."""
        mask, shift = (1 << self.stored) - 1, self.high + 1 - self.stored
        noise = rng.integers(0, 1 << self.allocated, values.shape, dtype=np.int64) & ~(mask << shift)
        return (((values & mask) << shift) | noise).astype(f"<u{self.allocated // 8}")


def encoded(samples, syntax):
    data = samples.astype(samples.dtype.newbyteorder(">" if syntax == BIG else "<")).tobytes()
    data += b"\0" * (len(data) % 2)
    if syntax == BIG and samples.dtype.itemsize == 1:
        data = np.frombuffer(data, "<u2").astype(">u2").tobytes()
    return data


def sixteen(number, vr):
    """16 bits of a number as pydicom wants them for this representation."""
    number &= 0xFFFF
    return number - 0x10000 if vr == "SS" and number > 0x7FFF else number


class Table:
    """A look-up table and the ways in which it may be written."""

    def __init__(self, first, entries, declared, descriptor="US", data="US", packed=False):
        self.first, self.entries, self.declared = first, np.asarray(entries, np.int64), declared
        self.descriptor, self.data, self.packed = descriptor, data, packed
        self.held = int(self.entries.max()).bit_length()

    def __str__(self):
        form = f"{self.data}{'-packed' if self.packed else ''}"
        return f"{len(self.entries)}from{self.first}of{self.declared}held{self.held}-{self.descriptor}-{form}"

    def numbers(self):
        return [sixteen(n, self.descriptor) for n in (len(self.entries) % 65536, self.first, self.declared)]

    def bytes(self, syntax):
        order = ">u2" if syntax == BIG else "<u2"
        if not self.packed:
            return self.entries.astype(order).tobytes()
        data = self.entries.astype(np.uint8).tobytes()
        return np.frombuffer(data + b"\0" * (len(data) % 2), "<u2").astype(order).tobytes()

    def set(self, item, descriptor, data, syntax):
        setattr(item, descriptor, self.numbers())
        item[descriptor].VR = self.descriptor
        setattr(item, data, [int(n) for n in self.entries] if self.data == "US" else self.bytes(syntax))
        item[data].VR = self.data

    def sequence(self, syntax):
        item = Dataset()
        self.set(item, "LUTDescriptor", "LUTData", syntax)
        return [item]


def write(name, syntax, storage, samples, photometric, elements):
    assert name not in names, name
    names.add(name)
    ds = FileDataset(name, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{len(names)}"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.SamplesPerPixel = 3 if photometric in ("RGB", "YBR_FULL", "YBR_FULL_422") else 1
    if photometric is not None:
        ds.PhotometricInterpretation = photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = storage.allocated, storage.stored, storage.high
    ds.PixelRepresentation = int(storage.signed)
    texts = []
    for keyword, value in elements.items():
        if isinstance(value, Table):
            if keyword.endswith("Sequence"):
                setattr(ds, keyword, value.sequence(syntax))
            else:
                value.set(ds, keyword + "Descriptor", keyword + "Data", syntax)
        elif isinstance(value, tuple) and value[0] == "DS":
            # Text that pydicom would not write, put in its place below.
            texts.append(value[1].encode())
            setattr(ds, keyword, "7" * len(value[1]))
        elif isinstance(value, tuple):
            ds.add_new(keyword, *value)
        else:
            setattr(ds, keyword, value)
    ds.PixelData = encoded(samples, EXPLICIT if syntax == RLELossless else syntax)
    ds["PixelData"].VR = "OW"
    path = os.path.join(out, f"{len(index)}.dcm")
    if syntax == RLELossless:
        ds.file_meta.TransferSyntaxUID = EXPLICIT
        ds.compress(RLELossless, generate_instance_uid=False)
    if syntax == BIG:
        pydicom.dcmwrite(path, ds, implicit_vr=False, little_endian=False, force_encoding=True)
    else:
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
    for text in texts:
        with open(path, "rb") as file:
            data = file.read()
        assert data.count(b"7" * len(text)) == 1
        with open(path, "wb") as file:
            file.write(data.replace(b"7" * len(text), text))
    return path


def keep(name, path, picture, pydicoms, quirks, doubtful=False):
    """A film with its picture, once pydicom's is the same or known to differ for a reason."""
    kind = "agrees"
    if isinstance(pydicoms, Exception):
        kind = "refused by pydicom: " + ", ".join(sorted(quirks))
        assert quirks, f"{name}: pydicom refuses: {pydicoms!r}"
    elif np.abs(pydicoms.astype(int) - picture).max() > 1:
        kind = "otherwise in pydicom: " + ", ".join(sorted(quirks))
        assert quirks, f"{name}: pydicom differs by {np.abs(pydicoms.astype(int) - picture).max()}"
    checked[kind] = checked.get(kind, 0) + 1
    picture_path = os.path.join(out, f"{len(index)}.png")
    Image.fromarray(picture).save(picture_path)
    index.append({"name": name, "path": path, "picture": picture_path, "refusal": None, "doubtful": doubtful})


def refuse(name, path, refusal):
    index.append({"name": name, "path": path, "picture": None, "refusal": refusal, "doubtful": False})


def attempt(function):
    try:
        return function()
    except Exception as error:
        return error


def grey(
    name,
    storage,
    photometric="MONOCHROME2",
    syntax=EXPLICIT,
    rescale=None,
    modality=None,
    voi=None,
    window=None,
    padding=None,
    values=None,
    shape=None,
    quirks=(),
    **elements,
):
    """A film of grey. `rescale`: slope, intercept; `window`: centre, width, function; `padding`: first, last."""
    values = storage.ramp() if values is None else values
    quirks = set(quirks)
    if rescale:
        elements |= {"RescaleSlope": str(rescale[0]), "RescaleIntercept": str(rescale[1])}
    if modality:
        elements["ModalityLUTSequence"] = modality
    if voi:
        elements["VOILUTSequence"] = voi
    if window:
        centre, width, function = window
        elements = {"WindowCenter": str(centre), "WindowWidth": str(width), "VOILUTFunction": function} | elements
        if not function:
            del elements["VOILUTFunction"]
    if shape:
        elements["PresentationLUTShape"] = shape
    path = write(name, syntax, storage, storage.samples(values), photometric, elements)

    # By the standard.
    x = values.astype(np.float64)
    if modality:
        x = look_up(modality.entries, modality.first, values)
    elif rescale:
        x = x * rescale[0] + rescale[1]
    covered = np.zeros(values.shape, bool) if padding is None else (values >= padding[0]) & (values <= padding[1])
    if voi:
        low, high = 0, 2**voi.held - 1
        shown = look_up(voi.entries, voi.first, x)
    elif window and not (function in ("", "LINEAR") and width < 1):
        low, high = 0, 1
        shown = windowed(x, centre, width, function or "LINEAR")
    else:
        shown = x
        low, high = (x[~covered].min(), x[~covered].max()) if not covered.all() else (0, 0)
    inverse = photometric == "MONOCHROME1" or (shape or "").upper() == "INVERSE"

    def picture(shown, low, high):
        level = levels(shown, low, high)
        level = 255 - level if inverse else level
        return np.where(covered, 0, level).astype(np.uint8)

    # By pydicom: its tables and windows, on its stored values where it can read them.
    ds = pydicom.dcmread(path)
    stored = attempt(lambda: ds.pixel_array)
    if storage.high == storage.stored - 1:
        assert not isinstance(stored, Exception) and (stored == values).all(), f"{name}: {stored}"
    else:
        stored = storage.typed(values)
        checked["HIGH_BIT"] = checked.get("HIGH_BIT", 0) + 1

    def by_pydicom():
        measured = apply_modality_lut(stored, ds)
        if ds.get("ModalityLUTSequence"):
            assert set(np.unique(measured)) <= set(modality.entries.tolist()), "not an entry of the table"
        theirs = apply_voi_lut(measured, ds)
        if voi:
            return picture(theirs.astype(np.float64), 0, 2**voi.held - 1)
        if window:
            ends = apply_voi_lut(np.array([-1e12, 1e12]), ds)
            return picture(theirs, *ends)
        kept = theirs[~covered]
        return picture(theirs.astype(np.float64), *((float(kept.min()), float(kept.max())) if kept.size else (0, 0)))

    for table, sequence in ((modality, "ModalityLUTSequence"), (voi, "VOILUTSequence")):
        if table and ds[sequence][0].LUTDescriptor[1] != table.first:
            quirks.add("FIRST")
        if table and table.packed:
            quirks.add("PACKED")
    is_negative = voi and voi.first < 0 and not storage.signed and not rescale
    if is_negative or (voi and voi.declared == 8 and len(voi.entries) > 256):
        quirks.add("INDEX")
    if modality and (modality.declared not in (8, 16) or storage.signed):
        quirks.add("INDEX")
    if voi and voi.held != voi.declared:
        quirks.add("HELD")
    if window and width < 1:
        quirks.add("WIDTH_BELOW_1")
    keep(name, path, picture(shown, low, high), attempt(by_pydicom), quirks, bool(voi and voi.held != voi.declared))


def curve(count, bits):
    """A table that bends, from 0 to the highest number of so many bits."""
    return np.rint(np.linspace(0, 1, count) ** 1.5 * (2**bits - 1)).astype(np.int64)


# Bits: representation × allocated × stored × high bit × photometric interpretation × what is of interest.
storages = [
    Storage(signed, allocated, stored, high)
    for signed in (False, True)
    for allocated, several in ((8, (8, 7, 5)), (16, (16, 14, 12, 10, 9)), (32, (32, 20)))
    for stored in several
    for high in sorted({stored - 1, allocated - 1})
]
for storage in storages:
    middle, span = (storage.low + storage.top) / 2, storage.top - storage.low
    views = {
        "plain": {},
        "rescaled": {"rescale": (2, -1024)},
        "rescaled-down": {"rescale": (-2, 5)},
        "rescaled-by-fractions": {"rescale": (0.37, -300.5)},
        "linear": {"window": (middle, span // 2, "")},
        "linear-by-name": {"window": (middle + span // 8, span // 3, "LINEAR")},
        "linear-rescaled": {"window": (0.37 * middle - 300.5, 0.2 * span + 1.5, ""), "rescale": (0.37, -300.5)},
        "linear-rescaled-down": {"window": (-2 * middle + 5, span, ""), "rescale": (-2, 5)},
        "exact": {"window": (middle, span // 2, "LINEAR_EXACT")},
        "sigmoid": {"window": (middle, span // 2, "SIGMOID")},
        "threshold": {"window": (middle, 1, "")},
        "narrower-than-1": {"window": (middle, 0.5, "")},
        "exact-narrower-than-1": {"window": (middle, 0.5, "LINEAR_EXACT")},
        "several": {
            "window": (middle, span // 2, ""),
            "WindowCenter": [str(middle), "9", "7"],
            "WindowWidth": [str(span // 2), "7", "3"],
        },
        "empty": {"WindowCenter": "", "WindowWidth": ""},
        "centre-alone": {"WindowCenter": "9"},
    }
    for view, settings in views.items():
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            grey(f"{storage} {photometric} {view}", storage, photometric, **settings)
# The same in every encoding.
for syntax in (IMPLICIT, BIG, RLELossless):
    for storage in storages:
        # pydicom packs no other films.
        if syntax != RLELossless or (storage.allocated < 32 and storage.high == storage.stored - 1):
            window = (storage.low + storage.top) / 2, 2 ** (storage.stored - 1), ""
            grey(f"{storage} {SYNTAX[syntax]}", storage, syntax=syntax, window=window)
for shape in ("INVERSE", "IDENTITY", "inverse"):
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        grey(f"{shape} {photometric}", Storage(False, 16, 12), photometric, shape=shape)
for function in ("linear", "sigmoid", "Linear_Exact"):
    grey(f"function {function}", Storage(False, 16, 12), window=(1800, 900, function.upper()), VOILUTFunction=function)

# Tables of interest: range of the values × first value × encoding × bits declared and held × how entries are written.
twelve, sixteen_bits = Storage(False, 16, 12), Storage(False, 16, 16)
signed_13, signed_16 = Storage(True, 16, 13), Storage(True, 16, 16)
everywhere = [(EXPLICIT, "US"), (EXPLICIT, "SS"), (IMPLICIT, "US"), (BIG, "US"), (BIG, "SS")]
unsigned_only = [(EXPLICIT, "US"), (IMPLICIT, "US"), (BIG, "US")]
places = [
    (twelve, None, 0, 4096, everywhere),
    (twelve, None, 300, 3000, everywhere),
    # Only a file that says SS can mean this: nothing else of it is negative.
    (twelve, None, -200, 4096, [(EXPLICIT, "SS"), (BIG, "SS")]),
    (twelve, (1, -1024), -1024, 4096, everywhere),
    (twelve, (-1, 0), -4095, 4096, everywhere),
    (twelve, (0.5, -300.25), -300, 2048, everywhere),
    (sixteen_bits, None, 40000, 20001, everywhere),
    (sixteen_bits, (1, -1024), -1024, 20001, everywhere),
    (sixteen_bits, (1, -1024), 40000, 20001, unsigned_only),
    (signed_13, None, -4096, 8192, everywhere),
    (signed_13, None, 100, 2000, everywhere),
    (signed_16, None, -30000, 30000, everywhere),
    # Pixels below 0, and none once rescaled.
    (signed_16, (1, 32768), 40000, 20001, everywhere),
    (signed_16, (1, 32768), 0, 30000, everywhere),
]
forms = [(8, 8, "US", False), (8, 8, "OW", False), (8, 8, "OW", True)]
forms += [(bits, bits, data, False) for bits in (10, 12, 14, 16) for data in ("US", "OW")]
others = ((16, 14), (16, 12), (16, 10), (16, 8), (12, 10), (10, 9), (8, 7), (8, 12), (12, 16))
forms += [(declared, held, "US", False) for declared, held in others]
for storage, rescale, first, count, encodings in places:
    for syntax, descriptor in encodings:
        for declared, held, data, packed in forms:
            if count > 9000 and data == "US":
                # pydicom takes its time over long lists of numbers.
                continue
            voi = Table(first, curve(count, held), declared, descriptor, data, packed)
            grey(
                f"interest {storage} {rescale} {SYNTAX[syntax]} {voi}", storage, syntax=syntax, rescale=rescale, voi=voi
            )
for photometric in ("MONOCHROME1", "MONOCHROME2"):
    for count in (1, 2, 255, 257):
        voi = Table(100, curve(count, 8) if count > 1 else [200], 8, "US", "OW", True)
        grey(f"interest {photometric} {voi}", twelve, photometric, voi=voi)
    voi = Table(0, curve(65536, 16), 16, "US", "OW")
    grey(f"interest {photometric} {voi}", sixteen_bits, photometric, voi=voi)
    falling = Table(0, curve(4096, 12)[::-1], 12)
    grey(f"interest before window {photometric}", twelve, photometric, voi=falling, window=(10, 20, ""))
grey("interest of nothing but 0", twelve, voi=Table(0, np.zeros(4096), 12), quirks={"HELD"})
index[-1]["doubtful"] = False

# Modality tables: what is looked up is stored, so its sign is the pixels'.
places = [(twelve, 0, 4096), (twelve, 500, 2000), (sixteen_bits, 40000, 20001), (signed_13, -4096, 8192)]
forms = [(8, "US", False), (8, "OW", True), (12, "US", False), (16, "US", False), (16, "OW", False)]
for storage, first, count in places + [(signed_13, -100, 900)]:
    for syntax, descriptor in everywhere:
        for declared, data, packed in forms:
            if count > 9000 and data == "US":
                continue
            modality = Table(first, curve(count, declared), declared, descriptor, data, packed)
            top = 2**declared
            name = f"modality {storage} {SYNTAX[syntax]} {modality}"
            grey(name, storage, syntax=syntax, modality=modality)
            grey(name + " window", storage, syntax=syntax, modality=modality, window=(top * 0.4, top * 0.5, ""))
            voi = Table(top // 8, curve(top // 2, 12), 12, "US", "US" if top < 60000 else "OW")
            grey(name + " interest", storage, syntax=syntax, modality=modality, voi=voi)
# A table of entries above 32767, so that what interests is above too.
grey("interest above modality", twelve, modality=Table(0, curve(4096, 16), 16), voi=Table(40000, curve(20001, 12), 12))

# Padding: a value or a range, also one that no pixel can have.
padded = [Storage(False, 8, 8), twelve, Storage(False, 16, 12, 15), sixteen_bits, signed_13, Storage(True, 16, 12)]
for storage in padded + [signed_16]:
    low, top = storage.low, storage.top
    cases = {
        "lowest": (low, None),
        "highest": (top, None),
        "above": (top - 500 if top > 500 else top - 50, top),
        "below": (low + 40, low),
        "one": (int(storage.ramp()[3, 5]), None),
    }
    views = {
        "plain": {},
        "window": {"window": ((low + top) / 2, top - low, "")},
        "down": {"rescale": (-2, 5)},
        "interest": {"voi": Table(max(low, 0), curve(min(top, 4095), 12), 12)},
    }
    for case, (first, last) in cases.items():
        for representation in ("US", "SS"):
            elements = {"PixelPaddingValue": (representation, sixteen(first, representation))}
            if last is not None:
                elements["PixelPaddingRangeLimit"] = (representation, sixteen(last, representation))
            ends = (first, first if last is None else last)
            for view, settings in views.items():
                for photometric in ("MONOCHROME1", "MONOCHROME2"):
                    grey(
                        f"padding {storage} {case} {representation} {view} {photometric}",
                        storage,
                        photometric,
                        padding=(min(ends), max(ends)),
                        **settings,
                        **elements,
                    )
grey("padding of bits that are not stored", twelve, PixelPaddingValue=65535)
grey("padding below the stored", signed_13, PixelPaddingValue=("SS", -30000))
# -2048 of 12 bits, written in those.
grey("padding in the stored bits", Storage(True, 16, 12), padding=(-2048, -2048), PixelPaddingValue=0x800)

# Colour: interpretation × planes × bits × encoding.
count = np.arange(ROWS * COLUMNS)
ramps = np.stack([count % 251, (count * 7 + 40) % 256, 255 - count // 2], -1)
ramps = ramps.reshape(ROWS, COLUMNS, 3).astype(np.int64)
for photometric in ("RGB", "YBR_FULL"):
    for allocated, stored, high in (
        (8, 8, 7),
        (16, 8, 7),
        (16, 8, 15),
        (16, 10, 9),
        (16, 12, 11),
        (16, 12, 15),
        (16, 16, 15),
    ):
        if photometric == "YBR_FULL" and stored != 8:
            continue
        for planar in (0, 1):
            for syntax in (EXPLICIT, IMPLICIT, BIG, RLELossless):
                storage = Storage(False, allocated, stored, high)
                values = (ramps * (2**stored - 1)) // 255
                samples = storage.samples(values)
                samples = np.moveaxis(samples, -1, 0).copy() if planar else samples
                # pydicom packs no other films.
                if syntax == RLELossless and (planar or high != stored - 1 or allocated - stored >= 8):
                    continue
                name = f"{photometric} {storage} {SYNTAX[syntax]} {'planes' if planar else 'pixels'}"
                path = write(name, syntax, storage, samples, photometric, {"PlanarConfiguration": planar})
                is_ybr = photometric == "YBR_FULL"
                rgb = convert_color_space(values.astype(np.uint8), "YBR_FULL", "RGB") if is_ybr else values
                theirs = attempt(lambda: grey_of(pydicom.dcmread(path).pixel_array, stored))
                quirks = {"HIGH_BIT"} if high != stored - 1 else set()
                quirks |= {"YBR"} if is_ybr and allocated > 8 else set()
                keep(name, path, grey_of(rgb, stored), theirs, quirks)
for syntax in (EXPLICIT, IMPLICIT, BIG):
    pairs = ramps.reshape(-1, 2, 3)
    samples = np.concatenate([pairs[:, :, 0], pairs[:, 0, 1:]], -1).astype("<u1")
    name, elements = f"YBR_FULL_422 {SYNTAX[syntax]}", {"PlanarConfiguration": 0}
    path = write(name, syntax, Storage(False, 8, 8), samples, "YBR_FULL_422", elements)
    shared = np.concatenate([pairs[:, :, :1], np.repeat(pairs[:, :1, 1:], 2, 1)], -1).reshape(ROWS, COLUMNS, 3)
    rgb = convert_color_space(shared.astype(np.uint8), "YBR_FULL", "RGB")
    keep(name, path, grey_of(rgb, 8), attempt(lambda: grey_of(pydicom.dcmread(path).pixel_array, 8)), set())

# Palettes: index × first × bits × how the entries are written.
COLOURS = ("Red", "Green", "Blue")
indices = [Storage(False, 8, 8), Storage(False, 8, 6), Storage(False, 16, 16), Storage(False, 16, 12, 15)]
for storage in indices + [Storage(True, 8, 8), Storage(True, 16, 12)]:
    for first, count in ((0, 256), (100, 64), (-100, 200), (0, 65536)):
        if (first < 0 and not storage.signed) or (count == 65536 and storage.allocated == 8):
            continue
        for syntax, descriptor in everywhere:
            for declared, held, packed in ((8, 8, True), (8, 8, False), (16, 16, False), (16, 8, False)):
                ways = np.arange(count) / max(count - 1, 1)
                shades = [ways**1.5, 1 - 0.4 * ways, (ways * 7.3) % 1]
                shades = [np.rint(shade * (2**held - 1)) for shade in shades]
                tables = [Table(first, shade, declared, descriptor, "OW", packed) for shade in shades]
                name = f"palette {storage} {SYNTAX[syntax]} {tables[0]}"
                path = write(
                    name,
                    syntax,
                    storage,
                    storage.samples(storage.ramp()),
                    "PALETTE COLOR",
                    {f"{colour}PaletteColorLookupTable": table for colour, table in zip(COLOURS, tables)},
                )
                rgb = np.stack([look_up(table.entries, first, storage.ramp()) for table in tables], -1)
                theirs = attempt(lambda: grey_of(apply_color_lut(storage.typed(), pydicom.dcmread(path)), declared))
                quirks = {"HELD"} if held != declared else set()
                quirks |= {"INDEX"} if declared == 8 and storage.stored > 8 else set()
                quirks |= {"BIG"} if syntax == BIG else set()
                quirks |= {"FIRST"} if pydicom.dcmread(path).RedPaletteColorLookupTableDescriptor[1] != first else set()
                keep(name, path, grey_of(rgb, held), theirs, quirks)

# Refused by name.
plain = {"WindowCenter": "2000", "WindowWidth": "900"}
table = Table(0, curve(256, 8), 8)
short = Table(0, curve(256, 12), 12)
wide, narrow = Table(0, curve(256, 12), 17), Table(0, curve(256, 12), 0)
three, bytes_ = {"PlanarConfiguration": 0}, Storage(False, 8, 8)
refusals = [
    ("MONOCHROME2 of 3 samples", "MONOCHROME2", twelve, {"SamplesPerPixel": 3}, 'pixels of 3 samples in "MONOCHROME2"'),
    ("RGB of 1 sample", "RGB", twelve, {"SamplesPerPixel": 1}, 'pixels of 1 samples in "RGB"'),
    ("small letters", "monochrome2", twelve, {}, '"monochrome2", expected capitals as in "MONOCHROME2"'),
    ("no interpretation", None, twelve, {}, "without a photometric interpretation"),
    ("empty interpretation", "", twelve, {}, "without a photometric interpretation"),
    ("unknown interpretation", "GREY", twelve, {}, 'pixels of 1 samples in "GREY"'),
    ("HSV", "HSV", Storage(False, 8, 8), {"SamplesPerPixel": 3}, 'pixels of 3 samples in "HSV"'),
    ("YBR_PARTIAL_422", "YBR_PARTIAL_422", Storage(False, 8, 8), {"SamplesPerPixel": 3}, 'in "YBR_PARTIAL_422"'),
    ("stored above allocated", "MONOCHROME2", twelve, {"BitsStored": 17}, "16 bits, 17 of them stored"),
    ("high bit below stored", "MONOCHROME2", twelve, {"HighBit": 10}, "12 of them stored up to bit 10"),
    ("high bit above allocated", "MONOCHROME2", twelve, {"HighBit": 16}, "12 of them stored up to bit 16"),
    ("12 allocated", "MONOCHROME2", twelve, {"BitsAllocated": 12}, "pixels of 12 bits"),
    ("representation 2", "MONOCHROME2", twelve, {"PixelRepresentation": 2}, "pixel representation 2, expected 0 or 1"),
    ("planar 2", "RGB", Storage(False, 8, 8), {"PlanarConfiguration": 2}, "planar configuration 2, expected 0 or 1"),
    ("signed colour", "RGB", Storage(True, 8, 8), three, "colours of signed numbers"),
    ("YBR of 12 bits", "YBR_FULL", twelve, three, "colours of 12 bits"),
    ("422 in planes", "YBR_FULL_422", bytes_, {"PlanarConfiguration": 1}, "of 24 columns and 8 bits in planes"),
    ("422 of 16 bits", "YBR_FULL_422", Storage(False, 16, 8), three, "YBR_FULL_422 of 24 columns and 16 bits"),
    ("422 of odd columns", "YBR_FULL_422", bytes_, {"Columns": 23, "PlanarConfiguration": 0}, "of 23 columns"),
    ("window function", "MONOCHROME2", twelve, plain | {"VOILUTFunction": "CUBIC"}, 'window function "CUBIC"'),
    (
        "centre in words",
        "MONOCHROME2",
        twelve,
        plain | {"WindowCenter": ("DS", "mid")},
        'centre is "mid", not a number',
    ),
    ("width with a comma", "MONOCHROME2", twelve, plain | {"WindowWidth": ("DS", "900,5")}, 'width is "900,5", not a'),
    ("infinite slope", "MONOCHROME2", twelve, {"RescaleSlope": ("DS", "inf")}, 'rescale slope is "inf", not a number'),
    ("no intercept", "MONOCHROME2", twelve, {"RescaleIntercept": ("DS", "none")}, 'rescale intercept is "none"'),
    (
        "short table",
        "MONOCHROME2",
        twelve,
        {"VOILUTSequence": (short, 300)},
        "256 entries of 12 bits where it promises 300",
    ),
    (
        "short bytes",
        "MONOCHROME2",
        twelve,
        {"VOILUTSequence": (table, 600)},
        "256 entries of 8 bits where it promises 600",
    ),
    ("table of 17 bits", "MONOCHROME2", twelve, {"VOILUTSequence": (wide, 256)}, "whose entries have 17 bits"),
    ("table of 0 bits", "MONOCHROME2", twelve, {"ModalityLUTSequence": (narrow, 256)}, "whose entries have 0 bits"),
    ("two numbers", "MONOCHROME2", twelve, {"VOILUTSequence": (short, None)}, "that is not described by three numbers"),
    ("no palette", "PALETTE COLOR", Storage(False, 8, 8), {}, "without a palette"),
]
for name, photometric, storage, elements, refusal in refusals:
    values = storage.ramp()
    is_colour = photometric in ("RGB", "YBR_FULL", "YBR_FULL_422", "HSV", "YBR_PARTIAL_422")
    samples = storage.samples(np.repeat(values[..., None], 3, -1) if is_colour else values)
    ready = {}
    for keyword, value in elements.items():
        if isinstance(value, tuple) and isinstance(value[0], Table):
            sequence = value[0].sequence(EXPLICIT)
            numbers = [int(n) for n in sequence[0].LUTDescriptor]
            sequence[0].LUTDescriptor = numbers[:2] if value[1] is None else [value[1]] + numbers[1:]
            sequence[0]["LUTDescriptor"].VR = "US"
            value = sequence
        ready[keyword] = value
    refuse(name, write(name, EXPLICIT, storage, samples, photometric, ready), refusal)

with open(os.path.join(out, "index.json"), "w") as file:
    json.dump(index, file)
print(json.dumps({"films": len(index), "refused": len(refusals), "pydicom": checked}))
