#!/usr/bin/env python3
"""The opponent: PyTorch's fused Adam with TF32 and CUDA graphs on the same network and data, to the same accuracy.

The image set in --data, hidden layers 1000 and 1000, batches of 250, cosine to zero over each number of passes tried. Writes
test accuracy and time of the training steps alone for 1, 2, 4 and 8 passes, and from these the time to each accuracy of
bench/gpu_runs.py that a run ended at. The first run warms up and is made again.
"""
import argparse
import gzip
import json
import math
import pathlib
import time

import torch

from gpu_runs import TARGETS

BATCH, RATE = 250, 3e-3


def read_idx(path, skip):
    packed = path.with_name(path.name + ".gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return torch.frombuffer(bytearray(raw[skip:]), dtype=torch.uint8)


def load(folder, part, device):
    y = read_idx(folder / f"{part}-labels-idx1-ubyte", 8)
    x = read_idx(folder / f"{part}-images-idx3-ubyte", 16).view(len(y), -1)
    return x.to(device).float() / 255, y.to(device).long()


def network(n_features, device):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(n_features, 1000), torch.nn.ReLU(), torch.nn.Linear(1000, 1000), torch.nn.ReLU(),
              torch.nn.Linear(1000, 10)]
    return torch.nn.Sequential(*layers).to(device)


def capture(model, optimiser, x, y):
    """One training step as a CUDA graph over fixed buffers."""
    loss_of = torch.nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad(set_to_none=False)
        loss_of(model(x), y).backward()
        optimiser.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    state = {k: v.clone() for k, v in model.state_dict().items()}
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    model.load_state_dict(state)  # warm-up does not count
    for moments in optimiser.state.values():
        for value in moments.values():
            value.zero_()
    return graph


def run(passes, train, test, device):
    model = network(train[0].shape[1], device)
    rate = torch.tensor(RATE, device=device)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, fused=True, capturable=True)
    x, y = train
    bx, by = x[:BATCH].clone(), y[:BATCH].clone()
    graph = capture(model, optimiser, bx, by)
    n_steps, done = passes * (len(x) // BATCH), 0
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(passes):
        order = torch.randperm(len(x), device=device)
        for i in range(len(x) // BATCH):
            index = order[i * BATCH:(i + 1) * BATCH]
            torch.index_select(x, 0, index, out=bx)
            torch.index_select(y, 0, index, out=by)
            rate.fill_(RATE * 0.5 * (1 + math.cos(math.pi * done / n_steps)))
            graph.replay()
            done += 1
    torch.cuda.synchronize()
    spent = time.perf_counter() - start
    with torch.no_grad():
        accuracy = (model(test[0]).argmax(1) == test[1]).float().mean().item()
    reached = {f"{target:.2f}": spent for target in TARGETS if accuracy >= target}
    return {"name": f"torch adam, {passes} passes", "train_s": spent, "test_accuracy": accuracy, "reached": reached}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = True
    train, test = load(args.data, "train", device), load(args.data, "t10k", device)
    run(1, train, test, device)
    result = {"torch": torch.__version__, "device": torch.cuda.get_device_name(), "data": str(args.data),
              "runs": [run(passes, train, test, device) for passes in (1, 2, 4, 8)]}
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
