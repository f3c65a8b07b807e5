"""Has the trainer's tests (argument 1) write a checkpoint of a resnet18 and a resnet50, exports both by swav-export
(argument 2), loads them into torchvision's models, strictly, and compares the features of both. Exits with 77, which
ctest takes for skipped, where torch, torchvision or safetensors are not installed."""
import os
import subprocess
import sys
import tempfile

try:
    import torch
    import torchvision
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def check(depth):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--test-case=the checkpoint that torchvision loads is written"], check=True,
                       env=os.environ | {"SWAV_CHECKPOINT_FOR_TORCHVISION": folder,
                                         "SWAV_DEPTH_FOR_TORCHVISION": str(depth)})
        subprocess.run([sys.argv[2], folder, f"{folder}/exported.safetensors"], check=True)
        exported = load_file(f"{folder}/exported.safetensors")
        ours = load_file(f"{folder}/features.safetensors")

    network = getattr(torchvision.models, f"resnet{depth}")()
    network.load_state_dict(exported, strict=True)
    assert set(exported) == set(network.state_dict()), set(exported) ^ set(network.state_dict())
    assert not network.fc.weight.any() and not network.fc.bias.any(), "the checkpoint has no classifier"
    network.fc = torch.nn.Identity()
    network.eval()
    with torch.no_grad():
        theirs = network(ours["images"])
    largest = theirs.abs().max().item()
    difference = (theirs - ours["features"]).abs().max().item()
    assert theirs.shape == ours["features"].shape, (theirs.shape, ours["features"].shape)
    assert theirs.std(dim=0).max().item() > 1e-2 * largest, "the features do not depend on the image"
    assert difference <= 1e-4 * largest, (difference, largest)
    print(f"resnet{depth}: torchvision's features differ from ours by {difference / largest:.1e} of the largest")


check(18)
check(50)
