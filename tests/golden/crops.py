"""Golden files of the crops, by torchvision and Pillow, on a piece of a photograph that scikit-learn ships.

    pip install torch torchvision pillow scikit-learn && python tests/golden/crops.py

crop_resize.bin: the photograph and crops of it for given boxes, as levels (0 to 255) where the reference is in bytes and
as values (0 to 1) where it is in float. crop_color.bin: each colour step at given factors. crop_boxes.bin: how
torchvision's RandomResizedCrop distributes its boxes, as fractions of 250,000 draws at or below some thresholds.
"""
import numpy as np
import torch
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_image
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

import golden_file

torch.manual_seed(0)
DRAWS = 250_000


def rows(tensor):
    """channels x height x width as (channels * height) x width, which is how the sampler writes it."""
    array = np.asarray(tensor, dtype=np.float64)
    return array.reshape(-1, array.shape[-1])


def pixels():
    # A flower's edge: saturated petals, dark leaves, fine detail.
    photo = np.ascontiguousarray(load_sample_image("flower.jpg")[150:190, 300:350])
    data = {"photo": photo.reshape(40, -1)}
    image = torch.from_numpy(photo).permute(2, 0, 1).contiguous()
    values = image.double() / 255
    pillow = Image.fromarray(photo)
    # top, left, height, width, size, flip
    boxes = [(5, 7, 30, 40, 11, 0), (3, 4, 9, 7, 13, 0), (0, 0, 40, 50, 10, 1), (2, 1, 37, 49, 5, 0), (11, 20, 7, 3, 8, 1)]
    data["boxes"] = boxes
    for n, (top, left, height, width, size, flip) in enumerate(boxes):
        turn = F.horizontal_flip if flip else lambda x: x
        data[f"crop{n}_float"] = rows(turn(F.resized_crop(values, top, left, height, width, [size, size], antialias=True)))
        data[f"crop{n}_bytes"] = rows(turn(F.resized_crop(image, top, left, height, width, [size, size], antialias=True)))
        crop = F.resized_crop(pillow, top, left, height, width, [size, size])
        data[f"crop{n}_pillow"] = rows(turn(torch.from_numpy(np.array(crop)).permute(2, 0, 1)))
        cubic = F.resized_crop(values, top, left, height, width, [size, size], InterpolationMode.BICUBIC, True)
        data[f"crop{n}_bicubic"] = rows(turn(cubic.clamp(0, 1)))
    # Resized by the shorter side, then the middle: resize, size, tall or wide.
    data["centers"] = centers = [(24, 16, 0), (13, 13, 0), (60, 37, 1)]
    for n, (resize, size, tall) in enumerate(centers):
        turned = values.transpose(1, 2) if tall else values
        data[f"center{n}"] = rows(F.center_crop(F.resize(turned, [resize], antialias=True), [size, size]))
    golden_file.write("crop_resize.bin", data)

    # Colour steps on a 12 x 12 piece at its own size; torchvision's hue works in float32, the others in double.
    data = {"color_box": [6, 20, 12, 12]}
    piece = values[:, 6:18, 20:32].contiguous()
    grey = piece[1:2]
    for name, factors in {"brightness": (1.7, 0.4), "contrast": (1.8, 0.3), "saturation": (1.8, 0.2)}.items():
        for factor in factors:
            data[f"{name}_{factor}"] = rows(getattr(F, f"adjust_{name}")(piece, factor))
    for turn in (0.2, -0.37, 0.5):
        data[f"hue_{turn}"] = rows(F.adjust_hue(piece.float(), turn))
    data["grey"] = rows(F.rgb_to_grayscale(piece, num_output_channels=3))
    data["solarize_0.6"] = rows(F.solarize(piece, 0.6))
    for sigma in (0.1, 0.5, 1.3, 2.0):
        radius = int(np.ceil(3 * sigma))
        data[f"blur_{sigma}"] = rows(F.gaussian_blur(piece, [2 * radius + 1] * 2, [sigma] * 2))
        blurred = np.array(pillow.crop((20, 6, 32, 18)).filter(ImageFilter.GaussianBlur(sigma)))
        data[f"pillow_blur_{sigma}"] = rows(torch.from_numpy(blurred).permute(2, 0, 1))
    data["one_channel"] = rows(F.adjust_brightness(F.adjust_contrast(grey, 1.6), 1.3))

    # Everything at once, in two orders.
    def jitter(x, steps):
        for name, factor in steps:
            x = getattr(F, f"adjust_{name}")(x, factor)
        return x

    def finish(x, sigma):
        radius = int(np.ceil(3 * sigma))
        x = F.gaussian_blur(x, [2 * radius + 1] * 2, [sigma] * 2)
        return F.normalize(x, [0.485, 0.456, 0.406], [0.228, 0.224, 0.225])

    crop = F.horizontal_flip(F.resized_crop(values.float(), 4, 6, 33, 29, [14, 14], antialias=True))
    steps = [("brightness", 1.4), ("saturation", 0.6), ("contrast", 1.5), ("hue", 0.15)]
    data["chain0"] = rows(finish(jitter(crop, steps), 0.9))
    steps = [("hue", -0.2), ("contrast", 0.5), ("brightness", 0.8), ("saturation", 1.7)]
    data["chain1"] = rows(finish(F.rgb_to_grayscale(jitter(crop, steps), num_output_channels=3), 1.9))
    golden_file.write("crop_color.bin", data)


def boxes():
    data = {}
    cases = [(375, 500, 0.14, 1.0), (375, 500, 0.05, 0.14), (28, 28, 0.3, 1.0), (100, 31, 0.2, 1.0)]
    data["cases"] = cases
    for n, (height, width, low, high) in enumerate(cases):
        image = torch.empty(1, height, width)
        crop = v2.RandomResizedCrop(8, scale=(low, high))
        drawn = [crop.make_params([image]) for _ in range(DRAWS)]
        draws = {k: np.array([d[k] for d in drawn], dtype=np.float64) for k in ("top", "left", "height", "width")}
        draws["area"] = draws["height"] * draws["width"]
        draws["aspect"] = draws["width"] / draws["height"]
        for name, values in draws.items():
            # Thresholds between the values that are possible, so that no rounding decides a comparison.
            cuts = np.unique(np.quantile(values, np.linspace(0.0025, 0.9975, 200)))
            cuts = cuts + 1e-6 if name == "aspect" else np.floor(cuts) + 0.5
            data[f"{name}{n}"] = [cuts, [(values <= c).mean() for c in cuts]]
    data["draws"] = DRAWS
    golden_file.write("crop_boxes.bin", data)


if __name__ == "__main__":
    pixels()
    boxes()
