"""altmin bench compare with cuda as one side: the command linked with the emulated device."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

SMALL = ["--shape", "150,12,4", "--hidden", "8,8", "--sweeps", "16", "--threads", "1"]


class Compare(unittest.TestCase):
    def compare(self, *args):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "compare.json"
            done = subprocess.run([os.environ["ALTMIN"], "bench", "compare", *SMALL, *args, "--json", str(path)],
                                  capture_output=True, text=True, timeout=600)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            return json.loads(path.read_text())

    def test_fp32(self):
        root = self.compare("--precision", "fp32")
        cuda, cpu = root["runs"]
        self.assertEqual([(r["backend"], r["precision"]) for r in root["runs"]], [("cuda", "fp32"), ("cpu", "fp32")])
        self.assertIn("emulated device", cuda["backend_detail"])
        self.assertTrue(root["agree"])
        self.assertLess(root["objective"]["difference"], 1e-5)
        self.assertEqual(root["objective"]["band"], 2e-3)

    def test_coarser_products_show(self):
        """tf32 is the default of cuda; bf16 is coarser still. Each has its band."""
        fp32 = self.compare("--precision", "fp32")["objective"]["difference"]
        tf32, bf16 = self.compare(), self.compare("--precision", "bf16")
        self.assertEqual((tf32["runs"][0]["precision"], tf32["runs"][1]["precision"]), ("tf32", "fp32"))
        self.assertEqual((tf32["objective"]["band"], bf16["objective"]["band"]), (2e-2, 1e-1))
        self.assertLess(10 * fp32, tf32["objective"]["difference"])
        self.assertLess(tf32["objective"]["difference"], bf16["objective"]["difference"])

    def test_every_method(self):
        done = subprocess.run([os.environ["ALTMIN"], "info", "--json"], capture_output=True, text=True)
        for method in json.loads(done.stdout)["methods"]:
            with self.subTest(method=method):
                root = self.compare("--backends", "cuda,ref", "--precision", "fp32", "--method", method)
                self.assertEqual((root["method"], root["runs"][1]["backend"]), (method, "ref"))
                self.assertTrue(root["agree"])

    def test_recorded_or_not(self):
        """Replayed as a graph or issued op by op: the same objectives to the last bit."""
        graph, stream = (self.compare("--precision", "fp32", "--launch", launch) for launch in ("graph", "stream"))
        self.assertEqual(graph["runs"][0]["objective"], stream["runs"][0]["objective"])


if __name__ == "__main__":
    unittest.main()
