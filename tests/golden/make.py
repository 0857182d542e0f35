#!/usr/bin/env python3
"""Writes layers.json: for every layer, outputs and gradients as JAX computes them in double precision.

    python3 -m venv .venv && .venv/bin/pip install "jax[cpu]==0.10.2" && .venv/bin/python tests/golden/make.py

Each entry holds a layer as Convoke's files spell it, its inputs and parameters, dy, and what JAX says of y, dx and
the parameters' gradients. The tests need no Python: they read the committed JSON.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(2026)


def draw(*shape):
    # Rounded to 1/256 so that the JSON is short and exact in single precision.
    return np.round(rng.uniform(-2, 2, shape) * 256) / 256


def draw_distinct(*shape):
    """No two values alike: at a tie the gradient of a maximum is a matter of convention."""
    n = int(np.prod(shape))
    return (rng.permutation(n).reshape(shape) - n // 2) / 64


def window(kernel, stride=(1, 1), padding=(0, 0, 0, 0), dilation=(1, 1), ceil_mode=False):
    return dict(kernel=list(kernel), stride=list(stride), padding=list(padding), dilation=list(dilation), ceil_mode=ceil_mode)


def pads(w, x):
    """[(top, bottom), (left, right)] with the extra rows that ceil mode adds."""
    top, left, bottom, right = w["padding"]
    out = []
    for axis, (a, b) in enumerate([(top, bottom), (left, right)]):
        n = x.shape[2 + axis]
        extent = w["dilation"][axis] * (w["kernel"][axis] - 1) + 1
        span, s = n + a + b - extent, w["stride"][axis]
        size = span // s + 1
        if w["ceil_mode"] and span % s and size * s < n + a:
            size += 1
        out.append((a, max(b, (size - 1) * s + extent - n - a)))
    return out


def conv2d(layer, x, weight, bias=None):
    w = layer["window"]
    y = lax.conv_general_dilated(x, weight, w["stride"], pads(w, x), rhs_dilation=w["dilation"],
                                 feature_group_count=layer["groups"], dimension_numbers=("NCHW", "OIHW", "NCHW"))
    return y if bias is None else y + bias[None, :, None, None]


def linear(layer, x, weight, bias=None):
    y = x @ weight.T
    return y if bias is None else y + bias


def reduce_window(x, w, start, op, padding):
    return lax.reduce_window(x, start, op, (1, 1, *w["kernel"]), (1, 1, *w["stride"]), [(0, 0), (0, 0), *padding],
                             window_dilation=(1, 1, *w["dilation"]))


def max_pool2d(layer, x):
    # Tap by tap, because JAX has no derivative of a dilated window maximum.
    w = layer["window"]
    padding = pads(w, x)
    padded = jnp.pad(x, [(0, 0), (0, 0), *padding], constant_values=-jnp.inf)
    sizes = [(padded.shape[2 + a] - w["dilation"][a] * (w["kernel"][a] - 1) - 1) // w["stride"][a] + 1 for a in (0, 1)]

    def tap(ky, kx):
        at = [k * d for k, d in zip((ky, kx), w["dilation"])]
        rows, columns = [slice(at[a], at[a] + (sizes[a] - 1) * w["stride"][a] + 1, w["stride"][a]) for a in (0, 1)]
        return padded[:, :, rows, columns]

    return jnp.max(jnp.stack([tap(ky, kx) for ky in range(w["kernel"][0]) for kx in range(w["kernel"][1])]), axis=0)


def avg_pool2d(layer, x):
    w = layer["window"]
    full = pads(w, x)
    ones = jnp.ones_like(x)
    if layer["count_include_pad"]:
        # Padding counts as values; rows that only ceil mode added do not.
        top, left, bottom, right = w["padding"]
        ones = jnp.pad(ones, [(0, 0), (0, 0), (top, bottom), (left, right)], constant_values=1.0)
        rest = [(0, full[0][1] - bottom), (0, full[1][1] - right)]
    else:
        rest = full
    return reduce_window(x, w, 0.0, lax.add, full) / reduce_window(ones, w, 0.0, lax.add, rest)


def adaptive_avg_pool2d(layer, x):
    (oh, ow), (h, w) = layer["output"], x.shape[2:]
    rows = [slice(i * h // oh, -(-(i + 1) * h // oh)) for i in range(oh)]
    columns = [slice(j * w // ow, -(-(j + 1) * w // ow)) for j in range(ow)]
    return jnp.stack([jnp.stack([x[:, :, r, c].mean((2, 3)) for c in columns], -1) for r in rows], -2)


def batch_norm2d(layer, x, weight, bias, mean, var):
    # At inference; the suite checks training against central differences.
    shape = (1, -1, 1, 1)
    return (x - mean.reshape(shape)) / jnp.sqrt(var.reshape(shape) + layer["epsilon"]) * weight.reshape(shape) + bias.reshape(shape)


def local_response_norm(layer, x):
    before = (layer["size"] - 1) // 2
    squares = jnp.pad(x * x, [(0, 0), (before, layer["size"] - 1 - before), (0, 0), (0, 0)])
    total = sum(squares[:, i:i + x.shape[1]] for i in range(layer["size"]))
    return x / (layer["k"] + layer["alpha"] / layer["size"] * total) ** layer["beta"]


def channel_shuffle(layer, x):
    n, c, h, w = x.shape
    return x.reshape(n, layer["groups"], -1, h, w).swapaxes(1, 2).reshape(x.shape)


def permute(layer, x):
    return x.reshape(len(x), *layer["view"]).transpose(0, *(a + 1 for a in layer["order"]))


def pad(layer, x):
    return jnp.pad(x, [(0, 0), *zip(layer["before"], layer["after"])], constant_values=layer["value"])


def cut(layer, x):
    return x[(slice(None), *(slice(a, b, s) for a, b, s in zip(layer["start"], layer["end"], layer["step"])))]


def fake_quantize(layer, x):
    scale, low = layer["scale"], -layer["zero_point"]
    code = lax.stop_gradient(jnp.clip(jnp.round(x / scale), low, low + 255))
    # Straight through, but for what ends at the smallest or largest code.
    return code * scale + jnp.where((code > low) & (code < low + 255), x - lax.stop_gradient(x), 0)


FUNCTIONS = dict(
    fake_quantize=fake_quantize,
    adaptive_avg_pool2d=adaptive_avg_pool2d,
    global_avg_pool=lambda _, x: x.mean((2, 3), keepdims=True),
    batch_norm2d=batch_norm2d,
    local_response_norm=local_response_norm,
    leaky_relu=lambda l, x: jax.nn.leaky_relu(x, l["slope"]),
    clip=lambda l, x: jnp.clip(x, l["min"], l["max"]),
    hard_sigmoid=lambda l, x: jnp.clip(l["alpha"] * x + l["beta"], 0, 1),
    hard_swish=lambda _, x: jax.nn.hard_swish(x),
    log_softmax=lambda _, x: jax.nn.log_softmax(x, axis=1),
    mul=lambda _, x, y: x * y,
    pad=pad,
    slice=cut,
    channel_shuffle=channel_shuffle,
    permute=permute,
    conv2d=conv2d,
    linear=linear,
    max_pool2d=max_pool2d,
    avg_pool2d=avg_pool2d,
    relu=lambda _, x: jnp.maximum(x, 0),
    sigmoid=lambda _, x: jax.nn.sigmoid(x),
    tanh=lambda _, x: jnp.tanh(x),
    softmax=lambda _, x: jax.nn.softmax(x, axis=1),
    # At inference; the training mask is Convoke's own and is tested against its definition.
    dropout=lambda _, x: x,
    flatten=lambda _, x: x.reshape(x.shape[0], -1),
    add=lambda _, *xs: sum(xs),
    concat=lambda _, *xs: jnp.concatenate(xs, axis=1),
)


def tensor(a):
    a = np.asarray(a)
    return dict(shape=list(a.shape), data=[float(f"{v:.9g}") for v in a.ravel()])


def entry(layer, inputs, params=()):
    f = lambda xs, ps: FUNCTIONS[layer["kind"]](layer, *xs, *ps)
    y, pull = jax.vjp(f, [jnp.array(x) for x in inputs], [jnp.array(p) for p in params])
    dy = draw(*y.shape)
    dx, dp = pull(jnp.array(dy))
    return dict(layer=layer, inputs=[tensor(x) for x in inputs], params=[tensor(p) for p in params], dy=tensor(dy),
                y=tensor(y), dx=[tensor(d) for d in dx], dparams=[tensor(d) for d in dp])


def conv_entry(n, c, h, w, out, groups=1, bias=True, **win):
    layer = dict(kind="conv2d", out_channels=out, window=window(**win), groups=groups, bias=bias)
    params = [draw(out, c // groups, *win["kernel"])] + ([draw(out)] if bias else [])
    return entry(layer, [draw(n, c, h, w)], params)


def loss_entry(loss, labels, logits):
    def f(z):
        k = z.shape[1]
        if loss["kind"] == "binary-cross-entropy":
            t = jnp.array(labels)[:, None] if k == 1 else jax.nn.one_hot(jnp.array(labels), k)
            return jnp.mean(jnp.sum(jnp.maximum(z, 0) - z * t + jnp.log1p(jnp.exp(-jnp.abs(z))), axis=1))
        e = loss["labelSmoothing"]
        t = jax.nn.one_hot(jnp.array(labels), k) * (1 - e) + e / k
        return -jnp.mean(jnp.sum(t * jax.nn.log_softmax(z), axis=1))

    value, grad = jax.value_and_grad(f)(jnp.array(logits))
    return dict(loss=loss, labels=labels, logits=tensor(logits), value=float(value), grad=tensor(grad))


def main():
    layers = [
        conv_entry(2, 3, 6, 5, 4, kernel=(3, 3), padding=(1, 1, 1, 1)),
        conv_entry(1, 4, 7, 6, 6, groups=2, bias=False, kernel=(3, 2), stride=(2, 1), padding=(0, 1, 2, 1)),
        conv_entry(1, 5, 6, 6, 5, groups=5, kernel=(3, 3), padding=(1, 1, 1, 1)),
        conv_entry(1, 2, 8, 8, 3, kernel=(3, 3), dilation=(2, 2), padding=(2, 1, 0, 2)),
        conv_entry(3, 6, 2, 2, 5, kernel=(1, 1)),
        conv_entry(1, 1, 9, 9, 2, kernel=(5, 5), stride=(2, 2)),
        entry(dict(kind="linear", out_features=4, bias=True), [draw(3, 7)], [draw(4, 7), draw(4)]),
        entry(dict(kind="linear", out_features=3, bias=False), [draw(1, 5)], [draw(3, 5)]),
    ]
    windows = [
        window((2, 2), (2, 2)),
        window((3, 3), (2, 2), (1, 1, 1, 1)),
        window((3, 3), (2, 2), ceil_mode=True),
        window((2, 3), (1, 2), (1, 0, 0, 2)),
        window((2, 2), (1, 1), dilation=(2, 2)),
    ]
    for w in windows:
        layers.append(entry(dict(kind="max_pool2d", window=w), [draw_distinct(2, 2, 6, 7)]))
        for include in (False, True):
            layers.append(entry(dict(kind="avg_pool2d", window=w, count_include_pad=include), [draw(1, 2, 6, 7)]))
    for kind in ("relu", "sigmoid", "tanh", "softmax", "flatten"):
        layers.append(entry(dict(kind=kind), [draw(2, 3, 3, 2)]))
    layers.append(entry(dict(kind="softmax"), [draw(3, 5)]))
    layers.append(entry(dict(kind="dropout", p=0.5), [draw(2, 6)]))
    layers.append(entry(dict(kind="add"), [draw(2, 3, 2, 2) for _ in range(3)]))
    layers.append(entry(dict(kind="concat"), [draw(2, 3, 2, 2), draw(2, 1, 2, 2), draw(2, 2, 2, 2)]))
    for output in ([1, 1], [2, 3], [4, 4]):
        layers.append(entry(dict(kind="adaptive_avg_pool2d", output=output), [draw(2, 2, 5, 7)]))
    statistics = [draw(4), draw(4), draw(4), np.abs(draw(4)) + 0.5]
    # Constants that single precision holds exactly: files store them as such.
    layers.append(entry(dict(kind="batch_norm2d", epsilon=2.0**-10, momentum=0.125), [draw(2, 4, 3, 2)], statistics))
    for size in (2, 5):
        layers.append(entry(dict(kind="local_response_norm", size=size, alpha=0.5, beta=0.75, k=2.0), [draw(2, 7, 2, 3)]))
    for layer in (dict(kind="leaky_relu", slope=0.25), dict(kind="clip", min=-1.0, max=1.25), dict(kind="hard_swish"),
                  dict(kind="hard_sigmoid", alpha=0.25, beta=0.5), dict(kind="log_softmax"), dict(kind="global_avg_pool"),
                  dict(kind="pad", before=[1, 0, 2], after=[0, 3, 1], value=0.5),
                  dict(kind="slice", start=[1, 0, 1], end=[3, 3, 4], step=[1, 2, 2]), dict(kind="channel_shuffle", groups=2)):
        layers.append(entry(layer, [draw_distinct(2, 4, 3, 4) / 16 + 1 / 2048]))
    layers.append(entry(dict(kind="mul"), [draw(2, 3, 2, 2), draw(2, 3, 2, 2)]))
    layers.append(entry(dict(kind="mul"), [draw(2, 3, 2, 2), draw(2, 3, 1, 1)]))
    losses = [
        loss_entry(dict(kind="softmax-cross-entropy", labelSmoothing=0.0), [0, 4, 2], draw(3, 5)),
        loss_entry(dict(kind="softmax-cross-entropy", labelSmoothing=0.1), [1, 1], draw(2, 3) * 8),
        loss_entry(dict(kind="binary-cross-entropy"), [0, 1, 1], draw(3, 1) * 8),
        loss_entry(dict(kind="binary-cross-entropy"), [2, 0], draw(2, 3)),
    ]
    # Drawn last, which leaves the numbers of the others as they are.
    layers.append(entry(dict(kind="permute", view=[2, 6, 3], order=[2, 0, 1]), [draw(2, 4, 3, 3)]))
    layers.append(entry(dict(kind="fake_quantize", scale=2.0**-6, zero_point=96), [draw(2, 4, 3, 3)]))
    made_with = f"jax {jax.__version__}, numpy {np.__version__}"
    path = pathlib.Path(__file__).with_name("layers.json")
    entries = ",\n".join(json.dumps(e) for e in layers)
    loss_entries = ",\n".join(json.dumps(e) for e in losses)
    path.write_text(f'{{"made_with": "{made_with}",\n"layers": [\n{entries}\n],\n"losses": [\n{loss_entries}\n]}}\n')


if __name__ == "__main__":
    main()
