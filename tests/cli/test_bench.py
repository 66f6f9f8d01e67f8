"""altmin bench: what its JSON promises, and what it refuses."""

import json
import unittest

from support import Case

SMALL = ["--samples", "500", "--widths", "16,33", "--seconds", "0", "--threads", "1"]


class Ops(Case):
    def bench(self, *args):
        text = self.ok("bench", "ops", *SMALL, *args, "--json", "ops.json")
        return text, json.loads((self.dir / "ops.json").read_text())

    def test_every_op_is_measured(self):
        text, root = self.bench("--backend", "cpu")
        self.assertEqual((root["bench"], root["backend"], root["threads"]), ("ops", "cpu", 1))
        self.assertGreater(root["gemm_gflops"], 0)
        self.assertGreater(root["copy_gb_per_s"], 0)
        names = {row["name"] for row in root["cases"]}
        for name in ("gemm NT", "gram N", "spmm T", "cholesky", "norm2", "box_z relu", "a_step tanh", "prox_softmax"):
            self.assertIn(name, names)
            self.assertIn(name, text)
        for row in root["cases"]:
            self.assertGreater(row["time_s"], 0, row)
            self.assertGreaterEqual(row["median_s"], row["time_s"], row)
            if row["op"] in ("gemm", "gram"):
                flops = row["gflops"] * 1e9 * row["time_s"]
                expected = row["m"] * (row["m"] + 1) * row["k"] if row["op"] == "gram" else 2 * row["m"] * row["n"] * row["k"]
                self.assertAlmostEqual(flops / expected, 1, places=6)

    def test_filter(self):
        _, root = self.bench("--filter", "gemm N")
        self.assertEqual({row["name"] for row in root["cases"]}, {"gemm NN", "gemm NT"})
        self.assertEqual({row["m"] for row in root["cases"]}, {16, 33})


class Sweep(Case):
    def test_counts_and_floor(self):
        self.ok("bench", "sweep", "--shape", "300,20,4", "--hidden", "16", "--form", "normal", "--sweeps", "5", "--threads",
                "1", "--json", "sweep.json")
        root = json.loads((self.dir / "sweep.json").read_text())
        self.assertEqual((root["method"], root["widths"], root["samples"], root["sweeps"]), ("mdlam", [20, 16, 4], 300, 4))
        self.assertGreater(root["sweep_s"], 0)
        self.assertGreaterEqual(root["sweep_s"], root["sweep_best_s"])
        self.assertAlmostEqual(root["gemm_floor_s"], sum(p["floor_s"] for p in root["products"]), places=9)
        self.assertAlmostEqual(root["ratio"], root["sweep_s"] / root["gemm_floor_s"], places=6)
        self.assertAlmostEqual(sum(op["share"] for op in root["ops"]), 1, places=6)
        self.assertGreaterEqual(root["peak_bytes"], root["plan_bytes"])
        for product in root["products"]:
            self.assertIn(300, (product["m"], product["n"], product["k"]))
            self.assertGreater(product["per_sweep"], 0)
        grams = [p for p in root["products"] if p["op"] == "gram"]
        self.assertEqual([(p["m"], p["per_sweep"]) for p in grams], [(16, 1)])  # layer 1's is formed once, before

    def test_data_and_method(self):
        text = self.ok("bench", "sweep", "--data", "digits", "--hidden", "8", "--sweeps", "3", "--method", "adam", "--batch",
                       "100")
        self.assertIn("adam, 64-8-10", text)
        self.assertIn("sample-sized", text)


class Refused(Case):
    def test_wrong_usage(self):
        self.refused(2, "bench", "opps", says=["'opps'", "did you mean"])
        self.refused(2, "bench", "ops", "--widths", "10,x", says=["--widths", "'x'"])
        self.refused(2, "bench", "ops", "--samples", "0.5", says=["--samples", "'0.5'"])
        self.refused(2, "bench", "sweep", "--shape", "5,x,2", says=["--shape", "'5,x,2'"])
        self.refused(2, "bench", "sweep", "--shape", "50,4,1", says=["--shape"])
        self.refused(2, "bench", "sweep", "--shape", "50,4,2", "--data", "digits", says=["--data", "--shape"])
        self.refused(2, "bench", "sweep", "--shape", "50,4,2", "--hidden", "3", "--sweeps", "1", says=["--sweeps"])

    def test_help(self):
        self.assertIn("altmin bench sweep", self.ok("bench", "--help"))
        self.assertIn("--filter", self.ok("bench", "ops", "--help"))
        self.assertIn("--shape", self.ok("bench", "sweep", "--help"))


if __name__ == "__main__":
    unittest.main()
