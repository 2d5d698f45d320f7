"""What Pillow makes of image files: the standard that crate/tests/preprocess.rs compares with.

    python preprocess.py OUT SIZE [FILE...]

Writes pictures of every kind that the crate decodes to OUT, then for these and every FILE the pixels: `N.grey.png`
(decoded, upright, 8-bit grey), `N.letterbox.png` and `N.stretch.png` (SIZE x SIZE, from that grey), `N.window.png`
(numpy's percentiles 1 and 99 of that grey made black and white, then stretched), and `index.json`, a list of {"path",
"lossy"} in the order of N. Deterministic. Needs Pillow and numpy.
"""

import json, os, struct, sys, zlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

out, size = sys.argv[1], int(sys.argv[2])


def scene(mode, width, height, detail=True):
    """Gradients, edges and fine lines, smooth enough that JPEG's own loss stays small."""
    picture = Image.linear_gradient("L").resize((width, height), Image.BICUBIC)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((width * 0.2, height * 0.1, width * 0.7, height * 0.9), fill=200)
    draw.rectangle((width * 0.55, height * 0.3, width * 0.95, height * 0.6), fill=35)
    if detail:
        for at in range(0, width, 5):
            draw.line((at, 0, width - at, height), fill=(at * 7) % 256)
    else:
        picture = picture.filter(ImageFilter.GaussianBlur(2))
    if mode == "L":
        return picture
    colours = Image.merge(
        "RGB", (picture, picture.transpose(Image.FLIP_LEFT_RIGHT), picture.point(lambda v: 255 - v // 2))
    )
    if not detail:
        colours = colours.filter(ImageFilter.GaussianBlur(4))
    return colours.convert(mode) if mode != "P" else colours.quantize(64)


def sixteen_bits(width, height):
    """16-bit grey: 256 times the picture plus some low bits, beyond what 8 bits hold."""
    high = scene("L", width, height).tobytes()
    words = b"".join(bytes(((at * 37) % 256, v)) for at, v in enumerate(high))
    return Image.frombytes("I;16", (width, height), words)


def grey(path):
    with Image.open(path) as picture:
        if picture.mode.startswith("I;16"):  # Pillow's own convert("L") clips at 255
            words = picture.tobytes()
            values = [words[at] + 256 * words[at + 1] for at in range(0, len(words), 2)]
            return Image.frombytes("L", picture.size, bytes((2 * v + 257) // 514 for v in values))
        return ImageOps.exif_transpose(picture).convert("L")


os.makedirs(out, exist_ok=True)
files = []


def save(picture, name, **options):
    path = os.path.join(out, name)
    picture.save(path, **options)
    files.append(path)


for width, height in ((512, 406), (89, 512), (300, 301), (64, 64), (40, 23)):
    save(scene("L", width, height), f"grey-{width}x{height}.png")
for mode in ("RGB", "RGBA", "LA", "P"):
    save(scene(mode, 317, 211), f"{mode}.png")
save(scene("L", 317, 211).convert("1"), "bilevel.png")
save(scene("L", 317, 211).quantize(16), "palette-4-bit.png", bits=4)
save(sixteen_bits(317, 211), "sixteen.png")
for quality in (95, 75):
    save(scene("L", 317, 211), f"grey-{quality}.jpg", quality=quality)
for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
    save(scene("RGB", 317, 211, detail=False), f"colour-{name}.jpg", quality=90, subsampling=subsampling)
save(scene("L", 317, 211), "progressive.jpg", quality=85, progressive=True)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[274] = orientation
    save(scene("L", 120, 75), f"orientation-{orientation}.jpg", quality=90, exif=exif)
    save(scene("L", 120, 75), f"orientation-{orientation}.png", exif=exif)


def patch(name, source, change):
    """A file that Pillow cannot write, made from one that it can."""
    with open(os.path.join(out, source), "rb") as file:
        data = file.read()
    path = os.path.join(out, name)
    with open(path, "wb") as file:
        file.write(change(data))
    files.append(path)


def ycck(data):
    """Adobe's marker says 2, YCCK, in place of 0, CMYK: the same samples, other colours."""
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\2" + data[at + 1 :]


def exif_after_pixels(data):
    """The eXIf chunk, which may stand anywhere before IEND, as the last but one; big endian, orientation 6."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    chunk = struct.pack(">I", len(tiff)) + b"eXIf" + tiff + struct.pack(">I", zlib.crc32(b"eXIf" + tiff))
    return data[:-12] + chunk + data[-12:]


def big_endian(data):
    """The EXIF data of a JPEG in the other byte order; orientation 8."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0"
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff + data[2:]


smooth = scene("RGB", 317, 211, detail=False)
for quality in (60, 95):
    save(smooth.convert("CMYK"), f"cmyk-{quality}.jpg", quality=quality)
    patch(f"ycck-{quality}.jpg", f"cmyk-{quality}.jpg", ycck)
save(scene("RGB", 317, 211).convert("CMYK"), "cmyk-detail.jpg", quality=90)
save(smooth, "stored-as-rgb.jpg", quality=90, keep_rgb=True)
save(scene("RGB", 317, 211), "colour-detail.jpg", quality=90)
# Whole MCUs: below a bottom row of halves, zune-jpeg interpolates colours with what pads the MCU, libjpeg does not.
save(
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (128, 160, 3), dtype=np.uint8)),
    "colour-noise.jpg",
    quality=75,
)
save(smooth, "colour-progressive.jpg", quality=90, progressive=True)
save(scene("L", 317, 211), "optimised.jpg", quality=80, optimize=True)
save(smooth, "restarts.jpg", quality=90, restart_marker_blocks=7)
save(smooth, "restarts-progressive.jpg", quality=90, progressive=True, restart_marker_rows=2)
save(Image.new("L", (64, 64), 0), "black.jpg", quality=75)
save(Image.new("L", (8, 8), 255), "white.jpg", quality=75)
patch("big-endian.jpg", "grey-95.jpg", big_endian)
patch("exif-after-pixels.png", "grey-300x301.png", exif_after_pixels)

files += sys.argv[3:]
for at, path in enumerate(files):
    film = grey(path)
    film.save(os.path.join(out, f"{at}.grey.png"))
    ImageOps.pad(film, (size, size), Image.BILINEAR, color=0).save(os.path.join(out, f"{at}.letterbox.png"))
    film.resize((size, size), Image.BILINEAR).save(os.path.join(out, f"{at}.stretch.png"))
    greys = np.asarray(film).astype(np.float64)
    low, high = np.percentile(greys, [1, 99])
    if high > low:
        greys = np.rint(np.clip((greys - low) / (high - low), 0, 1) * 255)
    windowed = Image.fromarray(greys.astype(np.uint8))
    windowed.resize((size, size), Image.BILINEAR).save(os.path.join(out, f"{at}.window.png"))
with open(os.path.join(out, "index.json"), "w") as index:
    json.dump([{"path": path, "lossy": path.endswith(".jpg")} for path in files], index)
