"""Other programs' layouts. Writes torchvision_names.txt, the state dictionaries of torchvision's resnet18, 34 and 50 (a
line each: model, name, type, shape); and release_layout.safetensors, a small network with random weights in the layout
of the SwAV release, converted by examples/resnet/tools from a .pth.tar, with images and its outputs for them in
release_outputs.safetensors.

Run as: interchange.py, with torch, torchvision and safetensors.
"""
import pathlib
import subprocess
import sys
import tempfile

import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock

HERE = pathlib.Path(__file__).parent
TOOL = HERE.parent.parent / "examples/resnet/tools/release_to_safetensors.py"


class ReleaseNetwork(nn.Module):
    """Named as the release names it: trunk, projection_head, prototypes (one head: a linear layer; several: a module
    of them)."""

    def __init__(self, trunk, features, hidden, embedding, prototypes):
        super().__init__()
        for name, part in trunk.named_children():
            if name != "fc":
                self.add_module(name, part)
        self.projection_head = nn.Sequential(nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                                             nn.Linear(hidden, embedding))
        if len(prototypes) == 1:
            self.prototypes = nn.Linear(embedding, prototypes[0], bias=False)
        else:
            self.prototypes = nn.Module()
            for head, count in enumerate(prototypes):
                self.prototypes.add_module(f"prototypes{head}", nn.Linear(embedding, count, bias=False))

    def features(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(x))))).flatten(1)

    def embeddings(self, features):
        return nn.functional.normalize(self.projection_head(features))

    def scores(self, embeddings):
        heads = [self.prototypes] if isinstance(self.prototypes, nn.Linear) else self.prototypes.children()
        return [head(embeddings) for head in heads]


def randomize(network, images):
    """Statistics and affine parameters as after some training, not the 0 and 1 they start from."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
                module.weight.uniform_(0.6, 1.4)
                module.bias.uniform_(-0.3, 0.3)
        network.train()
        for _ in range(20):
            network.embeddings(network.features(images + 0.3 * torch.randn_like(images)))
    return network.eval()


def save_release(network, path):
    torch.save({f"module.{name}": tensor for name, tensor in network.state_dict().items()}, path)


def narrow_resnet10(width):
    trunk = torchvision.models.ResNet(BasicBlock, [1, 1, 1, 1])
    trunk.inplanes = width
    trunk.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
    trunk.bn1 = nn.BatchNorm2d(width)
    for stage in range(4):
        setattr(trunk, f"layer{stage + 1}", trunk._make_layer(BasicBlock, width << stage, 1, 2 if stage else 1))
    return trunk


def write_names():
    lines = []
    for name in ("resnet18", "resnet34", "resnet50"):
        for key, tensor in getattr(torchvision.models, name)().state_dict().items():
            kind = {torch.float32: "F32", torch.int64: "I64"}[tensor.dtype]
            lines.append(" ".join([name, key, kind, *map(str, tensor.shape)]))
    (HERE / "torchvision_names.txt").write_text("\n".join(lines) + "\n")


def write_release():
    torch.manual_seed(3)
    images = torch.randn(5, 3, 41, 41).half().float()
    network = ReleaseNetwork(narrow_resnet10(8), 64, 24, 12, [10, 7])
    network = randomize(network, images).half().float()  # in the file as half, which keeps it small
    with tempfile.TemporaryDirectory() as folder:
        save_release(network.half(), f"{folder}/network.pth.tar")
        subprocess.run([sys.executable, TOOL, f"{folder}/network.pth.tar", HERE / "release_layout.safetensors"],
                       check=True)
    network = network.double()
    with torch.no_grad():
        features = network.features(images.double())
        embeddings = network.embeddings(features)
        scores = network.scores(embeddings)
    save_file({"images": images.half(), "features": features.float(), "embeddings": embeddings.float(),
               "scores0": scores[0].float(), "scores1": scores[1].float()}, HERE / "release_outputs.safetensors")


if __name__ == "__main__":
    write_names()
    write_release()
