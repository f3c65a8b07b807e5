"""The part of bench/run_cpu.py that is about crops.

In: scikit-learn's photographs, bench_crops and peers behind the line protocol. Out: Markdown tables, figures.
"""
import importlib.metadata
import math
import subprocess

from timing import in_turn, milliseconds, table

IMAGES = 64  # a request's, in bench/crops.cpp and bench/peers/crops.py
VERSION = "import importlib.metadata as m; print(m.version('pillow-simd'))"


def write_photographs(folder):
    """The two photographs that scikit-learn ships, cut to 4 : 3 and made 500 x 375, as JPEG of quality 90."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    folder.mkdir(exist_ok=True)
    for name in ("china", "flower"):
        photograph = Image.fromarray(load_sample_image(f"{name}.jpg"))
        left = (photograph.width - photograph.height * 4 // 3) // 2
        middle = photograph.crop((left, 0, photograph.width - left, photograph.height))
        middle.resize((500, 375), Image.LANCZOS).save(folder / f"{name}.jpg", quality=90)


def version(*packages):
    try:
        return ", ".join(f"{name} {importlib.metadata.version(package).split('+')[0]}" for name, package in packages)
    except importlib.metadata.PackageNotFoundError as missing:
        return f"{missing.name} is not installed"


def time_crops(options, programs, peers):
    folder = options.build / "photographs"
    write_photographs(folder)
    theirs = {  # name and versions: the program and its case
        version(("torchvision", "torchvision"), ("Pillow", "pillow")): (peers("crops", folder), "torchvision"),
        version(("torchvision v2 on tensors,", "torchvision")): (peers("crops", folder), "tensors"),
        version(("albumentations", "albumentations"), ("OpenCV", "opencv-python-headless")):
            (peers("crops", folder), "albumentations"),
        "the same, not antialiased": (peers("crops", folder), "plain"),
        version(("DALI", "nvidia-dali-cuda120")): (peers("crops", folder), "dali")}
    # Pillow-SIMD takes Pillow's place, so it lives in an environment of its own.
    simd = options.build / "pillow-simd/bin/python"
    if simd.exists():
        number = subprocess.run([str(simd), "-c", VERSION], check=True, text=True, capture_output=True).stdout.strip()
        name = version(("torchvision", "torchvision")) + f", Pillow-SIMD {number}"
        theirs[name] = (peers("crops", folder, python=simd), "torchvision")
    ours, training = programs("crops", folder), programs("training_step")

    pairs = [(ours, f"{source}_1", 3) for source in ("files", "pixels", "decode")]
    pairs += [(ours, f"{source}_2", 3) for source in ("files", "pixels")]
    pairs += [(program, f"{case}_{source}", 1) for program, case in theirs.values() for source in ("files", "pixels")]
    in_turn(options.rounds, pairs + [(training, "quickstart_crops", 2)])

    least = {case: seconds / IMAGES for case, seconds in ours.least.items()}
    rows = [["this library, from JPEG by libjpeg-turbo"] +
            [cell for source in ("files", "pixels") for cell in (f"**{1 / least[f'{source}_1']:.0f}**", "1")]]
    results = dict(least)
    for name, (program, case) in theirs.items():
        row = [name]
        for source in ("files", "pixels"):
            seconds = program.least[f"{case}_{source}"] / IMAGES
            row += (["-", "-"] if math.isnan(seconds) else
                    [f"{1 / seconds:.0f}", f"{seconds / least[f'{source}_1']:.1f}"])
            results[f"{name}: {source}"] = seconds
        rows.append(row)
    results["quickstart_percent"] = training.count["quickstart_crops"]
    scaling = {source: least[f"{source}_1"] / least[f"{source}_2"] for source in ("files", "pixels")}
    text = ("Photographs of 500 x 375, JPEG of quality 90, to 2 x 224 + 6 x 96 float planes by SwAV's recipe, on one "
            "core. Images a second, and how many times faster ours is.\n\n" +
            table(["", "from JPEG", "ours is x", "from pixels", "ours is x"], rows) +
            "\nAlbumentations' resize skips pixels where it is not antialiased, and DALI's colour steps are one matrix "
            "in a fixed order: both do less than the others.\n"
            f"\nDecoding alone takes {milliseconds(least['decode_1'])} of our {milliseconds(least['files_1'])} ms an "
            f"image from JPEG. Two threads against one: {scaling['files']:.2f} x from JPEG, {scaling['pixels']:.2f} x from "
            f"pixels. The Fashion-MNIST quickstart's crops are {results['quickstart_percent']:.1f} % of its steps, on "
            f"{options.threads} threads.\n")
    return text, results
