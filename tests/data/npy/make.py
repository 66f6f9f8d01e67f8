#!/usr/bin/env python3
"""Write the golden .npy files of this folder with numpy. usage: tests/data/npy/make.py"""
import pathlib

import numpy as np
from numpy.lib import format as npy

HERE = pathlib.Path(__file__).parent


def save(name, array, version=(1, 0)):
    with open(HERE / f"{name}.npy", "wb") as f:
        npy.write_array(f, array, version=version, allow_pickle=True)


base = np.arange(12).reshape(3, 4)
for dtype in ("f4", "f8", "u1", "i4", "i8"):
    values = base if dtype == "u1" else base - 5 if dtype[0] == "i" else base / 2 - 3
    save(f"{dtype}_C", values.astype("<" + dtype))
    save(f"{dtype}_F", np.asfortranarray(values.astype("<" + dtype)))
cube = np.arange(24).reshape(2, 3, 4)
save("f4_3d_C", cube.astype("<f4"))
save("f4_3d_F", np.asfortranarray(cube.astype("<f4")))
save("u1_3d_F", np.asfortranarray(cube.astype("u1")))
save("f4_v2", (base / 2 - 3).astype("<f4"), version=(2, 0))
save("f4_v3", (base / 2 - 3).astype("<f4"), version=(3, 0))
save("X", (base / 2 - 3).astype("<f4"))
save("y", np.array([7, -2, 7], dtype="<i8"))
save("labels_f8", np.array([0.5, 1.5, -2.0]))
save("labels_2d_F", np.asfortranarray(np.array([[1, 2], [3, 4], [5, 6]], dtype="<f8")))
save("bad_big_endian", base.astype(">f4"))
save("bad_bool", base > 3)
save("bad_f2", base.astype("<f2"))
save("bad_object", np.array([["a", 1], ["b", 2]], dtype=object))
save("bad_structured", np.zeros(3, dtype=[("a", "<f4"), ("b", "<i4")]))
save("bad_text", np.array([["a", "b"]]))
save("bad_1d", np.arange(3.0))
save("bad_0d", np.array(3.0))
save("bad_empty", np.zeros((0, 4), dtype="<f4"))
save("bad_no_features", np.zeros((4, 0), dtype="<f4"))
save("bad_nan", np.array([[1, 2], [3, np.nan]], dtype="<f4"))
save("bad_overflow", np.array([[1, 2], [1e300, 4]]))
