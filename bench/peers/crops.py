"""Times what others make multi-crop views with, on one core, from JPEG files and from decoded pixels.

    python bench/peers/crops.py FOLDER    with the photographs that bench/crops_parts.py writes, as *.jpg

In: requests (bench/peers/line_protocol.py) for PEER_files and PEER_pixels. Out: seconds for 64 images, each to
2 x 224 + 6 x 96 normalised float planes by SwAV's recipe. PEER is
- torchvision: the release's transforms on Pillow images (its blur is Pillow's); the same on Pillow-SIMD where that is
  installed in Pillow's place.
- tensors: torchvision's v2 transforms on uint8 tensors from its own JPEG decoder; the blur's kernel spans three sigma
  of the widest.
- albumentations: on OpenCV, averaging areas where a crop shrinks (which antialiases); plain: its default, which skips
  pixels there and so does less than everybody else.
- dali: NVIDIA DALI's CPU pipeline, one worker thread; its colour steps are one matrix in a fixed order.
"""
import io
import pathlib
import random
import sys

import numpy as np

from line_protocol import serve

IMAGES = 64
MEAN, STD = [0.485, 0.456, 0.406], [0.228, 0.224, 0.225]
VIEWS = [(224, 0.14, 1.0)] * 2 + [(96, 0.05, 0.14)] * 6
FILES = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).glob("*.jpg"))]
FILES = [FILES[i % len(FILES)] for i in range(IMAGES)]


def one_by_one(load, views, from_files):
    """load: file -> image; views: image -> list of views. The same draws each time."""
    images = FILES if from_files else [load(file) for file in FILES[:2]] * (IMAGES // 2)

    def work():
        random.seed(0)
        for image in images:
            views(load(image) if from_files else image)

    return work


def torchvision_pillow(from_files):
    import torch
    from PIL import Image, ImageFilter
    from torchvision import transforms

    torch.set_num_threads(1)

    def blur(image):
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2))) if random.random() < 0.5 else image

    def recipe(size, low, high):
        jitter = transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
        return transforms.Compose([
            transforms.RandomResizedCrop(size, scale=(low, high)), transforms.RandomHorizontalFlip(), jitter,
            transforms.RandomGrayscale(0.2), blur, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    recipes = [recipe(*view) for view in VIEWS]
    work = one_by_one(lambda file: Image.open(io.BytesIO(file)).convert("RGB"),
                      lambda image: [recipe(image) for recipe in recipes], from_files)
    return lambda: torch.manual_seed(0) and work()


def torchvision_tensors(from_files):
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg
    from torchvision.transforms import v2

    torch.set_num_threads(1)

    def recipe(size, low, high):
        jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
        blur = v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5)
        return v2.Compose([v2.RandomResizedCrop(size, scale=(low, high), antialias=True), v2.RandomHorizontalFlip(),
                           jitter, v2.RandomGrayscale(0.2), blur, v2.ToDtype(torch.float32, scale=True),
                           v2.Normalize(MEAN, STD)])

    recipes = [recipe(*view) for view in VIEWS]
    work = one_by_one(lambda file: decode_jpeg(torch.frombuffer(bytearray(file), dtype=torch.uint8),
                                               ImageReadMode.RGB),
                      lambda image: [recipe(image) for recipe in recipes], from_files)
    return lambda: torch.manual_seed(0) and work()


def albumentations(from_files, **resize):
    import os
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as A
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(1)

    def recipe(size, low, high):
        return A.Compose([A.RandomResizedCrop((size, size), scale=(low, high), **resize), A.HorizontalFlip(),
                          A.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8), A.ToGray(p=0.2),
                          A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.5), A.Normalize(MEAN, STD),
                          ToTensorV2()])

    recipes = [recipe(*view) for view in VIEWS]
    work = one_by_one(lambda file: cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB),
                      lambda image: [recipe(image=image)["image"] for recipe in recipes], from_files)

    def seeded():
        for recipe in recipes:
            recipe.set_random_seed(0)
        work()

    return seeded


def dali(from_files):
    from nvidia.dali import fn, pipeline_def, types

    @pipeline_def(batch_size=IMAGES, num_threads=1, device_id=None, prefetch_queue_depth=1, exec_async=False,
                  exec_pipelined=False, seed=1)
    def pipeline():
        image = fn.external_source(name="images", dtype=types.UINT8, ndim=1 if from_files else 3)
        if from_files:
            image = fn.decoders.image(image, device="cpu", output_type=types.RGB)
        views = []
        for size, low, high in VIEWS:
            def factor():  # of colour: one where the jitter is left out
                return 1 + jitter * fn.random.uniform(range=(-0.8, 0.8))
            jitter = fn.random.coin_flip(probability=0.8)
            view = fn.random_resized_crop(image, size=(size, size), random_area=(low, high))
            view = fn.color_twist(view, brightness=factor(), contrast=factor(),
                                  saturation=factor() * fn.random.coin_flip(probability=0.8),
                                  hue=jitter * fn.random.uniform(range=(-72.0, 72.0)))
            view = fn.gaussian_blur(view, sigma=fn.random.uniform(range=(0.1, 2.0)),
                                    window_size=1 + 12 * fn.random.coin_flip(probability=0.5))
            views.append(fn.crop_mirror_normalize(view, mean=[255 * m for m in MEAN], std=[255 * s for s in STD],
                                                  mirror=fn.random.coin_flip(), dtype=types.FLOAT, output_layout="CHW"))
        return tuple(views)

    pipe = pipeline()
    pipe.build()
    data = [np.frombuffer(file, np.uint8) for file in FILES]
    if not from_files:
        from PIL import Image
        data = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in FILES]

    def work():
        pipe.feed_input("images", data, layout=None if from_files else "HWC")
        pipe.run()

    return work


PEERS = {"torchvision": torchvision_pillow, "tensors": torchvision_tensors, "plain": albumentations,
         "albumentations": lambda from_files: albumentations(from_files, area_for_downscale="image"), "dali": dali}

if __name__ == "__main__":
    serve({f"{name}_{source}": lambda make=make, source=source: make(source == "files")
           for name, make in PEERS.items() for source in ("files", "pixels")})
