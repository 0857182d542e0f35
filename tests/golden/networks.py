#!/usr/bin/env python3
"""Writes networks.json: what ONNX Runtime computes for full-size networks with seeded weights.

    scripts/setup.sh python
    tests/.onnx/bin/python tests/golden/networks.py [name ...]

The networks are written down here a second time, from their papers and torchvision's definitions: no line of Convoke,
its exporter included, takes part. Both sides fill the parameters by the same generator (src/rng.rs), each tensor from
a stream that its name chooses; see tests/suite/networks.rs. The tests need no Python: they read the committed JSON,
which must be written anew when the generator, the fill or a network's parameter names change. With names, only those
networks are run and shown, and nothing is written.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

SEED = 2026
OPSET = 17
IR_VERSION = 8


# --- the generator of src/rng.rs ---

def mix(x):
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def fnv1a(name):
    h = 0x811C9DC5
    for byte in name.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def draw(name, shape, low, high):
    """Uniform in [low, high), in single precision throughout."""
    word = lambda v: np.array([v], np.uint32)
    key = mix(word(fnv1a(name)) ^ mix(word(SEED ^ 0x9E3779B9)))
    low, high = np.float32(low), np.float32(high)
    values = np.empty(int(np.prod(shape)), np.float32)
    for start in range(0, values.size, 1 << 20):  # Pieces that fit the cache.
        counter = np.arange(start + 1, min(start + (1 << 20), values.size) + 1, dtype=np.uint32)
        uniform = (mix(counter ^ key) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)
        values[start:start + counter.size] = low + (high - low) * uniform
    return values.reshape(shape)


# --- a small builder ---

class Net:
    """An ONNX graph under construction. Values are (name, shape of one sample); weights are inputs of the graph."""

    def __init__(self, *shape):
        self.nodes, self.feeds = [], {"input": draw("input", (1, *shape), -1, 1)}
        self.input = ("input", shape)

    def node(self, op, inputs, shape, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name, tuple(shape)

    def weight(self, name, *shape):
        bound = np.sqrt(np.float32(6) / np.float32(np.prod(shape[1:])))
        return self.param(name, shape, -bound, bound)

    def param(self, name, shape, low, high):
        assert name not in self.feeds, name
        self.feeds[name] = draw(name, shape, low, high)
        return name

    def constant(self, values):
        name = f"c{len(self.feeds)}"
        self.feeds[name] = np.array(values, np.int64)
        return name

    def conv(self, x, name, out, kernel, stride=1, pad=0, groups=1, bias=True):
        c, h, w = x[1]
        inputs = [x[0], self.weight(f"{name}.weight", out, c // groups, kernel, kernel)]
        if bias:
            inputs.append(self.param(f"{name}.bias", [out], -0.1, 0.1))
        size = [(n + 2 * pad - kernel) // stride + 1 for n in (h, w)]
        return self.node("Conv", inputs, (out, *size), kernel_shape=[kernel] * 2, strides=[stride] * 2,
                         pads=[pad] * 4, group=groups)

    def linear(self, x, name, out):
        weight = self.weight(f"{name}.weight", out, x[1][0])
        bias = self.param(f"{name}.bias", [out], -0.1, 0.1)
        return self.node("Gemm", [x[0], weight, bias], [out], transB=1)

    def bn(self, x, name, epsilon=1e-5):
        c = x[1][:1]
        params = [self.param(f"{name}.{part}", c, *limits) for part, limits in
                  (("weight", (0.5, 1.5)), ("bias", (-0.1, 0.1)), ("running_mean", (-0.1, 0.1)), ("running_var", (0.5, 2)))]
        return self.node("BatchNormalization", [x[0], *params], x[1], epsilon=epsilon)

    def relu(self, x):
        return self.node("Relu", [x[0]], x[1])

    def lrn(self, x):
        return self.node("LRN", [x[0]], x[1], size=5, alpha=1e-4, beta=0.75, bias=1.0)

    def pool(self, x, kernel, stride, pad=0, ceil=False, op="MaxPool"):
        c, h, w = x[1]
        size = [-(-(n + 2 * pad - kernel) // stride) + 1 if ceil else (n + 2 * pad - kernel) // stride + 1 for n in (h, w)]
        return self.node(op, [x[0]], (c, *size), kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
                         ceil_mode=int(ceil))

    def mean(self, x):
        """Global average, flattened."""
        return self.flatten(self.node("GlobalAveragePool", [x[0]], (x[1][0], 1, 1)))

    def flatten(self, x):
        return self.node("Flatten", [x[0]], [int(np.prod(x[1]))])

    def add(self, x, y):
        assert x[1] == y[1]
        return self.node("Add", [x[0], y[0]], x[1])

    def concat(self, *xs):
        return self.node("Concat", [x[0] for x in xs], (sum(x[1][0] for x in xs), *xs[0][1][1:]), axis=1)

    def run(self, y):
        types = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
        inputs = [helper.make_tensor_value_info(n, types[v.dtype], v.shape) for n, v in self.feeds.items()]
        output = helper.make_tensor_value_info(y[0], TensorProto.FLOAT, (1, *y[1]))
        graph = helper.make_graph(self.nodes, "net", inputs, [output])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, self.feeds)[0].ravel()


# --- the networks ---

def alexnet():
    """Krizhevsky et al., 2012, with the constants of the Caffe model."""
    n = Net(3, 227, 227)
    x = n.pool(n.lrn(n.relu(n.conv(n.input, "conv1", 96, 11, stride=4))), 3, 2)
    x = n.pool(n.lrn(n.relu(n.conv(x, "conv2", 256, 5, pad=2, groups=2))), 3, 2)
    x = n.relu(n.conv(x, "conv3", 384, 3, pad=1))
    x = n.relu(n.conv(x, "conv4", 384, 3, pad=1, groups=2))
    x = n.relu(n.conv(x, "conv5", 256, 3, pad=1, groups=2))
    x = n.flatten(n.pool(x, 3, 2))
    x = n.relu(n.linear(x, "fc6", 4096))
    x = n.relu(n.linear(x, "fc7", 4096))
    return n, n.linear(x, "fc8", 1000)


def classifier(n, x, layers):
    """The linear layers of torchvision's AlexNet and VGG; their adaptive pooling is the identity at these sizes."""
    x = n.flatten(x)
    for i in layers[:-1]:
        x = n.relu(n.linear(x, f"classifier.{i}", 4096))
    return n.linear(x, f"classifier.{layers[-1]}", 1000)


def alexnet_torchvision():
    n = Net(3, 224, 224)
    x = n.pool(n.relu(n.conv(n.input, "features.0", 64, 11, stride=4, pad=2)), 3, 2)
    x = n.pool(n.relu(n.conv(x, "features.3", 192, 5, pad=2)), 3, 2)
    x = n.relu(n.conv(x, "features.6", 384, 3, pad=1))
    x = n.relu(n.conv(x, "features.8", 256, 3, pad=1))
    x = n.pool(n.relu(n.conv(x, "features.10", 256, 3, pad=1)), 3, 2)
    assert x[1] == (256, 6, 6)
    return n, classifier(n, x, [1, 4, 6])


def vgg16():
    """Configuration D of Simonyan and Zisserman, 2014."""
    n = Net(3, 224, 224)
    x, i = n.input, 0
    for v in [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]:
        if v == "M":
            x, i = n.pool(x, 2, 2), i + 1
        else:
            x, i = n.relu(n.conv(x, f"features.{i}", v, 3, pad=1)), i + 2
    assert x[1] == (512, 7, 7)
    return n, classifier(n, x, [0, 3, 6])


def conv_bn(n, x, conv, bn, *args, **kwargs):
    return n.bn(n.conv(x, conv, *args, bias=False, **kwargs), bn)


def resnet_imagenet(blocks, bottleneck):
    """torchvision's: the stride of a bottleneck is in its 3x3 convolution."""
    n = Net(3, 224, 224)
    x = n.pool(n.relu(conv_bn(n, n.input, "conv1", "bn1", 64, 7, stride=2, pad=3)), 3, 2, pad=1)
    for stage, count in enumerate(blocks, 1):
        width = 32 << stage
        for i in range(count):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            if bottleneck:
                y = n.relu(conv_bn(n, x, f"{at}.conv1", f"{at}.bn1", width, 1))
                y = n.relu(conv_bn(n, y, f"{at}.conv2", f"{at}.bn2", width, 3, stride=stride, pad=1))
                y = conv_bn(n, y, f"{at}.conv3", f"{at}.bn3", 4 * width, 1)
            else:
                y = n.relu(conv_bn(n, x, f"{at}.conv1", f"{at}.bn1", width, 3, stride=stride, pad=1))
                y = conv_bn(n, y, f"{at}.conv2", f"{at}.bn2", width, 3, pad=1)
            if x[1] != y[1]:
                x = conv_bn(n, x, f"{at}.downsample.0", f"{at}.downsample.1", y[1][0], 1, stride=stride)
            x = n.relu(n.add(y, x))
    return n, n.linear(n.mean(x), "fc", 1000)


def resnet20():
    """He et al., 2016, section 4.2: shortcuts of option A."""
    n = Net(3, 32, 32)
    x = n.relu(conv_bn(n, n.input, "conv1", "bn1", 16, 3, pad=1))
    for stage, width in enumerate([16, 32, 64], 1):
        for i in range(3):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            y = n.relu(conv_bn(n, x, f"{at}.conv1", f"{at}.bn1", width, 3, stride=stride, pad=1))
            y = conv_bn(n, y, f"{at}.conv2", f"{at}.bn2", width, 3, pad=1)
            if stride == 2:
                c, h, w = x[1]
                ends = [n.constant(v) for v in ([0, 0], [h, w], [2, 3], [2, 2])]
                x = n.node("Slice", [x[0], *ends], (c, h // 2, w // 2))
                x = n.node("Pad", [x[0], n.constant([0, c // 2, 0, 0, 0, c // 2, 0, 0])], (2 * c, h // 2, w // 2))
            x = n.relu(n.add(y, x))
    return n, n.linear(n.mean(x), "fc", 10)


INCEPTIONS = dict(  # Table 1 of Szegedy et al., 2015.
    a3=[64, 96, 128, 16, 32, 32], b3=[128, 128, 192, 32, 96, 64], a4=[192, 96, 208, 16, 48, 64],
    b4=[160, 112, 224, 24, 64, 64], c4=[128, 128, 256, 24, 64, 64], d4=[112, 144, 288, 32, 64, 64],
    e4=[256, 160, 320, 32, 128, 128], a5=[256, 160, 320, 32, 128, 128], b5=[384, 192, 384, 48, 128, 128])


def googlenet(torchvision):
    n = Net(3, 224, 224)

    def conv(x, name, out, kernel, **kwargs):
        if torchvision:
            y = n.bn(n.conv(x, f"{name}.conv", out, kernel, bias=False, **kwargs), f"{name}.bn", epsilon=1e-3)
        else:
            y = n.conv(x, name, out, kernel, **kwargs)
        return n.relu(y)

    def inception(x, name, c1, r3, c3, r5, c5, proj):
        at, wide = f"inception{name[1]}{name[0]}", 3 if torchvision else 5
        return n.concat(
            conv(x, f"{at}.branch1", c1, 1),
            conv(conv(x, f"{at}.branch2.0", r3, 1), f"{at}.branch2.1", c3, 3, pad=1),
            conv(conv(x, f"{at}.branch3.0", r5, 1), f"{at}.branch3.1", c5, wide, pad=wide // 2),
            conv(n.pool(x, 3, 1, pad=1, ceil=True), f"{at}.branch4.1", proj, 1))

    norm = (lambda x: x) if torchvision else n.lrn
    x = norm(n.pool(conv(n.input, "conv1", 64, 7, stride=2, pad=3), 3, 2, ceil=True))
    x = conv(conv(x, "conv2", 64, 1), "conv3", 192, 3, pad=1)
    x = n.pool(norm(x), 3, 2, ceil=True)
    for name, channels in INCEPTIONS.items():
        if name == "a4":
            x = n.pool(x, 3, 2, ceil=True)
        if name == "a5":
            x = n.pool(x, 2 if torchvision else 3, 2, ceil=True)
        x = inception(x, name, *channels)
    return n, n.linear(n.mean(x), "fc", 1000)


def densenet121():
    n = Net(3, 224, 224)
    x = n.relu(conv_bn(n, n.input, "features.conv0", "features.norm0", 64, 7, stride=2, pad=3))
    x = n.pool(x, 3, 2, pad=1)
    for block, layers in enumerate([6, 12, 24, 16], 1):
        for i in range(1, layers + 1):
            at = f"features.denseblock{block}.denselayer{i}"
            y = n.conv(n.relu(n.bn(x, f"{at}.norm1")), f"{at}.conv1", 128, 1, bias=False)
            y = n.conv(n.relu(n.bn(y, f"{at}.norm2")), f"{at}.conv2", 32, 3, pad=1, bias=False)
            x = n.concat(x, y)
        if block < 4:
            at = f"features.transition{block}"
            x = n.conv(n.relu(n.bn(x, f"{at}.norm")), f"{at}.conv", x[1][0] // 2, 1, bias=False)
            x = n.pool(x, 2, 2, op="AveragePool")
    return n, n.linear(n.mean(n.relu(n.bn(x, "features.norm5"))), "classifier", 1000)


def nin():
    """Lin et al., 2013, as their Caffe model for CIFAR-10."""
    n = Net(3, 32, 32)
    x = n.relu(n.conv(n.input, "conv1", 192, 5, pad=2))
    x = n.relu(n.conv(n.relu(n.conv(x, "cccp1", 160, 1)), "cccp2", 96, 1))
    x = n.relu(n.conv(n.pool(x, 3, 2, ceil=True), "conv2", 192, 5, pad=2))
    x = n.relu(n.conv(n.relu(n.conv(x, "cccp3", 192, 1)), "cccp4", 192, 1))
    x = n.relu(n.conv(n.pool(x, 3, 2, ceil=True, op="AveragePool"), "conv3", 192, 3, pad=1))
    x = n.relu(n.conv(n.relu(n.conv(x, "cccp5", 192, 1)), "cccp6", 10, 1))
    return n, n.mean(x)


def lenet5():
    """LeCun et al., 1998, in the form with ReLU and maximum pooling."""
    n = Net(1, 32, 32)
    x = n.pool(n.relu(n.conv(n.input, "conv1", 6, 5)), 2, 2)
    x = n.flatten(n.pool(n.relu(n.conv(x, "conv2", 16, 5)), 2, 2))
    x = n.relu(n.linear(x, "fc1", 120))
    x = n.relu(n.linear(x, "fc2", 84))
    return n, n.linear(x, "fc3", 10)


NETWORKS = {
    "lenet5": lenet5,
    "resnet20": resnet20,
    "nin": nin,
    "alexnet": alexnet,
    "alexnet-torchvision": alexnet_torchvision,
    "vgg16": vgg16,
    "resnet18": lambda: resnet_imagenet([2, 2, 2, 2], bottleneck=False),
    "resnet50": lambda: resnet_imagenet([3, 4, 6, 3], bottleneck=True),
    "googlenet": lambda: googlenet(torchvision=False),
    "googlenet-torchvision": lambda: googlenet(torchvision=True),
    "densenet121": densenet121,
}


def main():
    chosen, entries = sys.argv[1:], []
    for name in chosen or NETWORKS:
        net, y = NETWORKS[name]()
        logits = net.run(y)
        assert np.isfinite(logits).all(), name
        print(f"{name}: {logits.size} logits, {logits.std():.3g} around {logits.mean():.3g}")
        entries.append(f'"{name}": [{",".join(f"{v:.6g}" for v in logits)}]')
    if not chosen:
        path = pathlib.Path(__file__).with_name("networks.json")
        made_with = json.dumps(f"onnxruntime {ort.__version__}, numpy {np.__version__}")
        body = ",\n".join(entries)
        path.write_text(f'{{"made_with": {made_with},\n"seed": {SEED},\n"logits": {{\n{body}\n}}}}\n')


main()
