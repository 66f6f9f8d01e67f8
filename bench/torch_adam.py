#!/usr/bin/env python3
"""The opponent: PyTorch's Adam on the same network and data, to the same accuracy; on a GPU fused, with TF32 and CUDA graphs.

The image set in --data, batches of 250, cosine to zero over each number of passes tried. Writes test accuracy and time of the
training steps alone for each number of passes and seed, and from these the time to each accuracy of bench/gpu_runs.py that a
run ended at. The first run warms up and is made again.
"""
import argparse
import gzip
import json
import math
import pathlib
import time

import torch

from gpu_runs import TARGETS

BATCH = 250


def read_idx(path, skip):
    packed = path.with_name(path.name + ".gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return torch.frombuffer(bytearray(raw[skip:]), dtype=torch.uint8)


def load(folder, part, device):
    y = read_idx(folder / f"{part}-labels-idx1-ubyte", 8)
    x = read_idx(folder / f"{part}-images-idx3-ubyte", 16).view(len(y), -1)
    return x.to(device).float() / 255, y.to(device).long()


def network(n_features, hidden, seed, device):
    torch.manual_seed(seed)
    widths, layers = [n_features, *hidden], []
    for d_in, d_out in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(d_in, d_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 10)).to(device)


def one_step(model, optimiser, x, y):
    """A function of nothing: a step on the samples in x and y."""
    loss_of = torch.nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad(set_to_none=False)
        loss_of(model(x), y).backward()
        optimiser.step()

    return step


def capture(step, model, optimiser):
    """One training step as a CUDA graph over fixed buffers."""
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


def prepare(model, rate, bx, by):
    """The step on bx and by, and a function that sets its rate."""
    if bx.device.type == "cpu":
        optimiser = torch.optim.Adam(model.parameters(), lr=rate)
        return one_step(model, optimiser, bx, by), lambda value: optimiser.param_groups[0].update(lr=value)
    on_device = torch.tensor(rate, device=bx.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=on_device, fused=True, capturable=True)
    return capture(one_step(model, optimiser, bx, by), model, optimiser).replay, on_device.fill_


def finish(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def run(args, passes, seed, train, test):
    x, y = train
    device, rate = x.device, args.short_rate if args.short_rate and passes <= 2 else args.rate
    model = network(x.shape[1], args.hidden, seed, device)
    bx, by = x[:BATCH].clone(), y[:BATCH].clone()
    step, set_rate = prepare(model, rate, bx, by)
    n_steps, done = passes * (len(x) // BATCH), 0
    finish(device)
    start = time.perf_counter()
    for _ in range(passes):
        order = torch.randperm(len(x), device=device)
        for i in range(len(x) // BATCH):
            index = order[i * BATCH:(i + 1) * BATCH]
            torch.index_select(x, 0, index, out=bx)
            torch.index_select(y, 0, index, out=by)
            set_rate(rate * 0.5 * (1 + math.cos(math.pi * done / n_steps)))
            step()
            done += 1
    finish(device)
    spent = time.perf_counter() - start
    with torch.no_grad():
        accuracy = (model(test[0]).argmax(1) == test[1]).float().mean().item()
    reached = {f"{target:.2f}": spent for target in TARGETS if accuracy >= target}
    return {"name": f"torch adam, {passes} passes", "passes": passes, "seed": seed, "train_s": spent,
            "test_accuracy": accuracy, "reached": reached}


def numbers(text):
    return [int(float(n)) for n in text.split(",")]


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="[default %(default)s]")
    parser.add_argument("--hidden", type=numbers, default=[1000, 1000], help="widths with commas [default 1000,1000]")
    parser.add_argument("--passes", type=numbers, default=[1, 2, 4, 8], help="[default 1,2,4,8]")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 1..N [default %(default)s]")
    parser.add_argument("--rate", type=float, default=3e-3, help="[default %(default)s]")
    parser.add_argument("--short-rate", type=float, help="rate of runs of 1 or 2 passes [default: --rate]")
    parser.add_argument("--threads", type=int, default=0, help="on the cpu; 0: torch's choice [default %(default)s]")
    return parser.parse_args()


def main():
    args = options()
    device = torch.device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = True
    train, test = load(args.data, "train", device), load(args.data, "t10k", device)
    run(args, 1, 1, train, test)
    result = {"torch": torch.__version__, "data": str(args.data),
              "device": torch.cuda.get_device_name() if args.device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
              "runs": [run(args, passes, seed, train, test) for passes in args.passes for seed in range(1, args.seeds + 1)]}
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
