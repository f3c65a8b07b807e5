"""torchvision's crops against the library's, one core each, in turn: images a second and their ratio.

    python bench/peers/crops.py build/bench/bench_crops [rounds]

The same work: a decoded 500 x 375 photograph to 2 x 224 + 6 x 96 normalised float views, with SwAV's recipe. Pillow: the
release's transforms on a PIL image (its blur is Pillow's). Tensors: torchvision v2 on a uint8 tensor.
"""
import json
import random
import subprocess
import sys
import time

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision import transforms as v1
from torchvision.transforms import v2

torch.set_num_threads(1)
MEAN, STD = [0.485, 0.456, 0.406], [0.228, 0.224, 0.225]
VIEWS = [(224, 0.14, 1.0)] * 2 + [(96, 0.05, 0.14)] * 6


class PillowBlur:
    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2))) if random.random() < 0.5 else image


def pillow_views(pixels):
    image = Image.fromarray(pixels)

    def recipe(size, low, high):
        jitter = v1.RandomApply([v1.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
        return v1.Compose([v1.RandomResizedCrop(size, scale=(low, high)), v1.RandomHorizontalFlip(), jitter,
                           v1.RandomGrayscale(0.2), PillowBlur(), v1.ToTensor(), v1.Normalize(MEAN, STD)])

    recipes = [recipe(*view) for view in VIEWS]
    return lambda: [recipe(image) for recipe in recipes]


def tensor_views(pixels):
    image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def recipe(size, low, high):
        jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
        blur = v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5)
        return v2.Compose([v2.RandomResizedCrop(size, scale=(low, high), antialias=True), v2.RandomHorizontalFlip(),
                           jitter, v2.RandomGrayscale(0.2), blur, v2.ToDtype(torch.float32, scale=True),
                           v2.Normalize(MEAN, STD)])

    recipes = [recipe(*view) for view in VIEWS]
    return lambda: [recipe(image) for recipe in recipes]


def seconds(function, repeats=24):
    begin = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - begin) / repeats


def main():
    bench, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    command = [bench, "--benchmark_filter=^photograph_2x224_6x96$", "--benchmark_format=json"]
    photo = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    photo = np.array(Image.fromarray(photo).resize((500, 375), Image.BICUBIC))
    peers = {f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}": pillow_views(photo),
             f"torchvision {torchvision.__version__} v2, tensors": tensor_views(photo)}
    best = dict.fromkeys(["swav", *peers], float("inf"))
    for _ in range(rounds):
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        best["swav"] = min(best["swav"], result["benchmarks"][0]["cpu_time"] * 1e-6)
        for name, views in peers.items():
            best[name] = min(best[name], seconds(views))
    for name, time_taken in best.items():
        print(f"{name:40s} {1 / time_taken:8.0f} images/s  {time_taken / best['swav']:6.1f} x swav's time")


if __name__ == "__main__":
    main()
