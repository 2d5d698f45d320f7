"""Writes one film of every kind that people have, for second implementations to be compared on.

usage: films.py FOLDER

The name of each says what it is. `dicom.dcm`, `colour16.png`, `grey-alpha16.png`, `cmyk.jpg`, `film.bmp` and `cut.png`
are for being refused.
"""

import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image

folder = sys.argv[1]
rows, columns = np.mgrid[0:150, 0:211].astype(float)
bone = 150 * np.exp(-(((columns - 90 - rows / 5) / 22) ** 2))
grey = np.clip(30 + rows / 5 + bone + 25 * np.sin(columns / 9) * np.cos(rows / 7), 0, 255)
film = Image.fromarray(grey.round().astype(np.uint8))
deep = np.clip(grey * 257, 0, 65535).round().astype(np.uint16)
colour = Image.merge("RGB", [film.point(lambda v, k=k: max(0, v - k)) for k in (0, 9, 30)])


def path(name):
    return os.path.join(folder, name)


def png(name, samples, depth, kind):
    """A PNG of 16 bits with several channels, which Pillow does not write."""
    chunk = lambda tag, data: struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    height, width = samples.shape[:2]
    lines = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    with open(path(name), "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + body)


film.save(path("grey8.png"))
film.convert("1").save(path("grey1.png"))
film.quantize(16).save(path("palette.png"))
Image.fromarray(deep).save(path("grey16.png"))
colour.save(path("colour.png"))
Image.merge("LA", [film, film.point(lambda v: 255 - v)]).save(path("grey-alpha.png"))
colour.convert("RGBA").save(path("colour-alpha.png"))
film.save(path("grey.jpg"), quality=95)
colour.save(path("colour.jpg"), quality=95, subsampling=0)
colour.save(path("colour420.jpg"), quality=90, subsampling=2)
film.save(path("progressive.jpg"), quality=95, progressive=True)
for turn in range(2, 9):
    exif = Image.Exif()
    exif[0x0112] = turn
    film.save(path(f"exif{turn}.jpg"), quality=95, exif=exif)
exif = Image.Exif()
exif[0x0112] = 6
film.save(path("exif6.png"), exif=exif)
film.resize((64, 64)).save(path("square.png"))
film.resize((40, 300)).save(path("tall.png"))
Image.new("L", (90, 70), 77).save(path("flat.png"))

with open(path("dicom.dcm"), "wb") as file:
    file.write(b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0\0\0\0\0")
png("colour16.png", np.stack([deep, deep // 2, deep // 3], -1), 16, 2)
png("grey-alpha16.png", np.stack([deep, deep], -1), 16, 4)
colour.convert("CMYK").save(path("cmyk.jpg"))
film.save(path("film.bmp"))
with open(path("grey8.png"), "rb") as whole, open(path("cut.png"), "wb") as cut:
    cut.write(whole.read()[:4000])
