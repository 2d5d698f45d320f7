"""Files below 1 MiB whose films are as large as they may be, or larger: what a decoder's memory is measured by.

    python large.py OUT

Six are within the crate's limits (progressive JPEGs, one of CMYK and one of 190 scans, a PNG of 16-bit colours with
alpha, DICOM deflated, in JPEG and in JPEG 2000), two above (JPEG 2000 of too many samples, and of too small blocks).
All are black. Needs pydicom, numpy and Pillow.
"""

import io, os, struct, sys, zlib
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit

out, side = sys.argv[1], 6324
os.makedirs(out, exist_ok=True)


def encoded(picture, format, **options):
    data = io.BytesIO()
    picture.save(data, format, **options)
    return data.getvalue()


def write(name, data):
    with open(os.path.join(out, name), "wb") as file:
        file.write(data)


def film(name, side, syntax, payload, bits=8, samples=1, photometric="MONOCHROME2"):
    ds = FileDataset(name, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.826.0.1.3"
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = samples, photometric, 0
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    if syntax == DeflatedExplicitVRLittleEndian:
        ds.PixelData = payload
        ds["PixelData"].VR = "OW"
    else:
        ds.PixelData = encapsulate([payload])
        ds["PixelData"].is_undefined_length = True
    ds.save_as(os.path.join(out, name), enforce_file_format=True)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


write("cmyk-progressive.jpg", encoded(Image.new("CMYK", (side, side)), "JPEG", progressive=True, subsampling=0))


def many_scans():
    """A progressive JPEG that sends each bit of each coefficient in its own scan; blocks ended in runs of 32,767."""
    segment = lambda marker, body: bytes([255, marker]) + struct.pack(">H", len(body) + 2) + body
    padded = (
        lambda bits: int("1" + bits + "1" * (-len(bits) % 8), 2).to_bytes(len(bits) // 8 + 2, "big").lstrip(b"\0")[1:]
    )
    blocks = (-(-side // 8)) ** 2
    data = (
        b"\xff\xd8"
        + segment(0xDB, bytes([0] + [1] * 64))
        + segment(0xC2, struct.pack(">BHHB3B", 8, side, side, 1, 1, 17, 0))
    )
    data += segment(0xC4, bytes([0, 1] + [0] * 15 + [0])) + segment(0xC4, bytes([16, 1] + [0] * 15 + [0xE0]))
    data += segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(blocks // 8) + padded("0" * (blocks % 8))
    runs = padded(("0" + "1" * 14) * -(-blocks // 32767)).replace(b"\xff", b"\xff\0")
    for high, low in ((0, 2), (2, 1), (1, 0)):
        for k in range(1, 64):
            data += segment(0xDA, bytes([1, 1, 0, k, k, high << 4 | low])) + runs
    return data + b"\xff\xd9"


write("190-scans.jpg", many_scans())
deflate = zlib.compressobj(9)
rows = b"".join(deflate.compress(bytes(1 + 8 * side)) for _ in range(side)) + deflate.flush()
header = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
write("rgba-16.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
film("deflated.dcm", side, DeflatedExplicitVRLittleEndian, bytes(2 * side * side), bits=16)
film(
    "jpeg.dcm",
    side,
    JPEGBaseline8Bit,
    encoded(Image.new("RGB", (side, side)), "JPEG", progressive=True),
    8,
    3,
    "YBR_FULL_422",
)
sixteen = Image.fromarray(np.zeros((5656, 5656), np.uint16))
film("j2k.dcm", 5656, JPEG2000Lossless, encoded(sixteen, "JPEG2000", no_jp2=True), bits=16)
film("j2k-larger.dcm", side, JPEG2000Lossless, encoded(Image.new("L", (side, side)), "JPEG2000", no_jp2=True))
small = encoded(Image.new("L", (2000, 2000)), "JPEG2000", no_jp2=True, codeblock_size=(4, 4))
film("j2k-small-blocks.dcm", 2000, JPEG2000Lossless, small)
