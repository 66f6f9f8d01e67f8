#!/usr/bin/env python3
"""The opponent: PyTorch's fused Adam with TF32 and CUDA graphs on the same network and data, to the same accuracy.

Fashion-MNIST, hidden layers 1000 and 1000, batches of 250, cosine to zero over each number of passes tried. Prints and
writes the best test accuracy and the time of the training steps alone for 1, 2, 4 and 8 passes.
"""
import argparse
import gzip
import json
import math
import pathlib
import time

import torch

FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")
BATCH, RATE = 250, 3e-3


def read_idx(path, skip):
    packed = path.with_name(path.name + ".gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return torch.frombuffer(bytearray(raw[skip:]), dtype=torch.uint8)


def load(part, device):
    x = read_idx(FOLDER / f"{part}-images-idx3-ubyte", 16).view(-1, 784)
    y = read_idx(FOLDER / f"{part}-labels-idx1-ubyte", 8)
    return x.to(device).float() / 255, y.to(device).long()


def network(device):
    torch.manual_seed(1)
    layers = [torch.nn.Linear(784, 1000), torch.nn.ReLU(), torch.nn.Linear(1000, 1000), torch.nn.ReLU(),
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
    model = network(device)
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
    return {"passes": passes, "train_s": spent, "test_accuracy": accuracy}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    if not FOLDER.exists():
        raise SystemExit("needs Fashion-MNIST: apt-get install dataset-fashion-mnist")
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = True
    train, test = load("train", device), load("t10k", device)
    rows = [run(passes, train, test, device) for passes in (1, 2, 4, 8)]
    result = {"torch": torch.__version__, "device": torch.cuda.get_device_name(), "runs": rows}
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
