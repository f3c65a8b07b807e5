"""What swav-export (argument 1) writes as ONNX is a valid model, and ONNX Runtime gives PyTorch's features and scores with
it: for the golden network of the SwAV release's layout, torchvision's resnet50 and a narrow network with the small stem,
for several batches and sizes of images. Exits with 77, which ctest takes for skipped, where a package is missing."""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    import torch
    import torchvision
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))
import interchange  # noqa: E402

folder = pathlib.Path(tempfile.mkdtemp())


def export(source, *arguments):
    path = folder / "model.onnx"
    subprocess.run([sys.argv[1], source, path, *arguments], check=True)
    onnx.checker.check_model(path, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def compare(what, found, wanted):
    wanted = wanted.numpy()
    largest = np.abs(wanted).max()
    difference = np.abs(found - wanted).max()
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert wanted.std(axis=0).max() > 1e-3 * largest, f"{what} do not depend on the image"
    assert difference <= 1e-4 * largest, (what, difference, largest)
    print(f"{what} differ by {difference / largest:.1e} of the largest")


def features_of(network, images):
    with torch.no_grad():
        return interchange.ReleaseNetwork.features(network, images)


golden = load_file(GOLDEN / "release_outputs.safetensors")
session = export(GOLDEN / "release_layout.safetensors")
assert [output.name for output in session.get_outputs()] == ["features"], "no fc, no scores"
compare("the golden network's features", session.run(["features"], {"images": golden["images"].float().numpy()})[0],
        golden["features"])

torch.manual_seed(5)
small_stem = interchange.narrow_resnet10(16)
small_stem.conv1 = torch.nn.Conv2d(1, 16, 3, 1, 1, bias=False)
small_stem.maxpool = torch.nn.Identity()
small_stem.fc = torch.nn.Linear(128, 7)
for name, network, channels in (("resnet50", torchvision.models.resnet50(num_classes=11), 3), ("small stem", small_stem, 1)):
    with torch.no_grad():
        network.train()
        for _ in range(10):
            network(torch.randn(8, channels, 48, 48) + torch.randn(8, channels, 1, 1))
    network.eval()
    save_file(network.state_dict(), folder / "network.safetensors")
    session = export(folder / "network.safetensors")
    for shape in ((2, channels, 64, 48), (5, channels, 33, 33)):
        images = torch.randn(shape) + torch.randn(shape[0], channels, 1, 1)
        features, scores = session.run(["features", "scores"], {"images": images.numpy()})
        compare(f"{name}: features", features, features_of(network, images))
        with torch.no_grad():
            compare(f"{name}: scores", scores, network(images))
session = export(folder / "network.safetensors", "--no-fc")
assert [output.name for output in session.get_outputs()] == ["features"]
