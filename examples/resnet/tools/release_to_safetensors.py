"""Converts a checkpoint of the SwAV release (.pth.tar) to safetensors: release_to_safetensors.py IN.pth.tar OUT.safetensors

Names stay as they are; swav-train --init, swav-eval and swav-export read the result. Needs torch and safetensors."""
import sys

import torch
from safetensors.torch import save_file

loaded = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
network = loaded.get("state_dict", loaded)  # what a training run leaves has the network inside
save_file({name: tensor.contiguous() for name, tensor in network.items()}, sys.argv[2], metadata={"format": "pt"})
