"""Training steps outside the browser, Convoke beside PyTorch on the same weights and batch, in turn. Writes
docs/benchmarks-native.md.

    python3 -m venv VENV && VENV/bin/pip install torch==2.15.0 safetensors==0.8.0
    make bench-native PYTHON=VENV/bin/python
"""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).parent.parent
TARGET = 2.0  # PyTorch's minimum is to be at least a half of Convoke's.


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Block(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.stride, self.new = stride, channels - before

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        # Option A of He et al.: every second pixel, and zeros for the new channels.
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return F.relu(y + shortcut)


class ResNet8(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


# Name for people, name for Convoke, PyTorch's network, input, batch.
TASKS = [
    ("LeNet-5", "lenet5", LeNet5, (1, 32, 32), 64),
    ("ResNet-8", "resnet8", ResNet8, (3, 32, 32), 32),
]


def convoke(name, batch, threads, seconds, weights):
    command = ["cargo", "bench", "--quiet", "--no-default-features", "--bench", "training", "--", name]
    command += ["--batch", batch, "--threads", threads, "--seconds", seconds, "--weights", weights]
    result = subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def batch_of(shape):
    """As benches/training.rs makes it."""
    numbers = torch.arange(torch.tensor(shape).prod().item(), dtype=torch.int64) * 2654435761 % 2**32
    return (numbers.to(torch.float32) / 2**31 - 1).reshape(shape)


def pytorch(network, shape, batch, threads, seconds, weights, channels_last):
    torch.set_num_threads(threads)
    model = network()
    model.load_state_dict(safetensors.torch.load_file(weights), strict=False)
    x, labels = batch_of((batch, *shape)), torch.arange(batch) % 10
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    model.train()

    def step():
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item(), 1e3 * (time.perf_counter() - start)

    first, _ = step()
    begin, times = time.perf_counter(), []
    while time.perf_counter() - begin < seconds:
        times.append(step()[1])
    return {"loss": first, "times": times}


def task(row, options, weights):
    title, name, network, shape, batch = row
    engines = {
        "Convoke": lambda: convoke(name, batch, options.threads, options.seconds, weights),
        "PyTorch": lambda: pytorch(network, shape, batch, options.threads, options.seconds, weights, False),
        "PyTorch, channels last": lambda: pytorch(network, shape, batch, options.threads, options.seconds, weights, True),
    }
    times, losses = {engine: [] for engine in engines}, {}
    for _ in range(options.rounds):
        for engine, run in engines.items():
            result = run()
            times[engine] += result["times"]
            losses[engine] = result["loss"]
    for engine, loss in losses.items():
        if abs(loss - losses["Convoke"]) > 1e-4 * abs(loss):
            sys.exit(f"{title}: the first loss is {losses['Convoke']} in Convoke and {loss} in {engine}")
    best = min(min(times[engine]) for engine in engines if engine != "Convoke")
    lines = [f"### {title}, batch {batch}\n", "| engine | min ms | median ms | PyTorch's min / min | first loss |", "|---|---:|---:|---:|---:|"]
    for engine, own in times.items():
        lines.append(f"| {engine} | {min(own):.2f} | {statistics.median(own):.2f} | {best / min(own):.2f}x | {losses[engine]:.5f} |")
    ratio = best / min(times["Convoke"])
    verdict = "met" if ratio >= 1 / TARGET else "**missed**"
    return lines + ["", f"- Convoke against the faster PyTorch: {ratio:.2f}x, target at least {1 / TARGET:.2f}x: {verdict}", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        "# Training outside the browser\n",
        "Written by `make bench-native` (`bench/native.py`): one step of SGD with momentum, forward, backward and update, on",
        f"{options.threads} threads, PyTorch in its usual memory layout and in that of Convoke. Both begin with the same weights and",
        "batch, must agree on the first loss, and run in turn.\n",
        f"{now}; PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}).\n",
    ]
    with tempfile.TemporaryDirectory() as folder:
        weights = pathlib.Path(folder) / "weights.safetensors"
        for row in TASKS:
            lines += task(row, options, weights)
    text = "\n".join(lines)
    print(text)
    (ROOT / "docs/benchmarks-native.md").write_text(text)


main()
