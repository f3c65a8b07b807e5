"""Writes the golden files that tests/golden.hpp reads: a text header "name rows cols" a line, "end", then doubles."""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def write(name, arrays):
    """arrays: dict of name to a number, vector or matrix; everything is stored as a two-dimensional double array."""
    matrices = {k: np.atleast_2d(np.asarray(v, dtype="<f8")) for k, v in arrays.items()}
    header = "".join(f"{k} {m.shape[0]} {m.shape[1]}\n" for k, m in matrices.items()) + "end\n"
    with open(HERE / name, "wb") as file:
        file.write(header.encode())
        for m in matrices.values():
            file.write(np.ascontiguousarray(m).tobytes())
