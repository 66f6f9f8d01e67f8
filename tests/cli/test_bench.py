"""altmin bench: what its JSON promises, and what it refuses."""

import json
import unittest

from support import Case, run

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

    def test_every_method_shows_its_products(self):
        for method in "mdlam", "tiam", "bcd", "dladmm", "sgd", "adam":
            self.ok("bench", "sweep", "--shape", "400,30,4", "--hidden", "16", "--sweeps", "3", "--method", method, "--json",
                    "sweep.json")
            root = json.loads((self.dir / "sweep.json").read_text())
            self.assertTrue(0 < root["product_share"] < 1, (method, root["product_share"]))
            self.assertGreater(root["gemm_floor_s"], 0)

    def test_data_and_method(self):
        text = self.ok("bench", "sweep", "--data", "digits", "--hidden", "8", "--sweeps", "3", "--method", "adam", "--batch",
                       "100")
        self.assertIn("adam, 64-8-10", text)
        self.assertIn("sample-sized", text)


class Compare(Case):
    """Two backends, one problem: what is printed, what the JSON holds, and that a disagreement is one."""

    def compare(self, *args, expect=0):
        done = run("bench", "compare", "--data", "digits", "--hidden", "12", "--sweeps", "24", *args, "--json",
                   "compare.json", cwd=self.dir)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done, json.loads((self.dir / "compare.json").read_text())

    def test_cpu_against_ref(self):
        done, root = self.compare("--backends", "cpu,ref", "--threads", "1")
        self.assertEqual(done.stderr, "")
        self.assertEqual((root["bench"], root["method"], root["widths"], root["samples"], root["seed"]),
                         ("compare", "mdlam", [64, 12, 10], 1437, 1))
        self.assertTrue(root["agree"])
        cpu, ref = root["runs"]
        self.assertEqual([(r["backend"], r["precision"], r["sweeps"], r["threads"]) for r in root["runs"]],
                         [("cpu", "fp32", 24, 1), ("ref", "fp32", 24, 1)])
        for r in root["runs"]:
            self.assertTrue(0 < r["sweep_best_s"] <= r["sweep_s"] <= r["sweep_worst_s"], r)
            self.assertEqual(len(r["objective"]), 20)
        self.assertAlmostEqual(root["speed_up"], ref["sweep_s"] / cpu["sweep_s"], places=9)
        apart = [abs(a - b) / max(abs(a), abs(b)) for a, b in zip(cpu["objective"], ref["objective"])]
        self.assertGreater(max(apart), 0)  # two ways of adding up: never the same bits throughout
        self.assertAlmostEqual(root["objective"]["difference"] / max(apart), 1, places=9)
        self.assertEqual(root["worst_sweep"], 1 + apart.index(max(apart)))
        self.assertLess(max(apart), 1e-4)
        for part, count in (("train", 1437), ("test", 360)):
            p = (cpu[part + "_accuracy"] + ref[part + "_accuracy"]) / 2
            self.assertAlmostEqual(root[part + "_accuracy"]["band"], 2 * (p * (1 - p) / count) ** 0.5, places=9)
        for words in ("64-12-10", "seed 1", "products in fp32", "speed-up", "band 2.0e-03: agree"):
            self.assertIn(words, done.stdout)

    def test_same_objectives_as_training(self):
        _, root = self.compare("--backends", "ref,cpu", "--threads", "1", "--seed", "7")
        self.ok("train", "--quiet", "--data", "digits", "--hidden", "12", "--sweeps", "24", "--valid", "0", "--seed", "7",
                "--backend", "cpu", "--threads", "1", "--log", "run.jsonl", "-o", "/dev/null")
        lines = [json.loads(line) for line in (self.dir / "run.jsonl").read_text().splitlines()]
        sweeps = [line for line in lines if line["type"] == "sweep"]
        self.assertEqual([s["objective"] for s in sweeps[:20]],  # the log's nine digits
                         [float(f"{objective:.9g}") for objective in root["runs"][1]["objective"]])
        self.assertAlmostEqual(sweeps[-1]["test_accuracy"], root["runs"][1]["test_accuracy"], places=8)

    def test_a_backend_agrees_with_itself(self):
        _, root = self.compare("--backends", "cpu,cpu", "--band", "0")
        self.assertEqual(root["objective"], {"difference": 0, "band": 0, "holds": True})

    def test_disagreement_fails(self):
        done, root = self.compare("--backends", "cpu,ref", "--band", "0", expect=1)
        self.assertIn("cpu and ref do not agree", done.stderr)
        self.assertIn("DISAGREE", done.stdout)
        self.assertFalse(root["agree"])

    def test_regression_has_no_accuracy(self):
        rows = "".join(f"{i},{i % 7},{i % 5},{0.5 * i + i % 7}\n" for i in range(60))
        (self.dir / "values.csv").write_text("a,b,c,y\n" + rows)
        text = self.ok("bench", "compare", "--backends", "cpu,ref", "--data", "values.csv", "--task", "regression", "--hidden",
                       "4", "--sweeps", "4", "--json", "c.json")
        root = json.loads((self.dir / "c.json").read_text())
        self.assertIsNone(root["runs"][0]["train_accuracy"])
        self.assertTrue(root["agree"])
        self.assertNotIn("accuracies differ", text)

    def test_refused(self):
        base = ("bench", "compare", "--data", "digits")
        self.refused(2, *base, "--backend", "cpu", says=["--backend", "--backends A,B"])
        for bad in ("cpu", "cpu,", "cpu,ref,ref", "cpu;ref", "auto,cpu", "cpu,Ref", ""):
            self.refused(2, *base, "--backends", bad, says=["--backends", f"'{bad}'", "ref, cpu, cuda"])
        for bad in ("x", "-1", "2", "nan", "0.1x"):
            self.refused(2, *base, "--backends", "cpu,ref", f"--band={bad}", says=["--band", f"'{bad}'"])
        self.refused(2, *base, "--backends", "cpu,ref", "--sweeps", "1", says=["--sweeps"])
        self.refused(2, *base, "--backends", "cpu,ref", "--shape", "50,4,2", says=["--data", "--shape"])
        if not any(b["name"] == "cuda" and b["available"] for b in json.loads(self.ok("info", "--json"))["backends"]):
            self.refused(1, *base, says=["backend cuda is not there", "--backends cpu,ref"])


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
        self.assertIn("--backends", self.ok("bench", "compare", "--help"))


if __name__ == "__main__":
    unittest.main()
