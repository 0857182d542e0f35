#!/usr/bin/env python3
"""Writes optimizers.json: what Optax makes of two weights in five steps, in double precision.

    python3 -m venv .venv && .venv/bin/pip install "jax[cpu]==0.10.2" "optax==0.2.8"
    .venv/bin/python tests/golden/optimizers.py

Each entry holds an optimizer as Convoke's options spell it, the learning rate, the limit on the gradients' norm (0 for
none), and both weights after each step. The gradient of weight w at step t is `sin(3 w + t)`.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import optax

jax.config.update("jax_enable_x64", True)
START = [0.75, -1.5]
STEPS = 5


def chain(kind, rate, **o):
    decay = o.get("weightDecay", 0.0)
    penalty = optax.add_decayed_weights(decay)
    if kind == "sgd":
        rule = optax.sgd(rate, momentum=o["momentum"], nesterov=o["nesterov"])
        return optax.chain(penalty, rule)
    if kind == "rmsprop":
        rule = optax.rmsprop(rate, decay=o["alpha"], eps=o["epsilon"], eps_in_sqrt=False, momentum=o["momentum"])
        return optax.chain(penalty, rule)
    moments = dict(b1=o["beta1"], b2=o["beta2"], eps=o["epsilon"])
    if kind == "adam":
        return optax.chain(penalty, optax.adam(rate, **moments))
    return optax.adamw(rate, weight_decay=decay, **moments)


def run(optimizer, rate, clip):
    rule = chain(optimizer["kind"], rate, **{k: v for k, v in optimizer.items() if k != "kind"})
    if clip:
        rule = optax.chain(optax.clip_by_global_norm(clip), rule)
    w = jnp.array(START)
    state = rule.init(w)
    steps = []
    for t in range(1, STEPS + 1):
        updates, state = rule.update(jnp.sin(3 * w + t), state, w)
        w = optax.apply_updates(w, updates)
        steps.append(w.tolist())
    return dict(optimizer=optimizer, learningRate=rate, clipNorm=clip, weights=steps)


entries = [
    run(dict(kind="sgd", momentum=0.875, nesterov=False, weightDecay=0.125), 0.125, 0),
    run(dict(kind="sgd", momentum=0.875, nesterov=True, weightDecay=0.125), 0.125, 0.5),
    run(dict(kind="adam", beta1=0.875, beta2=0.96875, epsilon=0.0009765625, weightDecay=0.125), 0.0625, 0),
    run(dict(kind="adamw", beta1=0.875, beta2=0.96875, epsilon=0.0009765625, weightDecay=0.125), 0.0625, 0.5),
    run(dict(kind="rmsprop", alpha=0.9375, momentum=0.5, epsilon=0.0009765625, weightDecay=0.125), 0.03125, 0),
]
path = pathlib.Path(__file__).with_name("optimizers.json")
path.write_text(json.dumps(dict(start=START, entries=entries), indent=1) + "\n")
