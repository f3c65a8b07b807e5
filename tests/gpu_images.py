"""Writes a small data set in Fashion-MNIST's files, for a machine without a network: a bright square on noise, whose place
is the class. In: a folder. Out: its four files. Needs nothing but Python."""

import pathlib
import random
import struct
import sys


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    random.seed(1)
    for part, count in (("train", 6000), ("t10k", 1000)):
        labels = bytes(random.randrange(10) for _ in range(count))
        images = []
        for label in labels:
            pixels = bytearray(b % 80 for b in random.randbytes(28 * 28))
            for y in range(label // 5 * 14, label // 5 * 14 + 14):
                for x in range(label % 5 * 5, label % 5 * 5 + 5):
                    pixels[y * 28 + x] += 150
            images.append(bytes(pixels))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + b"".join(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
