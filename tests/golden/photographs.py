"""Pieces of the two photographs that come with scikit-learn, and what torchvision and Pillow make of them. Writes
photographs.safetensors: bytes, height x width x channels, "china" and "china reduced pillow" and so on.

    pip install torch torchvision pillow scikit-learn safetensors && python tests/golden/photographs.py

"bytes" is torchvision on a tensor of bytes, "pillow" on Pillow's image, "float" on values of [0, 1], which are rounded to
levels here. Boxes and factors are tests/crops/photographs.cpp's. The photographs are by danielbuechele (china) and
vultilion (flower), flickr.com, CC BY 2.0.
"""
import pathlib

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

HEIGHT, WIDTH, SIZE = 96, 128, 48
# top, left, height, width
REDUCED, ENLARGED, PIECE = (3, 5, 90, 117), (20, 30, 31, 24), (30, 50, SIZE, SIZE)
FACTORS = {"brightness": 1.6, "contrast": 0.4, "saturation": 1.6, "hue": -0.3}
SIGMA = 1.4


def levels(image):
    """height x width x channels bytes of a Pillow image, or of a tensor of bytes or of values."""
    if not torch.is_tensor(image):
        return np.array(image)
    if image.is_floating_point():
        image = (image.clamp(0, 1) * 255).round().byte()
    return image.permute(1, 2, 0).contiguous().numpy()


def results(photo):
    yield "", photo
    image = torch.from_numpy(photo).permute(2, 0, 1).contiguous()
    kinds = {"bytes": image, "float": image.double() / 255, "pillow": Image.fromarray(photo)}
    for name, box in {"reduced": REDUCED, "enlarged": ENLARGED}.items():
        for kind in ("bytes", "pillow"):
            yield f"{name} {kind}", F.resized_crop(kinds[kind], *box, [SIZE, SIZE], antialias=True)
    for kind in ("float", "pillow"):
        yield f"bicubic {kind}", F.resized_crop(kinds[kind], *ENLARGED, [SIZE, SIZE], InterpolationMode.BICUBIC, True)

    pieces = {kind: F.crop(whole, *PIECE) for kind, whole in kinds.items()}
    for name, factor in FACTORS.items():
        adjust = getattr(F, f"adjust_{name}")
        yield f"{name} float", adjust(pieces["float"].float(), factor)
        if name != "hue":  # Pillow's hue has 256 values
            yield f"{name} pillow", adjust(pieces["pillow"], factor)
    yield "grey float", F.rgb_to_grayscale(pieces["float"])
    yield "grey pillow", np.array(F.rgb_to_grayscale(pieces["pillow"]))[:, :, None]
    radius = int(np.ceil(3 * SIGMA))
    yield "blur bytes", F.gaussian_blur(pieces["bytes"], [2 * radius + 1] * 2, [SIGMA] * 2)
    yield "blur pillow", pieces["pillow"].filter(ImageFilter.GaussianBlur(SIGMA))


if __name__ == "__main__":
    tensors = {}
    for name, (top, left) in {"china": (100, 200), "flower": (150, 270)}.items():
        piece = np.ascontiguousarray(load_sample_image(f"{name}.jpg")[top:top + HEIGHT, left:left + WIDTH])
        for result, image in results(piece):
            tensors[f"{name} {result}".strip()] = levels(image)
    save_file(tensors, pathlib.Path(__file__).parent / "photographs.safetensors")
