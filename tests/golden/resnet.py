"""Residual networks by PyTorch in double: embeddings, gradients, running statistics, evaluation-mode features.

Writes resnet_10.bin and resnet_50.bin. Weights, images and the embeddings' gradient come from `hashed`, which
tests/resnet/golden_test.cpp repeats; of large arrays only their first entries and a few projections are stored.
"""
import numpy as np
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

import golden_file


def hashed(count, salt):
    """count numbers in [-0.5, 0.5), the same in any language."""
    h = (np.arange(1, count + 1, dtype=np.uint64) * 2654435761 + salt * 40503) & 0xFFFFFFFF
    h ^= h >> 15
    h = (h * 2246822519) & 0xFFFFFFFF
    h ^= h >> 13
    return h.astype(np.float64) / 2.0**32 - 0.5


class Network(nn.Module):
    def __init__(self, block, layers, width, small_stem, channels, hidden, embedding):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, *((3, 1, 1) if small_stem else (7, 2, 3)), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.Identity() if small_stem else nn.MaxPool2d(3, 2, 1)
        inside = width
        for stage, count in enumerate(layers):
            planes, blocks = width << stage, []
            for b in range(count):
                stride = 2 if stage > 0 and b == 0 else 1
                down = None
                if stride != 1 or inside != planes * block.expansion:
                    down = nn.Sequential(nn.Conv2d(inside, planes * block.expansion, 1, stride, bias=False),
                                         nn.BatchNorm2d(planes * block.expansion))
                blocks.append(block(inside, planes, stride, down))
                inside = planes * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.projection_head = nn.Sequential(nn.Linear(inside, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                             nn.Linear(hidden, embedding))

    def features(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))

    def forward(self, groups):
        return self.projection_head(torch.cat([self.features(x) for x in groups]))


def summary(tensor):
    flat = tensor.detach().numpy().reshape(-1)
    projections = [flat @ hashed(flat.size, 1000 + k) for k in range(4)]
    return np.concatenate([flat[:32], projections])


def make(name, block, layers, width, small_stem, channels, groups):
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    net = Network(block, layers, width, small_stem, channels, 24, 16)
    state = [(k, v) for k, v in net.state_dict().items() if "num_batches" not in k]
    with torch.no_grad():
        for i, (key, value) in enumerate(state):
            u = torch.from_numpy(hashed(value.numel(), i)).reshape(value.shape)
            if value.dim() > 1:  # variance 2 / fan out
                fan = value.shape[0] * value[0, 0].numel()
                value.copy_(u * (24.0 / fan) ** 0.5)
            else:
                value.copy_(u * 0.4 + (1.0 if key.endswith(("weight", "var")) else 0.0))
            value.copy_(value.float())  # exactly what a float network starts from
    images = [torch.from_numpy(hashed(n * channels * s * s, 500 + g)).float().double().reshape(n, channels, s, s)
              for g, (n, s) in enumerate(groups)]
    z = net(images)
    grad = torch.from_numpy(hashed(z.numel(), 900)).float().double().reshape(z.shape)
    (z * grad).sum().backward()
    arrays = {"embeddings": z.detach().numpy()}
    for key, value in net.named_parameters():
        arrays["gradient." + key] = summary(value.grad)
    for key, value in net.named_buffers():
        if "num_batches" not in key:
            arrays["running." + key] = summary(value)
    net.eval()
    arrays["features"] = net.features(images[0]).detach().numpy()
    golden_file.write(name, arrays)


make("resnet_10.bin", BasicBlock, [1, 1, 1, 1], 16, True, 1, [(6, 12), (5, 9)])
make("resnet_50.bin", Bottleneck, [3, 4, 6, 3], 8, False, 3, [(3, 64), (2, 48)])
