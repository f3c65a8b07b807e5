"""Training steps in PyTorch, for bench/run_cpu.py: channels_last under bfloat16 autocast. In and out: line_protocol.py.

    quickstart          a whole step: the same network, batch, crop sizes, jitter and optimiser as swav-train's preset
                        fashion-mnist-quick; crops of a batch at once by grid_sample, the fastest way there is in PyTorch
                        for images this small
    quickstart_network  that network's forward and backward alone
    resnet18, resnet50  forward, backward and an SGD step on random images

With `flops` and a case as arguments: prints the floating-point operations of a step's convolutions and products.
"""
import math
import sys

import codes
import line_protocol
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.resnet import BasicBlock

BATCH, WIDTH, HIDDEN, DIMENSION, PROTOTYPES = 128, 16, 256, 128, 100
LARGE, SMALL = dict(size=24, scale=(0.3, 1.0)), dict(size=18, scale=(0.15, 0.5))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, WIDTH, 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(True))
        blocks, inside = [], WIDTH
        for stage in range(4):
            out, stride = WIDTH << stage, 2 if stage else 1
            down = None
            if stride != 1:
                down = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            blocks.append(BasicBlock(inside, out, stride, down))
            inside = out
        self.body = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.Linear(inside, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(),
                                  nn.Linear(HIDDEN, DIMENSION))
        self.prototypes = nn.Linear(DIMENSION, PROTOTYPES, bias=False)
        self.to(memory_format=torch.channels_last)

    def embed(self, groups):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = torch.cat([self.body(self.stem(x)).mean((2, 3)) for x in groups])
        return self.head(rows.float())

    def forward(self, groups):
        return self.prototypes(F.normalize(self.embed(groups), dim=1))


def crops(images, size, scale):
    count = len(images)
    area = torch.empty(count).uniform_(*scale)
    aspect = torch.empty(count).uniform_(math.log(3 / 4), math.log(4 / 3)).exp()
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    flip = (torch.rand(count) < 0.5) * -2.0 + 1
    box = torch.zeros(count, 2, 3)
    box[:, 0, 0], box[:, 1, 1] = width * flip, height
    box[:, 0, 2], box[:, 1, 2] = (torch.rand(count) * 2 - 1) * (1 - width), (torch.rand(count) * 2 - 1) * (1 - height)
    grid = F.affine_grid(box, (count, 1, size, size), align_corners=False)
    pixels = F.grid_sample(images, grid, align_corners=False, padding_mode="reflection")
    brightness, contrast = (torch.empty(count, 1, 1, 1).uniform_(0.4, 1.6) for _ in range(2))
    bright = (pixels * brightness).clamp(0, 1)
    mean = bright.mean((1, 2, 3), keepdim=True)
    jittered = ((bright - mean) * contrast + mean).clamp(0, 1)
    pixels = torch.where(torch.rand(count, 1, 1, 1) < 0.8, jittered, pixels)
    return (pixels - 0.286) / 0.353


def swapped_loss(scores, views):
    loss = 0
    for i in range(2):
        with torch.no_grad():
            q = codes.codes(scores[BATCH * i:BATCH * (i + 1)].detach())
        for v in range(views):
            if v != i:
                logp = F.log_softmax(scores[BATCH * v:BATCH * (v + 1)] / 0.1, dim=1)
                loss = loss - (q * logp).sum(1).mean() / (views - 1) / 2
    return loss


def quickstart():
    torch.manual_seed(0)
    images = torch.rand(10_000, 1, 28, 28)
    network = Network()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-4)

    def work():
        batch = images[torch.randint(len(images), (BATCH,))]
        groups = [torch.cat([crops(batch, **kind) for _ in range(2)]).contiguous(memory_format=torch.channels_last)
                  for kind in (LARGE, SMALL)]
        with torch.no_grad():
            network.prototypes.weight.copy_(F.normalize(network.prototypes.weight))
        loss = swapped_loss(network(groups), 4)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return work


def quickstart_network():
    network = Network()
    groups = [torch.randn(2 * BATCH, 1, kind["size"], kind["size"]).contiguous(memory_format=torch.channels_last)
              for kind in (LARGE, SMALL)]

    def work():
        network.zero_grad()
        network.embed(groups).square().mean().backward()

    return work


def supervised(model, shape):
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(*shape).contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def work():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = model(images)
        optimiser.zero_grad()
        features.float().square().mean().backward()
        optimiser.step()

    return work


def resnet18():
    model = torchvision.models.resnet18()
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = model.fc = nn.Identity()
    return supervised(model, (128, 3, 32, 32))


def resnet50():
    model = torchvision.models.resnet50()
    model.fc = nn.Identity()
    return supervised(model, (16, 3, 224, 224))


CASES = {"quickstart": quickstart, "quickstart_network": quickstart_network, "resnet18": resnet18, "resnet50": resnet50}

if __name__ == "__main__":
    if sys.argv[1:2] == ["flops"]:
        step = CASES[sys.argv[2]]()
        with FlopCounterMode(display=False) as counter:
            step()
        print(counter.get_total_flops())
    else:
        line_protocol.serve(CASES)
