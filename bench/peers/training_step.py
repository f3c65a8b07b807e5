"""Whole training steps of the quickstart in PyTorch, for bench/run_cpu.py: the same network, batch, crop sizes, jitter and
optimiser as swav-train's preset fashion-mnist-quick; crops of a batch at once by grid_sample, the fastest way there is in
PyTorch for images this small; channels_last under bfloat16 autocast. In and out: line_protocol.py.
"""
import math

import codes
import line_protocol
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock

BATCH, WIDTH, HIDDEN, DIMENSION, PROTOTYPES = 128, 16, 256, 128, 300
LARGE, SMALL = dict(size=28, scale=(0.25, 1.0)), dict(size=20, scale=(0.1, 0.4))


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

    def forward(self, groups):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = torch.cat([self.body(self.stem(x)).mean((2, 3)) for x in groups])
        return self.prototypes(F.normalize(self.head(rows.float()), dim=1))


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
    network = Network().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)

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


if __name__ == "__main__":
    line_protocol.serve({"quickstart": quickstart})
