"""Has the test executable (argument 1) write a file, and reads it with the safetensors package."""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open

with tempfile.TemporaryDirectory() as directory:
    path = str(pathlib.Path(directory) / "written.safetensors")
    subprocess.run([sys.argv[1], "--test-case=the file that Python reads is written"], check=True,
                   env=os.environ | {"SWAV_SAFETENSORS_FOR_PYTHON": path})
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"epoch": "7", "ключ": "a\nb"}, file.metadata()
        names = "BOOL U8 I8 U16 I16 F16 BF16 U32 I32 F32 U64 I64 F64".split()
        odd = 'quote " slash \\ tab \t é 字 🙂'
        assert set(file.keys()) == {*names, "empty", "number", odd}, file.keys()
        for name in names:
            part = file.get_slice(name)
            assert part.get_dtype() == name and part.get_shape() == [2, 3], (name, part.get_dtype())
            if name != "BF16":  # NumPy has no such type
                wanted = np.arange(1, 7).reshape(2, 3)
                assert (file.get_tensor(name) == (wanted % 2 if name == "BOOL" else wanted)).all(), name
        assert file.get_tensor("empty").shape == (0, 4)
        assert file.get_tensor("number").shape == () and file.get_tensor("number") == 1
        assert file.get_tensor(odd) == [1]
print("the safetensors package reads what was written")
