"""A training step in PyTorch against the bundled network's, in turn, as the ratio of each one's least time.

    python bench/peers/resnet_step.py build/bench/resnet_step [quickstart|resnet18|resnet50] [rounds]

PyTorch runs channels_last under bfloat16 autocast, on as many threads as the bench. quickstart: forward and backward of
the quickstart's network and head on its two resolutions; resnet18 and resnet50: with an SGD step.
"""
import os
import subprocess
import sys
import time

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

THREADS = 2
torch.set_num_threads(THREADS)


class Quickstart(nn.Module):
    def __init__(self, width=16, hidden=256, embedding=128):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True))
        blocks, inside = [], width
        for stage in range(4):
            out, stride = width << stage, 2 if stage else 1
            down = None
            if stride != 1:
                down = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            blocks.append(BasicBlock(inside, out, stride, down))
            inside = out
        self.body = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Linear(inside, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                  nn.Linear(hidden, embedding))

    def forward(self, groups):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = torch.cat([self.body(self.stem(x)).mean((2, 3)) for x in groups])
        return self.head(rows.float())


def resnet18():
    model = torchvision.models.resnet18()
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    return model


def torch_step(case):
    """A function that runs one step."""
    if case == "quickstart":
        model = Quickstart().to(memory_format=torch.channels_last)
        groups = [torch.randn(256, 1, s, s).contiguous(memory_format=torch.channels_last) for s in (28, 20)]

        def step():
            model.zero_grad()
            model(groups).square().mean().backward()

        return step
    model, images = {"resnet18": (resnet18(), (128, 3, 32, 32)),
                     "resnet50": (torchvision.models.resnet50(), (16, 3, 224, 224))}[case]
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(*images).contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = model(images)
        optimiser.zero_grad()
        y.float().square().mean().backward()
        optimiser.step()

    return step


def main():
    binary = sys.argv[1]
    case = sys.argv[2] if len(sys.argv) > 2 else "quickstart"
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    steps = 10 if case == "quickstart" else 2
    environment = dict(os.environ, OMP_NUM_THREADS=str(THREADS))
    step = torch_step(case)
    step()
    ours = theirs = float("inf")
    for _ in range(rounds):
        for _ in range(steps):
            start = time.perf_counter()
            step()
            theirs = min(theirs, (time.perf_counter() - start) * 1e3)
        output = subprocess.run([binary, case, str(steps)], env=environment, check=True, capture_output=True, text=True)
        ours = min(ours, float(output.stdout.split()[1]))
    print(f"{case}: ours {ours:.1f} ms, PyTorch {theirs:.1f} ms, ratio {ours / theirs:.3f}")


main()
