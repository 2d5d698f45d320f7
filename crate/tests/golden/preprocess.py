"""What Pillow makes of image files: the standard that crate/tests/preprocess.rs compares with.

    python preprocess.py OUT SIZE [FILE...]

Writes pictures of every kind that the crate decodes to OUT, then for these and every FILE the pixels: `N.grey.png` (decoded,
upright, 8-bit grey), `N.letterbox.png` and `N.stretch.png` (SIZE x SIZE, from that grey), and `index.json`, a list of
{"path", "lossy"} in the order of N. Deterministic. Needs Pillow alone.
"""
import json, os, sys
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
    colours = Image.merge("RGB", (picture, picture.transpose(Image.FLIP_LEFT_RIGHT), picture.point(lambda v: 255 - v // 2)))
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

files += sys.argv[3:]
for at, path in enumerate(files):
    film = grey(path)
    film.save(os.path.join(out, f"{at}.grey.png"))
    ImageOps.pad(film, (size, size), Image.BILINEAR, color=0).save(os.path.join(out, f"{at}.letterbox.png"))
    film.resize((size, size), Image.BILINEAR).save(os.path.join(out, f"{at}.stretch.png"))
with open(os.path.join(out, "index.json"), "w") as index:
    json.dump([{"path": path, "lossy": path.endswith(".jpg")} for path in files], index)
