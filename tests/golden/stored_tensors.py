"""A file written by the safetensors package: one tensor a type, an empty one, a single number, odd names. Writes
stored_tensors.safetensors, in which element i of each tensor is i + 1 (booleans: true, false, ...)."""
import pathlib

import torch
from safetensors.torch import save_file

TYPES = {"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "U16": torch.uint16, "I16": torch.int16,
         "F16": torch.float16, "BF16": torch.bfloat16, "U32": torch.uint32, "I32": torch.int32, "F32": torch.float32,
         "U64": torch.uint64, "I64": torch.int64, "F64": torch.float64}
tensors = {name: (torch.arange(1, 7) % 2 if name == "BOOL" else torch.arange(1, 7)).reshape(2, 3).to(dtype)
           for name, dtype in TYPES.items()}
tensors["empty"] = torch.zeros(0, 4)
tensors["number"] = torch.tensor(1.0)
tensors['quote " slash \\ tab \t é 字 🙂'] = torch.ones(1, dtype=torch.uint8)
save_file(tensors, pathlib.Path(__file__).parent / "stored_tensors.safetensors", metadata={"epoch": "7", "ключ": "a\nb"})
