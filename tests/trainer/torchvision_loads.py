"""Has the trainer's tests (argument 1) write a checkpoint, loads its backbone into torchvision's resnet18, strictly, and
compares the features of both."""
import os
import subprocess
import sys
import tempfile

import torch
import torchvision
from safetensors.torch import load_file

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], "--test-case=the checkpoint that torchvision loads is written"], check=True,
                   env=os.environ | {"SWAV_CHECKPOINT_FOR_TORCHVISION": folder})
    checkpoint = load_file(f"{folder}/checkpoint.safetensors")
    ours = load_file(f"{folder}/features.safetensors")

backbone = {name: tensor for name, tensor in checkpoint.items()
            if not name.startswith(("projection_head.", "prototypes.", "optimizer."))}
network = torchvision.models.resnet18()
network.fc = torch.nn.Identity()
network.load_state_dict(backbone, strict=True)
network.eval()

with torch.no_grad():
    theirs = network(ours["images"])
largest = theirs.abs().max().item()
difference = (theirs - ours["features"]).abs().max().item()
assert theirs.shape == ours["features"].shape == (4, 512), (theirs.shape, ours["features"].shape)
assert theirs.std(dim=0).max().item() > 1e-2 * largest, "the features do not depend on the image"
assert difference <= 1e-4 * largest, (difference, largest)
print(f"torchvision's features differ from ours by {difference / largest:.1e} of the largest")
