"""Times ResNet-50 with SwAV's projection head on 2 x 224 + 6 x 96 crops in bfloat16 on a GPU: ours beside PyTorch's in
channels_last, eager and by torch.compile with max-autotune, in one run. In: the built bench_resnet. Out:
docs/results/gpu-resnet-<name>.json and its table on the standard output. A step is the copy of the images from pinned
memory, forward and backward from a fixed gradient of the embeddings; medians of 30. Memory is what is reserved with
weights and gradients: ours of the whole process, with the code of CUDA's kernels; PyTorch's what its allocator has,
without them; "peak_mib" is what of that its tensors take at a time. Needs torchvision."""

import gc
import os
import sys
import time

# Convolutions are then cuDNN's, timed, as ours: to look for Triton's, too, takes minutes a case.
os.environ.setdefault("TORCHINDUCTOR_MAX_AUTOTUNE_CONV_BACKENDS", "ATEN")

import torch
import torchvision

from report import Report, ours

CASES, WARM_UP, REPETITIONS, MOST_SECONDS = [64, 32, 16], 10, 30, 240


class SwavNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = torchvision.models.resnet50()
        self.trunk.fc = torch.nn.Identity()
        self.head = torch.nn.Sequential(torch.nn.Linear(2048, 2048), torch.nn.BatchNorm1d(2048), torch.nn.ReLU(),
                                        torch.nn.Linear(2048, 128))

    def forward(self, large, small):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            features = torch.cat([self.trunk(large), self.trunk(small)])
        return self.head(features.float())  # in float, as ours


def release_memory():
    """What PyTorch keeps of an earlier case: memory, and shapes that it would compile anew with variable sizes."""
    torch._dynamo.reset()
    gc.collect()
    torch.cuda.empty_cache()


def peer(images, compiled):
    release_memory()
    torch.backends.cudnn.benchmark = True
    try:
        network = SwavNetwork().cuda().to(memory_format=torch.channels_last).train()
        function = torch.compile(network, mode="max-autotune", dynamic=False) if compiled else network
        host = [torch.randn(count * images, 3, side, side).pin_memory() for count, side in ((2, 224), (6, 96))]
        gradient = torch.full((8 * images, 128), 1e-3, device="cuda")
        times = []
        for repetition in range(WARM_UP + REPETITIONS):
            if repetition == WARM_UP - 2:  # without what choosing algorithms took
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            start = time.perf_counter()
            inputs = [x.cuda(non_blocking=True).to(memory_format=torch.channels_last) for x in host]
            for parameter in network.parameters():
                parameter.grad = None
            function(*inputs).backward(gradient)
            torch.cuda.synchronize()
            if repetition >= WARM_UP:
                times.append((time.perf_counter() - start) * 1e3)
        median = sorted(times)[len(times) // 2]
        return {"median_ms": median, "least_ms": min(times), "images_per_s": images / median * 1e3,
                "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
                "reserved_mib": torch.cuda.max_memory_reserved() / 2**20}
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    except Exception as error:  # of its compiler: the other figures stand
        print(f"{images} images: {error}", file=sys.stderr)
        return {"failed": type(error).__name__}


def main(binary, results):
    name = torch.cuda.get_device_name()
    rows = [{"images": images} for images in CASES]
    report = Report(results, "resnet-", name, rows, torch=torch.__version__, cudnn=torch.backends.cudnn.version())
    print(f"{name}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}\n")
    for whose, choice in (("swav heuristics", "heuristics"), ("swav", "timing")):  # the former needs no seconds to choose
        for row in rows:
            report.add(row, whose, ours(binary, str(row["images"]), "50", "bfloat16", choice, most_seconds=MOST_SECONDS))
    for row in rows:
        report.add(row, "eager", peer(row["images"], False))
    for row in rows:  # the compiler takes minutes
        report.add(row, "compiled", peer(row["images"], True))
    print("\nImages a second; torch.compile with max-autotune of products, convolutions being cuDNN's; MiB reserved, ours with"
          " kernels' code.\n\n| images a step | ours | by cuDNN's heuristics | PyTorch eager channels_last | torch.compile |"
          " MiB: ours, eager, compiled |\n|---|---|---|---|---|---|")
    text = lambda of: of.get("failed") or f'{of["images_per_s"]:.0f}'
    memory = lambda of: f'{of["reserved_mib"]:.0f}' if "reserved_mib" in of else "-"
    for row in rows:
        print(f'| {row["images"]} | {" | ".join(text(row[w]) for w in ("swav", "swav heuristics", "eager", "compiled"))} | '
              f'{", ".join(memory(row[w]) for w in ("swav", "eager", "compiled"))} |')
    print(f"\nwritten: {report.path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
