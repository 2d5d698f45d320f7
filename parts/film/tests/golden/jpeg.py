"""JPEGs of every lawful form, and what they show: the standard that crate/tests/jpeg.rs compares with.

    python jpeg.py OUT

Writes files to OUT and `index.json`, a list of {"path", "name", "kind", "tolerance"}. `kind` is "picture": `N.png`
holds the picture as 8-bit grey, Pillow's (libjpeg-turbo's) reading, or for 9 to 16 bits, which Pillow does not read,
the array that was encoded; "refused": libjpeg-turbo makes no picture either, or only by guessing; "either": a lawful
file that Pillow cannot read, N.png being the encoded array. Every lossless file of 8 bits goes through libjpeg-turbo
too, which checks this encoder. Deterministic. Needs Pillow, numpy and pydicom.
"""

import io, itertools, json, os, struct, sys, warnings
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

warnings.simplefilter("ignore")
ZIGZAG = sorted(range(64), key=lambda at: (at // 8 + at % 8, (at // 8 if (at // 8 + at % 8) % 2 else at % 8)))
COSINES = np.array(
    [[np.sqrt((1 if k == 0 else 2) / 8) * np.cos((2 * n + 1) * k * np.pi / 16) for n in range(8)] for k in range(8)]
)


def segment(marker, body):
    return bytes([255, marker]) + struct.pack(">H", len(body) + 2) + body


def table(counts, symbols):
    """The body of a DHT segment after its class, and each symbol's bits."""
    words, code, rest = {}, 0, iter(symbols)
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            words[next(rest)] = format(code, f"0{length}b")
            code += 1
        code <<= 1
    return bytes(counts) + bytes(symbols), words


def annex_k():
    """The typical tables of annex K, as Pillow writes them, by class and number."""
    out, tables, at = io.BytesIO(), {}, 2
    Image.new("RGB", (16, 16)).save(out, "JPEG")
    data = out.getvalue()
    while data[at + 1] != 0xDA:
        body = data[at + 4 : at + 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]]
        while data[at + 1] == 0xC4 and body:
            end = 17 + sum(body[1:17])
            tables[body[0]] = table(list(body[1:17]), list(body[17:end]))
            body = body[end:]
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return tables


def steep(symbols):
    """Codes of 2 to 8 bits for the first seven symbols, of 16 for all others."""
    return table([0] + [1] * 7 + [0] * 7 + [len(symbols) - 7], symbols)


ANNEX_K = annex_k()
EVERY = [0, 1, 2, 0x11, 3, 0x10, 0x21] + [s for s in range(256) if s not in (0, 1, 2, 0x11, 3, 0x10, 0x21)]
STEEP = {0: steep([*range(16)]), 1: steep([*range(15, -1, -1)]), 16: steep(EVERY), 17: steep(EVERY[::-1])}
# Without loss a difference may have 16 bits.
DEEP = {0: steep([*range(17)]), 1: steep([*range(16, -1, -1)])}


def pack(bits):
    """Bits as entropy-coded bytes, ones after the last and a zero after each 0xff."""
    bits = "1" + "".join(bits)
    bits += "1" * (-(len(bits) - 1) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:].replace(b"\xff", b"\xff\0")


def size_and_bits(value):
    """Annex F.1.2.1: how many bits a difference has, and which."""
    value = int(value)
    size = abs(value).bit_length()
    return size, format(value if value > 0 else value + (1 << size) - 1, f"0{size}b") if size else ""


class Encoder:
    """A frame and its scans. `planes` hold each component at its own size, `sampling` its factors, `scans` what each
    scan has: the components, then the four numbers that end a scan header. `dri` is one interval, or one a scan."""

    def __init__(
        self,
        size,
        planes,
        sampling,
        scans,
        sof=0xC0,
        precision=8,
        quant=3,
        dri=0,
        ids=None,
        head=b"",
        tables=None,
        between=False,
        fill=b"",
        quants=None,
        before_scan=lambda at: b"",
        after_scan=lambda at: b"",
        lines=None,
    ):
        self.__dict__.update(locals())
        self.ids = ids or [*range(1, len(planes) + 1)]
        self.most = [max(s[at] for s in sampling) for at in range(2)]
        self.tables = tables or ANNEX_K
        self.which = [0] + [1] * (len(planes) - 1) if len(planes) == 3 else [0] * len(planes)
        self.lossless = sof == 0xC3
        if not self.lossless:
            self.blocks = [self.transform(c) for c in range(len(planes))]

    def grid(self, c, unit=8):
        """Units of a component when interleaved, and when alone: rows and columns of each."""
        (width, height), (h, v), (H, V) = self.size, self.sampling[c], self.most
        whole = -(-height // (unit * V)) * v, -(-width // (unit * H)) * h
        return whole, (-(-(-(-height * v // V)) // unit), -(-(-(-width * h // H)) // unit))

    def transform(self, c):
        rows, columns = self.grid(c)[0]
        plane = self.planes[c]
        full = np.pad(plane, ((0, rows * 8 - plane.shape[0]), (0, columns * 8 - plane.shape[1])), "edge")
        blocks = (full.astype(float) - (1 << self.precision - 1)).reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)
        quant = (self.quants or [self.quant] * len(self.planes))[c]
        return np.rint(COSINES @ blocks @ COSINES.T / quant).astype(int).reshape(rows, columns, 64)[:, :, ZIGZAG]

    def units(self, components):
        """The data units of each MCU of a scan."""
        if len(components) == 1:
            rows, columns = self.grid(components[0])[1]
            return [[(components[0], y, x)] for y in range(rows) for x in range(columns)]
        (H, V), (width, height) = self.most, self.size
        return [
            [
                (c, my * self.sampling[c][1] + j, mx * self.sampling[c][0] + i)
                for c in components
                for j in range(self.sampling[c][1])
                for i in range(self.sampling[c][0])
            ]
            for my in range(-(-height // (8 * V)))
            for mx in range(-(-width // (8 * H)))
        ]

    def words(self, c):
        return [self.tables[t][1] for t in (self.which[c], 16 + self.which[c]) if t in self.tables]

    def sequential(self, units, *_):
        last, bits = [0] * 4, []
        for c, y, x in itertools.chain(*units):
            (dc, ac), block, run = self.words(c), self.blocks[c][y, x], 0
            size, more = size_and_bits(block[0] - last[c])
            last[c] = block[0]
            bits += [dc[size], more]
            stop = max((k for k in range(1, 64) if block[k]), default=0)
            for k in range(1, stop + 1):
                if block[k] == 0:
                    run += 1
                    continue
                size, more = size_and_bits(block[k])
                bits += [ac[0xF0]] * (run // 16) + [ac[run % 16 << 4 | size], more]
                run = 0
            bits += [ac[0]] if stop < 63 else []
        return bits

    def progressive(self, units, first, last, high, low):
        """Annex G."""
        units, bits, previous = [*itertools.chain(*units)], [], [0] * 4
        if first == 0:
            for c, y, x in units:
                value = int(self.blocks[c][y, x, 0]) >> low
                if high:
                    bits.append(str(value & 1))
                    continue
                size, more = size_and_bits(value - previous[c])
                previous[c] = value
                bits += [self.words(c)[0][size], more]
            return bits
        ac, blocks, corrections = self.words(units[0][0])[1], 0, []

        def end_of_blocks():
            nonlocal blocks, corrections
            if blocks:
                size = blocks.bit_length() - 1
                bits.extend([ac[size << 4], format(blocks, "b")[1:], *corrections])
            blocks, corrections = 0, []

        for c, y, x in units:
            block, run, pending = self.blocks[c][y, x], 0, []
            magnitudes = [abs(int(v)) >> low for v in block]
            stop = max(
                (k for k in range(first, last + 1) if magnitudes[k] == 1 or magnitudes[k] and not high), default=0
            )
            for k in range(first, last + 1):
                if magnitudes[k] == 0:
                    run += 1
                    continue
                while run > 15 and k <= stop:
                    end_of_blocks()
                    bits += [ac[0xF0], *pending]
                    run, pending = run - 16, []
                if high and magnitudes[k] > 1:
                    pending.append(str(magnitudes[k] & 1))
                    continue
                end_of_blocks()
                size, more = size_and_bits(magnitudes[k] if block[k] > 0 else -magnitudes[k])
                bits += [ac[run << 4 | size], more, *pending]
                run, pending = 0, []
            if run or pending:
                blocks += 1
                corrections += pending
                if blocks == 0x7FFF:
                    end_of_blocks()
        end_of_blocks()
        return bits

    def differences(self, units, predictor, _, __, transform):
        """Annex H.1; each unit is a sample of each component, and the first row of an interval knows nothing above."""
        bits, top = [], units[0][0][1]
        for c, y, x in itertools.chain(*units):
            at = lambda y, x: int(self.planes[c][y, x]) >> transform
            if y == top:
                guess = at(y, x - 1) if x else 1 << self.precision - transform - 1
            elif x == 0:
                guess = at(y - 1, 0)
            else:
                a, b, d = at(y, x - 1), at(y - 1, x), at(y - 1, x - 1)
                guess = [a, b, d, a + b - d, a + (b - d >> 1), b + (a - d >> 1), a + b >> 1][predictor - 1]
            difference = (at(y, x) - guess + 32767) % 65536 - 32767
            size, more = (16, "") if difference == 32768 else size_and_bits(difference)
            bits += [self.words(c)[0][size], more]
        return bits

    def scan(self, components, *numbers, dri):
        width, height = self.size
        if self.lossless:
            units = [[(c, y, x) for c in components] for y in range(height) for x in range(width)]
        else:
            units = self.units(components)
        code = self.differences if self.lossless else self.progressive if self.sof == 0xC2 else self.sequential
        intervals = [units[at : at + dri] for at in range(0, len(units), dri)] if dri else [units]
        out = [pack(code(interval, *numbers)) for interval in intervals]
        return b"".join(data + bytes([255, 0xD0 + at % 8]) for at, data in enumerate(out[:-1])) + out[-1]

    def encode(self):
        lossless, (width, height), fill = self.lossless, self.size, self.fill
        out = b"\xff\xd8" + self.head
        for t, quant in enumerate([] if lossless else self.quants or [self.quant]):
            wide = quant > 255
            out += fill + segment(0xDB, bytes([wide << 4 | t]) + struct.pack(">64H" if wide else "64B", *[quant] * 64))
        header = struct.pack(
            ">BHHB", self.precision, height if self.lines is None else self.lines, width, len(self.planes)
        )
        quant = range(len(self.planes)) if self.quants else [0] * len(self.planes)
        out += fill + segment(
            self.sof,
            header + b"".join(bytes([i, h << 4 | v, t]) for i, (h, v), t in zip(self.ids, self.sampling, quant)),
        )
        needed = [
            {t for c in scan[0] for t in ([self.which[c]] if lossless else [self.which[c], 16 + self.which[c]])}
            for scan in self.scans
        ]
        written, interval = set(), None
        for at, scan in enumerate(self.scans):
            now = needed[at] if self.between else set().union(*needed)
            for t in sorted(now if self.between == "always" else now - written):
                out += fill + segment(0xC4, bytes([t]) + self.tables[t][0])
            written |= now
            dri = self.dri[at] if isinstance(self.dri, list) else self.dri
            if dri != interval and (dri or interval):
                out += fill + segment(0xDD, struct.pack(">H", dri))
            interval = dri
            components, *numbers = scan
            selectors = b"".join(
                bytes([self.ids[c], self.which[c] << 4 | (0 if lossless else self.which[c])]) for c in components
            )
            end = bytes([numbers[0], numbers[1], numbers[2] << 4 | numbers[3]])
            out += self.before_scan(at) + fill + segment(0xDA, bytes([len(components)]) + selectors + end)
            out += self.scan(components, *numbers, dri=dri) + self.after_scan(at)
        return out + fill + b"\xff\xd9"


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def planes(size, sampling, precision=8):
    """Blobs, edges and lines, other ones for each component; colours so far out that a wrong one shows in the grey."""
    width, height = size
    H, V = (max(s[at] for s in sampling) for at in range(2))
    out = []
    for c, (h, v) in enumerate(sampling):
        w, t = -(-width * h // H), -(-height * v // V)
        ys, xs = np.mgrid[0:t, 0:w]
        xs, ys = xs * H / h, ys * V / v
        value = (
            127
            + 70 * np.sin(xs / (6 + 3 * c) + c)
            + 50 * np.cos(ys / (5 + 2 * c) - c)
            + (40 if c else 15) * (((xs // 11 + ys // 13) % 2) - 0.5)
        )
        out.append(np.rint(np.clip(value, 0, 255) / 255 * ((1 << precision) - 1)).astype(np.int64))
    return out


files = []
out = sys.argv[1]
os.makedirs(out, exist_ok=True)


def grey(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def note(name, data, kind="picture", truth=None, tolerance=None, suffix=".jpg"):
    if tolerance is None:
        # One sequential scan may go to a decoder that rounds otherwise; all else is libjpeg-turbo's to the bit.
        tolerance = 2 if data.count(b"\xff\xda") == 1 and b"\xff\xc2" not in data else 0
    path = os.path.join(out, f"{name}{suffix}")
    with open(path, "wb") as file:
        file.write(data)
    if kind == "picture" and truth is None:
        truth = grey(data)
    if truth is not None:
        Image.fromarray(truth).save(os.path.join(out, f"{len(files)}.png"))
    files.append({"path": path, "name": name, "kind": kind, "tolerance": tolerance})


def dicom(name, stream, syntax, size, samples=1, precision=8, photometric="MONOCHROME2", fragments=1, **options):
    ds = FileDataset(name, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4." + syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.{len(files) + 1}"
    ds.PatientID, ds.Modality = "1", "DX"
    ds.Columns, ds.Rows = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = samples, photometric
    if samples > 1:
        ds.PlanarConfiguration = 0
    else:
        ds.WindowCenter, ds.WindowWidth = str(1 << precision - 1), str(1 << precision)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = (
        8 if precision <= 8 else 16,
        precision,
        precision - 1,
        0,
    )
    ds.PixelData = encapsulate([stream], fragments_per_frame=fragments)
    ds["PixelData"].is_undefined_length = True
    target = io.BytesIO()
    ds.save_as(target, enforce_file_format=True)
    note(name, target.getvalue(), suffix=".dcm", **options)


def scaled(plane, precision):
    return np.rint(plane / ((1 << precision) - 1) * 255).astype(np.uint8)


# --- Lossy: sampling, scan order, restarts, process ---
THREE = {
    "444": [(1, 1)] * 3,
    "422": [(2, 1), (1, 1), (1, 1)],
    "420": [(2, 2), (1, 1), (1, 1)],
    "440": [(1, 2), (1, 1), (1, 1)],
    "411": [(4, 1), (1, 1), (1, 1)],
    "410": [(4, 2), (1, 1), (1, 1)],
    "vertical4": [(1, 4), (1, 1), (1, 1)],
    "vertical3": [(1, 3), (1, 1), (1, 1)],
    "luma22-chroma12": [(2, 2), (1, 2), (1, 2)],
    "luma22-chroma21": [(2, 2), (2, 1), (2, 1)],
    "chroma-finer": [(1, 1), (2, 2), (1, 1)],
    "three-ways": [(4, 1), (2, 1), (1, 1)],
    "all21": [(2, 1)] * 3,
    "all22": [(2, 2)] * 3,
    "uneven": [(2, 2), (2, 1), (1, 2)],
}
ORDERS = {
    "interleaved": [[0, 1, 2]],
    "separate": [[0], [1], [2]],
    "backwards": [[2], [1], [0]],
    "cb-y-cr": [[1], [0], [2]],
    "y-then-both": [[0], [1, 2]],
    "both-then-y": [[1, 2], [0]],
    "pair": [[0, 1], [2]],
}
SIZES = [(41, 35), (7, 9), (17, 33), (64, 48), (1, 1), (33, 17), (16, 1), (90, 66)]
SCRIPTS = {
    "usual": [
        ([0, 1, 2], 0, 0, 0, 1),
        ([0], 1, 5, 0, 2),
        ([2], 1, 63, 0, 1),
        ([1], 1, 63, 0, 1),
        ([0], 6, 63, 0, 2),
        ([0], 1, 63, 2, 1),
        ([0, 1, 2], 0, 0, 1, 0),
        ([2], 1, 63, 1, 0),
        ([1], 1, 63, 1, 0),
        ([0], 1, 63, 1, 0),
    ],
    "spectral": [([0, 1, 2], 0, 0, 0, 0)]
    + [([c], *band, 0, 0) for band in ((1, 2), (3, 20), (21, 63)) for c in (1, 0, 2)],
    "chroma-first": [
        ([2], 0, 0, 0, 2),
        ([1], 0, 0, 0, 2),
        ([0], 0, 0, 0, 2),
        ([1], 1, 63, 0, 3),
        ([2], 1, 63, 0, 0),
        ([0], 1, 63, 0, 0),
    ]
    + [([c], 1, 63, low + 1, low) for low in (2, 1, 0) for c in (1,)]
    + [([c], 0, 0, low + 1, low) for low in (1, 0) for c in (2, 0, 1)],
}
sizes = itertools.cycle(SIZES)
heads = itertools.cycle([JFIF, adobe(0), b"", adobe(1)])
tables = itertools.cycle([ANNEX_K, STEEP])
for (s, sampling), (o, order), dri in itertools.product(THREE.items(), ORDERS.items(), (0, 1, 5)):
    if any(
        len(components) > 1 and sum(sampling[c][0] * sampling[c][1] for c in components) > 10 for components in order
    ):
        continue  # an MCU has ten blocks at most
    size = next(sizes)
    scans = [(components, 0, 63, 0, 0) for components in order]
    more = {
        "between": dri == 1,
        "sof": 0xC1 if dri == 5 else 0xC0,
        "head": next(heads),
        "tables": next(tables),
        "dri": dri,
    }
    note(
        f"{s}-{o}-rst{dri}-{size[0]}x{size[1]}", Encoder(size, planes(size, sampling), sampling, scans, **more).encode()
    )
for (s, sampling), (o, scans), dri in itertools.product(THREE.items(), SCRIPTS.items(), (0, 1, 5)):
    if s == "all22" and o != "chroma-first":
        continue
    size = next(sizes)
    more = {
        "sof": 0xC2,
        "tables": STEEP,
        "dri": dri,
        "head": next(heads),
        "between": "always" if dri == 1 else dri == 5,
    }
    note(
        f"progressive-{s}-{o}-rst{dri}-{size[0]}x{size[1]}",
        Encoder(size, planes(size, sampling), sampling, scans, **more).encode(),
    )
for sampling, size, dri in itertools.product([(1, 1), (2, 2), (4, 1), (2, 1), (1, 2), (3, 3)], SIZES, (0, 1, 4)):
    name, one = f"{sampling[0]}{sampling[1]}-rst{dri}-{size[0]}x{size[1]}", planes(size, [sampling])
    note("grey-" + name, Encoder(size, one, [sampling], [([0], 0, 63, 0, 0)], dri=dri, head=next(heads)).encode())
    note(
        "grey-progressive-" + name,
        Encoder(
            size,
            one,
            [sampling],
            [([0], *n) for n in ((0, 0, 0, 1), (1, 63, 0, 2), (0, 0, 1, 0), (1, 63, 2, 1), (1, 63, 1, 0))],
            dri=dri,
            sof=0xC2,
            tables=STEEP,
        ).encode(),
    )
FOUR = {"1111": [(1, 1)] * 4, "2112": [(2, 2), (1, 1), (1, 1), (2, 2)], "2111": [(2, 1)] + [(1, 1)] * 3}
for (s, sampling), transform, order in itertools.product(
    FOUR.items(), (None, 0, 2), ([[0, 1, 2, 3]], [[0], [1], [2], [3]], [[3], [1, 2], [0]])
):
    size, head = next(sizes), b"" if transform is None else adobe(transform)
    name = (
        f"four-{s}-{'plain' if transform is None else ('cmyk', 0, 'ycck')[transform]}-{len(order)}-{size[0]}x{size[1]}"
    )
    note(name, Encoder(size, planes(size, sampling), sampling, [(c, 0, 63, 0, 0) for c in order], head=head).encode())
    note(
        "progressive-" + name,
        Encoder(
            size,
            planes(size, sampling),
            sampling,
            [(c, 0, 0, 0, 0) for c in order] + [([c], 1, 63, 0, 0) for c in (3, 1, 0, 2)],
            head=head,
            sof=0xC2,
            tables=STEEP,
        ).encode(),
    )

# --- What else is lawful, or met ---
size, sampling = (41, 35), THREE["420"]
whole, apart = [([0, 1, 2], 0, 63, 0, 0)], [([c], 0, 63, 0, 0) for c in (0, 1, 2)]
lossy = lambda scans=whole, size=size, sampling=sampling, **more: Encoder(
    size, planes(size, sampling), sampling, scans, **more
).encode()
COMMENT, FILL = segment(0xFE, b"\xff\xd9 no end"), b"\xff" * 3
for label, scans in (("one", whole), ("three", apart)):
    note(f"fill-{label}", lossy(scans, fill=FILL))
    note(f"comment-before-scan-{label}", lossy(scans, before_scan=lambda at: COMMENT))
    note(f"comment-after-scan-{label}", lossy(scans, after_scan=lambda at: COMMENT))
    note(f"quants-{label}", lossy(scans, quants=[2, 5, 9]))
    note(f"sixteen-bit-quants-{label}", lossy(scans, quants=[2, 300, 9], sof=0xC1))
    note(f"garbage-after-end-{label}", lossy(scans) + b"\0garbage \xff\xda\xff\xc0" * 9, tolerance=2)
    note(
        f"last-restart-{label}",
        lossy(scans, dri=4, after_scan=lambda at: b"\xff\xd7"),
        kind="either",
        truth=grey(lossy(scans)),
    )
    note(f"fill-after-scan-{label}", lossy(scans, after_scan=lambda at: FILL))
    for ids in ([0, 1, 2], [2, 1, 0], [10, 20, 30], [*b"RGB"], [*b"rgb"], [255, 254, 253], [1, 34, 35]):
        for tag, head in (
            ("none", b""),
            ("jfif", JFIF),
            ("adobe0", adobe(0)),
            ("adobe1", adobe(1)),
            ("jfif-adobe0", JFIF + adobe(0)),
            ("adobe0-jfif", adobe(0) + JFIF),
        ):
            note(f"ids-{'-'.join(map(str, ids))}-{tag}-{label}", lossy(scans, ids=ids, head=head))
    note(f"tables-always-{label}", lossy(scans, between="always", dri=[3, 7, 0][: len(scans)]))
    short = lossy(scans)
    note(f"no-end-{label}", short[:-2], kind="refused")
    note(f"cut-{label}", short[:-40], kind="refused")
    note(f"cut-with-end-{label}", short[:-40] + b"\xff\xd9", kind="refused")
    note(
        f"dnl-{label}",
        lossy(scans, lines=0, after_scan=lambda at: b"" if at else segment(0xDC, struct.pack(">H", size[1]))),
        kind="refused",
    )
    note(
        f"dnl-again-{label}",
        lossy(scans, after_scan=lambda at: b"" if at else segment(0xDC, struct.pack(">H", size[1]))),
        kind="either",
        truth=grey(lossy(scans)),
    )
    note(
        f"dnl-less-{label}",
        lossy(scans, after_scan=lambda at: b"" if at else segment(0xDC, struct.pack(">H", 20))),
        kind="refused",
    )
    for sof in (0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7):
        note(f"sof-{sof:x}-{label}", lossy(scans, sof=sof), kind="refused")
note("scan-missing", lossy(apart[:2]), kind="refused")
note("scan-twice", lossy(apart + apart[:1]), kind="either", truth=grey(lossy(apart)))
note("fractions", lossy(sampling=[(3, 1), (2, 1), (1, 1)]), kind="refused")
note("fractions-apart", lossy(apart, sampling=[(3, 2), (2, 2), (1, 1)]), kind="refused")
note("intervals-change", lossy(apart, dri=[2, 5, 1]))
for label, data in (
    ("one", lossy(dri=2)),
    ("three", lossy(apart, dri=[2, 5, 1])),
    ("grey", lossy([([0], 0, 63, 0, 0)], sampling=[(1, 1)], dri=3)),
    ("progressive", lossy(SCRIPTS["usual"], dri=3, sof=0xC2, tables=STEEP)),
):
    note(f"restart-out-of-order-{label}", data.replace(b"\xff\xd1", b"\xff\xd5", 1), kind="refused")
    note(f"restart-lost-{label}", data.replace(b"\xff\xd1", b"", 1), kind="refused")
    note(f"restart-twice-{label}", data.replace(b"\xff\xd1", b"\xff\xd1\xff\xd1", 1), kind="refused")
    note(f"restart-after-fill-{label}", data.replace(b"\xff\xd1", FILL + b"\xff\xd1", 1))
    note(
        f"restart-after-stray-bytes-{label}",
        data.replace(b"\xff\xd1", b"\0\0\xff\xd1", 1),
        kind="either",
        truth=grey(data),
    )
for bits in (9, 10, 12):
    note(
        f"bits-{bits}",
        Encoder(
            size, planes(size, [(1, 1)], bits), [(1, 1)], [([0], 0, 63, 0, 0)], sof=0xC1, precision=bits, tables=STEEP
        ).encode(),
        kind="either",
        truth=scaled(planes(size, [(1, 1)], bits)[0], bits),
    )


# --- Lossless: precision, predictor, point transform, restarts, components ---
def noisy(size, precision, seed):
    """A picture whose differences take every size, from none to the whole range."""
    rng, top = np.random.default_rng(seed), (1 << precision) - 1
    plane = planes(size, [(1, 1)], precision)[0]
    wild = rng.integers(0, top + 1, plane.shape)
    return np.where(rng.random(plane.shape) < 0.15, wild, plane)


def lossless(planes_, size, precision, scans, **more):
    return Encoder(
        size, planes_, [(1, 1)] * len(planes_), scans, sof=0xC3, precision=precision, tables=DEEP, **more
    ).encode()


for precision, predictor in itertools.product(range(2, 17), range(1, 8)):
    for transform, rows in itertools.product(sorted({0, 1, precision // 2, precision - 1}), (0, 1, 4)):
        if (precision + predictor + transform + rows) % 3 and precision not in (8, 12, 16):
            continue
        size = next(sizes)
        plane = noisy(size, precision, precision * 100 + predictor)
        stream = lossless([plane], size, precision, [([0], predictor, 0, 0, transform)], dri=rows * size[0])
        truth = scaled(plane >> transform << transform, precision)
        name = f"lossless-{precision}-p{predictor}-t{transform}-rst{rows}-{size[0]}x{size[1]}"
        if precision == 8:
            # libjpeg-turbo agrees with the encoder.
            assert np.array_equal(grey(stream), plane >> transform << transform), name
        dicom(
            name,
            stream,
            "70" if predictor == 1 else "57",
            size,
            precision=precision,
            fragments=1 + (rows > 0),
            truth=truth,
            tolerance=1,
        )
for predictor, scans, rows in itertools.product((1, 4, 7), ([[0, 1, 2]], [[2], [0], [1]], [[0], [1, 2]]), (0, 2)):
    for precision in (8, 12):
        size = (33, 17)
        three = [noisy(size, precision, seed) for seed in range(3)]
        stream = lossless(
            three, size, precision, [(c, predictor, 0, 0, 0) for c in scans], dri=rows * 33, head=adobe(0)
        )
        if precision == 8:
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(stream))), np.stack(three, -1))
            truth = grey(stream)
        else:
            sixteen = [np.rint(p / 4095 * 65535).astype(np.int64) for p in three]
            luma = sixteen[0] * 19595 + sixteen[1] * 38470 + sixteen[2] * 7471 + 0x8000 >> 16
            truth = ((luma * 2 + 257) // 514).astype(np.uint8)
        dicom(
            f"lossless-rgb-{precision}-p{predictor}-{len(scans)}-rst{rows}",
            stream,
            "57",
            size,
            3,
            precision,
            "RGB",
            truth=truth,
            tolerance=1,
        )
size = (41, 35)
plane = noisy(size, 8, 1)
one = lambda **more: lossless([plane], size, 8, [([0], 4, 0, 0, 0)], **more)
note("lossless-outside", one(), kind="either")
dicom("lossless-restarts-within-rows", one(dri=7), "57", size, kind="refused")
dicom("lossless-fill", one(fill=FILL), "57", size, tolerance=1, truth=plane.astype(np.uint8))
dicom("lossless-cut", one()[:-60], "57", size, kind="refused")
dicom("lossless-cut-with-end", one()[:-60] + b"\xff\xd9", "57", size, kind="refused")
dicom("lossless-no-end", one()[:-2], "57", size, kind="refused")
for predictor in (0, 8):
    dicom(
        f"lossless-p{predictor}",
        one().replace(b"\1\1\0\4\0\0", bytes([1, 1, 0, predictor, 0, 0])),
        "57",
        size,
        kind="refused",
    )

three = lossless([plane] * 3, size, 8, [([0, 1, 2], 1, 0, 0, 0)])
dicom(
    "lossless-sampled",
    three.replace(b"\1\x11\0\2\x11\0\3\x11\0", b"\1\x22\0\2\x22\0\3\x22\0"),
    "57",
    size,
    3,
    photometric="RGB",
    kind="refused",
)
dicom(
    "lossless-grey-sampled",
    one().replace(b"\1\x11\0", b"\1\x22\0"),
    "57",
    size,
    tolerance=1,
    truth=plane.astype(np.uint8),
)

# --- Lossy within DICOM ---
for fragments, dri in itertools.product((1, 2, 7), (0, 3)):
    stream = Encoder(size, planes(size, [(1, 1)]), [(1, 1)], [([0], 0, 63, 0, 0)], dri=dri).encode()
    dicom(f"dicom-grey-{fragments}-rst{dri}", stream, "50", size, fragments=fragments, truth=grey(stream))
    dicom(
        f"dicom-extended-{fragments}-rst{dri}",
        stream.replace(b"\xff\xc0", b"\xff\xc1"),
        "51",
        size,
        fragments=fragments,
        truth=grey(stream),
    )
for (s, sampling), scans in itertools.product([*THREE.items()][:6], (whole, apart, apart[::-1])):
    three, tag = planes(size, sampling), f"{s}-{scans[0][0][0]}{len(scans)}"
    stream = Encoder(size, three, sampling, scans).encode()
    dicom(
        f"dicom-ybr-{tag}", stream, "50", size, 3, photometric="YBR_FULL_422", truth=grey(stream), tolerance=2
    )  # DICOM's own colours
    stored = Encoder(size, three, sampling, scans, head=adobe(0)).encode()
    dicom(f"dicom-rgb-{tag}", stored, "50", size, 3, photometric="RGB", truth=grey(stored))
    dicom(f"dicom-rgb-unsaid-{tag}", stream, "50", size, 3, photometric="RGB", truth=grey(stored))
for bits in (9, 12):
    stream = Encoder(
        size, planes(size, [(1, 1)], bits), [(1, 1)], [([0], 0, 63, 0, 0)], sof=0xC1, precision=bits, tables=STEEP
    ).encode()
    dicom(
        f"dicom-bits-{bits}",
        stream,
        "51",
        size,
        precision=bits,
        kind="either",
        truth=scaled(planes(size, [(1, 1)], bits)[0], bits),
    )

with open(os.path.join(out, "index.json"), "w") as file:
    json.dump(files, file)
