"""bench/methods: a smoke run through every method and preset, how data are cut, what is skipped, and the search's rule."""

import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(ROOT, "bench", "methods")
sys.path.insert(0, FOLDER)
import datasets
import methods
import search


def idx(dims, raw):
    return bytes([0, 0, 8, len(dims)]) + struct.pack(f">{len(dims)}I", *dims) + raw


class Methods(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    def lines(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.readlines()

    def run_script(self, script, *options):
        return subprocess.run([sys.executable, os.path.join(FOLDER, script), "--altmin", os.environ["ALTMIN"], "--features",
                               os.environ["CITATION_FEATURES"], "--data", self.folder, *options], capture_output=True,
                              text=True, cwd=self.folder)

    def write_wine(self, n=200):
        """Quality is a linear function of the features and some noise."""
        rng = random.Random(3)
        rows = []
        for _ in range(n):
            x = [rng.gauss(0, 1) for _ in range(11)]
            rows.append(",".join(f"{v:.4f}" for v in [*x, 5 + x[0] - 2 * x[5] + rng.gauss(0, 0.1)]) + "\n")
        self.write("wine/winequality-red.csv", "".join(rows))

    def test_quick_run_of_everything_that_is_there(self):
        self.write_wine()
        out = os.path.join(self.folder, "out")
        done = self.run_script("methods.py", out, "--quick", "--only", "digits,wine,mnist", "--threads", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(out, "methods.json"), encoding="utf-8") as file:
            kept = json.load(file)
        names = methods.harness.method_names(os.environ["ALTMIN"])
        for method in ("mdlam", "tiam", "bcd", "dladmm", "sgd", "adam"):
            self.assertIn(method, names)
        rows = {(r["dataset"], r["method"], r["preset"]) for r in kept["runs"]}
        self.assertEqual(rows, {(d, m, p) for d in ("digits", "wine") for m in names
                                for p in (["best"] if m in methods.MINI_BATCH else ["paper", "best"])})
        for run in kept["runs"]:
            with self.subTest(run=(run["dataset"], run["method"], run["preset"])):
                if "refused" in run:
                    self.assertNotIn(run["method"], ("mdlam", "tiam", "dladmm", "sgd", "adam"))
                    continue
                self.assertEqual(run["n_sweeps"], 2 if run["method"] in methods.MINI_BATCH else 6)
                self.assertEqual(len(run["test_curve"]), run["n_sweeps"])
                self.assertEqual(run["test_curve"][-1][0], run["n_sweeps"])
                self.assertAlmostEqual(run["test_curve"][-1][1], run["final_test"], delta=5e-5)
                self.assertEqual(run["settings"]["preset"], run["preset"])
                self.assertTrue(math.isfinite(run["objective"]))
        self.assertIn("'" + os.path.join(self.folder, "mnist") + "' lacks train-images", kept["skipped"]["mnist"])
        with open(os.path.join(out, "methods.md"), encoding="utf-8") as file:
            page = file.read()
        self.assertIn(f"Skipped: {kept['skipped']['mnist']}", page)
        adam = next(r for r in kept["runs"] if (r["dataset"], r["method"]) == ("digits", "adam"))
        self.assertRegex(page, rf"\| adam \| both \| 2 \|.*\| {methods.number(adam['final_test'])} \|")

    def test_first_sweep_that_reaches_a_target(self):
        sweeps = [{"sweep": k + 1, "time_s": k / 4, "test_accuracy": v} for k, v in enumerate((0.1, None, 0.8, 0.7, 0.9))]
        self.assertEqual(methods.reached(sweeps, "test_accuracy", 0.8), {"sweep": 3, "time_s": 0.5})
        self.assertIsNone(methods.reached(sweeps, "test_accuracy", 0.95))
        runs = [{"to_target": {"0.8": {"sweep": s, "time_s": s / 2}}} for s in (4, 9, 6)] + [{"to_target": {"0.8": None}}]
        self.assertEqual(methods.target_cell(runs, 0.8), "6 / 3 s (3 of 4)")

    def test_verdict_over_seeds(self):
        def monitor(rate, theta=None, factor=None, rises=0):
            return {"rate": rate, "theta": theta, "rho_objective": factor, "sweeps": 40, "decrease": [{"violations": rises}]}
        self.assertEqual(methods.verdict([monitor("sublinear", 0.784), monitor("unresolved"), monitor("sublinear", 1.12)]),
                         "sublinear, KL .78-1.12; unresolved")
        self.assertEqual(methods.verdict([monitor("r-linear", factor=0.9, rises=3), monitor("r-linear", factor=0.9)]),
                         "R-linear .900; F rose in 0-3 of 39")

    def test_images_are_cut_as_said(self):
        n, side = 60000, 1
        labels = bytes(i % 10 for i in range(n))
        pixels = bytes(i % 251 for i in range(n))
        for part, count in (("train", n), ("t10k", 10000)):
            self.write(f"mnist/{part}-images-idx3-ubyte", idx((count, side, side), pixels[:count]))
            self.write(f"mnist/{part}-labels-idx1-ubyte", idx((count,), labels[:count]))
        mnist = next(d for d in datasets.ALL if d.name == "mnist")
        args = type("Args", (), {"data": self.folder})
        self.assertIsNone(mnist.missing(args))
        for held, first in ((False, 0), (True, 50000)):
            mnist.prepare(args, self.folder, held)
            self.assertEqual(datasets.read_idx(os.path.join(self.folder, "train-images-idx3-ubyte")),
                             ((10000, 1, 1), pixels[:10000]))
            self.assertEqual(datasets.read_idx(os.path.join(self.folder, "t10k-images-idx3-ubyte")),
                             ((10000, 1, 1), pixels[first:first + 10000]))

    def test_held_out_wines_are_training_wines(self):
        self.write_wine()
        wine = next(d for d in datasets.ALL if d.name == "wine")
        args = type("Args", (), {"data": self.folder})

        def parts(held):
            wine.prepare(args, self.folder, held)
            return [self.lines("train.csv"), self.lines("test.csv")]

        train, test = parts(False)
        searched, held = parts(True)
        self.assertEqual((len(train), len(test), len(searched), len(held)), (160, 40, 120, 40))
        self.assertEqual(sorted(searched + held), sorted(train))

    def test_search_never_touches_test_samples(self):
        self.write_wine()
        out = os.path.join(self.folder, "search")
        done = self.run_script("search.py", out, "--only", "wine", "--methods", "bcd", "--sweeps", "3", "--tries", "2",
                               "--threads", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(out, "search.json"), encoding="utf-8") as file:
            kept = json.load(file)
        self.assertEqual(len(kept["runs"]), 2)
        self.assertEqual({r["n_held"] for r in kept["runs"]}, {40})
        self.assertEqual({r["n_train"] for r in kept["runs"]}, {120})

    def test_search_grid_is_every_combination_once(self):
        found = list(search.combinations({"a": ("1", "2"), "b": ("x", "y", "z")}))
        self.assertEqual(len(found), 6)
        self.assertEqual(len({tuple(sorted(c.items())) for c in found}), 6)
        self.assertIn({"a": "2", "b": "x"}, found)

    def test_wrong_usage(self):
        done = self.run_script("methods.py", os.path.join(self.folder, "out"), "--only", "digits,iris")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no data set is called 'iris'", done.stderr)


if __name__ == "__main__":
    unittest.main()
