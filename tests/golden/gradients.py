#!/usr/bin/env python3
"""Writes gradients.json: for a small network of each family, the loss and every parameter's gradient in JAX.

    python3 -m venv .venv && .venv/bin/pip install "jax[cpu]==0.10.2" && .venv/bin/python tests/golden/gradients.py

The networks are in Convoke's JSON form, and run by the functions of make.py in training mode and double precision. The
loss is softmax cross-entropy, summed over the outputs with their weights. The tests need no Python.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from make import FUNCTIONS, draw, tensor, window

CLASSES = 4


class Net:
    """A graph under construction; layers return their names."""

    def __init__(self, name, *shape):
        self.name, self.nodes, self.params = name, [], {}
        self.channels, self.shape = {"input": shape[0]}, shape

    def add(self, name, inputs, channels, kind, **attributes):
        inputs = [inputs] if isinstance(inputs, str) else list(inputs)
        self.nodes.append(dict(name=name, inputs=inputs, layer=dict(kind=kind, **attributes)))
        self.channels[name] = channels
        return name

    def param(self, name, shape, bound, middle=0.0):
        # Rounded so that single precision holds it.
        self.params[name] = middle + np.round(draw(*shape) / 2 * bound * 256) / 256

    def weights(self, name, shape, bias):
        self.param(f"{name}.weight", shape, np.sqrt(6 / np.prod(shape[1:])))
        if bias:
            self.param(f"{name}.bias", shape[:1], 0.25)

    def conv(self, name, x, out, kernel, stride=1, pad=0, groups=1, bias=True):
        w = window([kernel] * 2, [stride] * 2, [pad] * 4)
        self.weights(name, (out, self.channels[x] // groups, kernel, kernel), bias)
        return self.add(name, x, out, "conv2d", out_channels=out, window=w, groups=groups, bias=bias)

    def linear(self, name, x, features, out):
        self.weights(name, (out, features), True)
        return self.add(name, x, out, "linear", out_features=out, bias=True)

    def bn(self, name, x):
        c = self.channels[x]
        self.param(f"{name}.weight", [c], 0.5, 1.0)
        self.param(f"{name}.bias", [c], 0.25)
        self.param(f"{name}.running_mean", [c], 0.25)
        self.param(f"{name}.running_var", [c], 0.5, 1.0)
        return self.add(name, x, c, "batch_norm2d", epsilon=2.0**-10, momentum=0.125)

    def same(self, kind, x, **attributes):
        return self.add(f"{kind}{len(self.nodes)}", x, self.channels[x], kind, **attributes)

    def relu(self, x):
        return self.same("relu", x)

    def lrn(self, x):
        return self.same("local_response_norm", x, size=3, alpha=0.5, beta=0.75, k=2.0)

    def max_pool(self, x, kernel, stride, pad=0, ceil=False):
        return self.same("max_pool2d", x, window=window([kernel] * 2, [stride] * 2, [pad] * 4, ceil_mode=ceil))

    def avg_pool(self, x, kernel, stride):
        return self.same("avg_pool2d", x, window=window([kernel] * 2, [stride] * 2), count_include_pad=True)

    def conv_relu(self, name, x, *args, **options):
        return self.relu(self.conv(name, x, *args, **options))

    def conv_bn(self, name, x, *args, **options):
        return self.bn(f"{name}_bn", self.conv(name, x, *args, bias=False, **options))

    def concat(self, name, xs):
        return self.add(name, xs, sum(self.channels[x] for x in xs), "concat")

    def mean(self, x):
        return self.same("flatten", self.same("global_avg_pool", x))

    def finish(self, x, auxiliary=()):
        outputs = [dict(value=v, loss_weight=w) for v, w in [(x, 1.0), *auxiliary]]
        graph = dict(version=1, name=self.name, input=list(self.shape), nodes=self.nodes, outputs=outputs)
        return graph, self.params


def lenet():
    n = Net("lenet", 1, 16, 16)
    x = n.avg_pool(n.same("tanh", n.conv("conv1", "input", 3, 5)), 2, 2)
    x = n.avg_pool(n.same("tanh", n.conv("conv2", x, 4, 3)), 2, 2)
    x = n.same("tanh", n.linear("fc1", n.same("flatten", x), 16, 6))
    return n.finish(n.linear("fc2", x, 6, CLASSES))


def alexnet():
    n = Net("alexnet", 3, 19, 19)
    x = n.max_pool(n.lrn(n.conv_relu("conv1", "input", 4, 5, stride=2)), 3, 2)
    x = n.max_pool(n.lrn(n.conv_relu("conv2", x, 6, 3, pad=1, groups=2)), 3, 2)
    x = n.conv_relu("conv3", x, 4, 3, pad=1, groups=2)
    x = n.relu(n.linear("fc1", n.same("flatten", x), 4, 6))
    return n.finish(n.linear("fc2", x, 6, CLASSES))


def vgg():
    n = Net("vgg", 3, 8, 8)
    x = "input"
    for stage, width in enumerate((3, 5)):
        for i in range(2):
            x = n.conv_relu(f"conv{stage}_{i}", x, width, 3, pad=1)
        x = n.max_pool(x, 2, 2)
    x = n.relu(n.linear("fc1", n.same("flatten", x), 20, 6))
    return n.finish(n.linear("fc2", x, 6, CLASSES))


def resnet(name, widths):
    """`widths` gives a block's kernels and channels, and what it multiplies its width by."""
    n = Net(name, 3, 8, 8)
    x = n.relu(n.conv_bn("conv1", "input", 4, 3, pad=1))
    for block, (width, stride) in enumerate([(4 // widths[-1][1], 1), (3, 2)]):
        y = x
        for i, (kernel, factor) in enumerate(widths):
            # The stride sits in the first 3x3 convolution.
            s = stride if kernel == 3 and all(k != 3 for k, _ in widths[:i]) else 1
            y = n.relu(y) if i else y
            y = n.conv_bn(f"block{block}.conv{i}", y, factor * width, kernel, stride=s, pad=kernel // 2)
        shortcut = x
        if stride != 1 or n.channels[x] != n.channels[y]:
            shortcut = n.conv_bn(f"block{block}.shortcut", x, n.channels[y], 1, stride=stride)
        x = n.relu(n.add(f"block{block}.add", [y, shortcut], n.channels[y], "add"))
    return n.finish(n.linear("fc", n.mean(x), n.channels[x], CLASSES))


def nin():
    n = Net("nin", 3, 10, 10)
    x = "input"
    for block, out in enumerate((5, CLASSES)):
        x = n.conv_relu(f"conv{block}", x, 5, 3, pad=1)
        x = n.conv_relu(f"cccp{block}_1", x, 4, 1)
        x = n.conv_relu(f"cccp{block}_2", x, out, 1)
        if block == 0:
            x = n.max_pool(x, 3, 2, ceil=True)
    return n.finish(n.mean(x))


def inception_naive():
    n = Net("inception-naive", 3, 8, 8)
    x = n.conv_relu("stem", "input", 4, 3, pad=1)
    branches = [n.conv_relu(f"conv{k}", x, out, k, pad=k // 2) for k, out in ((1, 2), (3, 3), (5, 2))]
    x = n.concat("concat", [*branches, n.max_pool(x, 3, 1, pad=1)])
    return n.finish(n.linear("fc", n.mean(x), n.channels[x], CLASSES))


def inception():
    n = Net("inception", 3, 12, 12)
    x = n.max_pool(n.conv_relu("stem", "input", 4, 3, pad=1), 3, 2, ceil=True)
    heads = []
    for block in "ab":
        one = n.conv_relu(f"{block}.1", x, 2, 1)
        three = n.conv_relu(f"{block}.3", n.conv_relu(f"{block}.3r", x, 2, 1), 3, 3, pad=1)
        five = n.conv_relu(f"{block}.5", n.conv_relu(f"{block}.5r", x, 2, 1), 2, 5, pad=2)
        pool = n.conv_relu(f"{block}.p", n.max_pool(x, 3, 1, pad=1), 2, 1)
        x = n.concat(f"{block}.concat", [one, three, five, pool])
        if block == "a":
            y = n.conv_relu("aux.conv", n.avg_pool(x, 4, 2), 3, 1)
            heads.append((n.linear("aux.fc", n.same("flatten", y), 12, CLASSES), 0.25))
    return n.finish(n.linear("fc", n.mean(x), n.channels[x], CLASSES), heads)


def densenet():
    n = Net("densenet", 3, 8, 8)
    x = n.conv("conv0", "input", 4, 3, pad=1, bias=False)
    for block in range(2):
        for layer in range(2):
            name = f"block{block}.{layer}"
            y = n.conv(f"{name}.conv1", n.relu(n.bn(f"{name}.norm1", x)), 4, 1, bias=False)
            y = n.conv(f"{name}.conv2", n.relu(n.bn(f"{name}.norm2", y)), 3, 3, pad=1, bias=False)
            x = n.concat(f"{name}.concat", [x, y])
        if block == 0:
            y = n.conv("transition.conv", n.relu(n.bn("transition.norm", x)), 5, 1, bias=False)
            x = n.avg_pool(y, 2, 2)
    x = n.mean(n.relu(n.bn("norm", x)))
    return n.finish(n.linear("fc", x, n.channels[x], CLASSES))


def batch_norm2d(layer, x, weight, bias, *_):
    """In training: by the batch's own statistics."""
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) / jnp.sqrt(var + layer["epsilon"]) * weight[:, None, None] + bias[:, None, None]


def loss(params, graph, x, labels):
    functions = FUNCTIONS | dict(batch_norm2d=batch_norm2d)
    values = {"input": x}
    parts = ("weight", "bias", "running_mean", "running_var")
    for node in graph["nodes"]:
        own = [params[key] for part in parts if (key := f"{node['name']}.{part}") in params]
        inputs = [values[name] for name in node["inputs"]]
        values[node["name"]] = functions[node["layer"]["kind"]](node["layer"], *inputs, *own)
    each = lambda z: -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(len(labels)), labels])
    return sum(o["loss_weight"] * each(values[o["value"]]) for o in graph["outputs"])


def entry(graph, params):
    labels = [1, 3, 0]
    x = draw(len(labels), *graph["input"])
    value, gradients = jax.value_and_grad(loss)(
        {name: jnp.array(p) for name, p in params.items()}, graph, jnp.array(x), jnp.array(labels))
    trained = {name: tensor(g) for name, g in gradients.items() if ".running_" not in name}
    assert all(np.abs(g["data"]).max() > 1e-6 for g in trained.values()), graph["name"]
    return dict(graph=graph, params={name: tensor(p) for name, p in params.items()}, x=tensor(x), labels=labels,
                loss=float(value), gradients=trained)


def main():
    basic, bottleneck = [(3, 1), (3, 1)], [(1, 1), (3, 1), (1, 2)]
    networks = [lenet(), alexnet(), vgg(), resnet("resnet-basic", basic), resnet("resnet-bottleneck", bottleneck),
                nin(), inception_naive(), inception(), densenet()]
    lines = ",\n".join(json.dumps(entry(*network), separators=(",", ":")) for network in networks)
    path = pathlib.Path(__file__).with_name("gradients.json")
    path.write_text(f'{{"made_with": "jax {jax.__version__}, numpy {np.__version__}",\n"networks": [\n{lines}\n]}}\n')


main()
