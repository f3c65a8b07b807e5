"""A ResNet-50 with random weights in the SwAV release's layout, as a .pth.tar: converted by examples/resnet/tools,
swav-eval embed (argument 1) gives PyTorch's features and projections of images in files, and what swav-export (argument
2) makes of it loads into torchvision's resnet50, strictly, with the same features. Exits with 77, which ctest takes for
skipped, where torch, torchvision, safetensors or Pillow are not installed."""
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy
    import PIL.Image
    import torch
    import torchvision
    from safetensors.torch import load_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden"))
import interchange  # noqa: E402


def compare(what, ours, theirs):
    largest = theirs.abs().max().item()
    difference = (theirs - ours).abs().max().item()
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert theirs.std(dim=0).max().item() > 1e-2 * largest, f"{what} do not depend on the image"
    assert difference <= 1e-4 * largest, (what, difference, largest)
    print(f"{what} differ by {difference / largest:.1e} of the largest")


torch.manual_seed(1)
pixels = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8)
pixels = (pixels.float().mean((1, 2), keepdim=True) + torch.linspace(-90, 90, 64)[None, :, None, None]
          + 30 * torch.randn(6, 64, 64, 3)).clamp(0, 255).byte()
mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.228, 0.224, 0.225])
images = ((pixels[:, 4:60, 4:60].float() / 255 - mean) / deviation).permute(0, 3, 1, 2)  # the middle 56 of 64

network = interchange.ReleaseNetwork(torchvision.models.resnet50(), 2048, 512, 128, [300])
network = interchange.randomize(network, images)
with torch.no_grad():
    features = network.features(images)
    projections = network.embeddings(features)

with tempfile.TemporaryDirectory() as folder:
    for i, image in enumerate(pixels):
        (pathlib.Path(folder) / "images").mkdir(exist_ok=True)
        PIL.Image.fromarray(numpy.asarray(image)).save(f"{folder}/images/{i}.png")
    interchange.save_release(network, f"{folder}/network.pth.tar")
    converted = f"{folder}/network.safetensors"
    subprocess.run([sys.executable, interchange.TOOL, f"{folder}/network.pth.tar", converted], check=True)
    data = ["--data", "imagefolder", "--data-dir", f"{folder}/images", "--size", "56", "--precision", "float32",
            "--part", "training"]
    subprocess.run([sys.argv[1], "embed", converted, f"{folder}/features.safetensors", *data], check=True)
    subprocess.run([sys.argv[1], "embed", converted, f"{folder}/projections.npy", "--projection", *data], check=True)
    compare("features", load_file(f"{folder}/features.safetensors")["features"], features)
    compare("projections", torch.from_numpy(numpy.load(f"{folder}/projections.npy")), projections)
    subprocess.run([sys.argv[2], converted, f"{folder}/exported.safetensors"], check=True)
    again = torchvision.models.resnet50()
    again.load_state_dict(load_file(f"{folder}/exported.safetensors"), strict=True)
again.fc = torch.nn.Identity()
with torch.no_grad():
    compare("torchvision's features of the export", again.eval()(images), features)
