"""JPEG and PNG files of every kind that is read, and their pixels by Pillow, of a piece of a photograph that comes with
scikit-learn. Writes images.safetensors: a file's bytes under its name, its upright RGB pixels under "pixels NAME".

    pip install pillow scikit-learn safetensors && python tests/golden/images.py

What Pillow does not write is put together here: 16-bit, low-bit and interlaced PNG, YCCK. What Pillow clips when it
converts (16-bit grey) is expected to be the high bytes.
"""
import io
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image

HEIGHT, WIDTH = 17, 29
flower = load_sample_image("flower.jpg")
PHOTO = Image.fromarray(flower[150:150 + 4 * HEIGHT, 300:300 + 4 * WIDTH]).resize((WIDTH, HEIGHT), Image.LANCZOS)
LARGE = Image.fromarray(flower[100:148, 250:323])
RGB = np.asarray(PHOTO)
GREY = np.asarray(PHOTO.convert("L"))
FILES, PIXELS = {}, {}


def add(name, data, pixels=None):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    FILES[name] = np.frombuffer(data, np.uint8)
    PIXELS[name] = np.ascontiguousarray(image if pixels is None else pixels)


def save(image, name, **options):
    file = io.BytesIO()
    image.save(file, "JPEG" if name.endswith("jpg") else "PNG", **options)
    return file.getvalue()


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def jpegs():
    kinds = {"baseline": {}, "444": dict(subsampling=0), "422": dict(subsampling=1),
             "progressive": dict(progressive=True), "restarts": dict(restart_marker_blocks=2), "rgb": dict(keep_rgb=True)}
    for kind, options in kinds.items():
        add(f"{kind}.jpg", save(PHOTO, ".jpg", quality=90, **options))
    add("large.jpg", save(LARGE, ".jpg", quality=80))
    add("grey.jpg", save(PHOTO.convert("L"), ".jpg"))
    cmyk = save(PHOTO.convert("CMYK"), ".jpg")
    add("cmyk.jpg", cmyk)
    # The last byte of Adobe's segment is the transform: 2 says that the same numbers are YCCK.
    transform = cmyk.index(b"Adobe") + 11
    add("ycck.jpg", cmyk[:transform] + b"\2" + cmyk[transform + 1:])
    for value in range(1, 9):
        add(f"orientation_{value}.jpg", save(PHOTO, ".jpg", exif=orientation(value)))
    # Decoded by everybody: bytes between the segments, and behind the end.
    plain = save(PHOTO, ".jpg")
    add("strange_bytes.jpg", plain[:20] + b"\1\2\3" + plain[20:] + b"more")


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def png_file(height, width, color, depth, interlaced, data, chunks=()):
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(data, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + name + d +
                                           struct.pack(">I", zlib.crc32(name + d)) for name, d in parts)


def png(samples, color, depth, interlaced=False, chunks=()):
    """A PNG file of height x width x channels samples: filter 0, Adam7 when interlaced, `chunks` before the data."""
    samples = samples.reshape(*samples.shape[:2], -1)
    height, width, _ = samples.shape

    def rows(part):
        for row in part.reshape(part.shape[0], -1):
            if depth == 16:
                packed = row.astype(">u2").tobytes()
            else:
                bits = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - depth:]
                packed = np.packbits(bits.ravel()).tobytes()
            yield b"\0" + packed

    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    data = b"".join(b"".join(rows(part)) for part in passes if part.size)
    return png_file(height, width, color, depth, interlaced, data, chunks)


def pngs():
    add("rgb.png", save(PHOTO, ".png"))
    add("orientation_6.png", save(PHOTO, ".png", exif=orientation(6)))
    add("transparent_colour.png", save(PHOTO, ".png", transparency=tuple(int(v) for v in RGB[3, 4])))
    transparent = PHOTO.copy()
    transparent.putalpha(Image.fromarray(GREY[::-1].copy()))
    add("rgba.png", save(transparent, ".png"))
    add("grey_alpha.png", save(transparent.convert("LA"), ".png"))
    add("palette_transparent.png", save(PHOTO.quantize(50), ".png", transparency=bytes(range(0, 250, 5))))
    for depth in (1, 2, 4, 8):
        levels = (GREY >> (8 - depth)).astype(np.uint8)
        add(f"grey_{depth}.png", png(levels, 0, depth))
        quantized = PHOTO.quantize(2**depth)
        palette = (b"PLTE", bytes(quantized.getpalette()[:3 * 2**depth]))
        add(f"palette_{depth}.png", png(np.asarray(quantized), 3, depth, chunks=[palette]))
        if depth in (2, 4):
            add(f"interlaced_palette_{depth}.png", png(np.asarray(quantized), 3, depth, True, [palette]))
    add("interlaced.png", png(RGB, 2, 8, True))
    add("interlaced_1.png", png(GREY >> 7, 0, 1, True))
    fine = RGB.astype(np.uint16) * 251 + np.arange(WIDTH, dtype=np.uint16)[:, None] % 7
    add("rgb_16.png", png(fine, 2, 16))
    add("rgba_16.png", png(np.concatenate([fine, fine[:, :, :1]], 2), 6, 16, True))
    grey = fine[:, :, 0]
    high = np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    add("grey_16.png", png(grey, 0, 16), high)
    add("grey_alpha_16.png", png(np.stack([grey, 65535 - grey], 2), 4, 16), high)
    add("transparent_level.png", png(GREY, 0, 8, chunks=[(b"tRNS", struct.pack(">H", int(GREY[0, 0])))]))
    # A megapixel promised in a hundred bytes.
    FILES["bomb.png"] = np.frombuffer(png_file(1024, 1024, 2, 8, 0, b""), np.uint8)


if __name__ == "__main__":
    jpegs()
    pngs()
    save_file(FILES | {f"pixels {name}": pixels for name, pixels in PIXELS.items()},
              pathlib.Path(__file__).parent / "images.safetensors")
