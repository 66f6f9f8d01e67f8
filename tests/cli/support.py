"""What the command-line tests share: running altmin, temporary folders, reading its files with nothing but Python."""

import json
import os
import pathlib
import struct
import subprocess
import tempfile
import unittest

ALTMIN = os.environ["ALTMIN"]  # the command under test, set by CTest
DIGITS = ["--data", "digits"]
WINE = pathlib.Path(__file__).parent.parent / "data/csv/winequality-red-320.csv"  # 11 features and the quality


def run(*args, stdin=None, cwd=None, env=None, timeout=120, text=True):
    """Run altmin and wait; returns CompletedProcess with stdout and stderr."""
    environment = dict(os.environ, **(env or {}))
    return subprocess.run([ALTMIN, *map(str, args)], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          capture_output=True, text=text, cwd=cwd, env=environment, timeout=timeout)


class Case(unittest.TestCase):
    """A test with a temporary folder of its own in self.dir."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def ok(self, *args, **keywords):
        """Run altmin, which must succeed without a word on stderr; returns stdout."""
        result = run(*args, cwd=self.dir, **keywords)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(len(result.stderr), 0, result.stderr)
        return result.stdout

    def refused(self, code, *args, says=(), **keywords):
        """Run altmin, which must end with `code`, print nothing on stdout and one line on stderr that holds `says`."""
        result = run(*args, cwd=self.dir, **keywords)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(len(result.stdout), 0)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for words in says:
            self.assertIn(words, result.stderr)
        return result.stderr

    def train(self, *args, model="m.safetensors"):
        """Train quietly on the digits; returns the model's path."""
        self.ok("train", "--quiet", *DIGITS, "--hidden", "16", *args, "-o", model)
        return self.dir / model


class Tensors:
    """A safetensors file: .meta (the header's __metadata__) and .tensor {name: (shape, floats)}."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        (n_header,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + n_header])
        body = data[8 + n_header :]
        self.meta = header.pop("__metadata__")
        self.tensor = {}
        self.end = 0
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            assert entry["dtype"] == "F32" and last <= len(body), (name, entry)
            self.end = max(self.end, last)
            self.tensor[name] = (entry["shape"], struct.unpack(f"<{(last - first) // 4}f", body[first:last]))
        assert self.end == len(body), "bytes behind the last tensor"


def read_npy(data):
    """Shape, type and values of an NPY file given as bytes (one-dimensional or C order)."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    (n_header,) = struct.unpack("<H", data[8:10])
    header = eval(data[10 : 10 + n_header])  # a literal dictionary that altmin wrote
    assert (10 + n_header) % 64 == 0 and data[9 + n_header] == ord("\n")
    count = 1
    for n in header["shape"]:
        count *= n
    body, kind = data[10 + n_header :], header["descr"]
    if kind.startswith("|S"):
        size = int(kind[2:])
        values = [body[i * size : (i + 1) * size].rstrip(b"\0").decode() for i in range(count)]
    else:
        values = list(struct.unpack(f"<{count}" + {"<f4": "f", "<i8": "q"}[kind], body))
    return header["shape"], kind, values
