"""Makes the fixtures beside it: small networks as exporters write them, with ONNX Runtime's outputs.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx==1.19.1 onnxruntime numpy
    /tmp/venv/bin/python tests/golden/onnx/make.py

Each <name>.onnx comes with <name>.json: the input's shape and values, the output's values.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)


def weights(name, *shape, low=-0.5, high=0.5):
    return numpy_helper.from_array(rng.uniform(low, high, shape).astype(np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def model(name, nodes, initializers, shape, rank=2, opset=17, ir=8, inputs_too=False):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    ys = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{i}" for i in range(rank)])]
    inputs = [x]
    if inputs_too:
        inputs += [helper.make_tensor_value_info(i.name, i.data_type, list(i.dims)) for i in initializers]
    graph = helper.make_graph(nodes, name, inputs, ys, initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(made)
    return made


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def save(name, made, tolerance=1e-5):
    path = HERE / f"{name}.onnx"
    onnx.save(made, path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape = [2 if isinstance(d, str) or d is None else d for d in session.get_inputs()[0].shape]
    x = rng.uniform(-1, 1, shape).astype(np.float32)
    y = session.run(None, {session.get_inputs()[0].name: x})[0]
    values = lambda v: [float(f"{f:.8g}") for f in v.ravel()]
    data = {"shape": shape, "x": values(x), "y": values(y), "tolerance": tolerance}
    (HERE / f"{name}.json").write_text(json.dumps(data) + "\n")
    print(name, path.stat().st_size, y.shape)


def scaled():
    """Caffe2's batch normalisation: BatchNormalization, Mul, Add with unsqueezed constants; asymmetric padding."""
    nodes = [
        node("Conv", "x w", "c", auto_pad="SAME_LOWER", strides=[2, 2], kernel_shape=[3, 3]),
        node("BatchNormalization", "c s b m v", "n", epsilon=1e-3),
        node("Unsqueeze", "f", "f3", axes=[1, 2]),
        node("Mul", "n f3", "t"),
        node("Unsqueeze", "g", "g3", axes=[1, 2]),
        node("Add", "t g3", "a"),
        node("Relu", "a", "r"),
        node("AveragePool", "r", "p", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("GlobalAveragePool", "p", "q"),
        node("Softmax", "q", "y"),
    ]
    init = [weights("w", 4, 3, 3, 3), weights("s", 4), weights("b", 4), weights("m", 4), weights("v", 4, low=0.5, high=2)]
    init += [weights("f", 4), weights("g", 4)]
    return model("scaled", nodes, init, [1, 3, 9, 10], rank=4, opset=9, ir=3, inputs_too=True)


def shape_arithmetic():
    """What PyTorch writes for x.view(x.size(0), -1) and a channel shuffle, and a linear layer as MatMul and Add."""
    nodes = [
        node("Conv", "x w", "c", group=2),
        node("Shape", "c", "s"),
        node("Constant", "", "zero", value=numpy_helper.from_array(np.array(0, np.int64))),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axes0", "n1"),
        node("Constant", "", "one", value_int=1),
        node("Gather", "s one", "ch"),
        node("Div", "ch two", "half"),
        node("Unsqueeze", "half axes0", "half1"),
        node("Slice", "s from2 to4", "hw"),
        node("Concat", "n1 two1 half1 hw", "split", axis=0),
        node("Reshape", "c split", "v"),
        node("Transpose", "v", "t", perm=[0, 2, 1, 3, 4]),
        node("Concat", "n1 minus hw", "whole", axis=0),
        node("Reshape", "t whole", "u"),
        node("Clip", "u low high", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        node("Concat", "n1 minus", "flat", axis=0),
        node("Reshape", "p flat", "q"),
        node("Transpose", "fc", "fct", perm=[1, 0]),
        node("MatMul", "q fct", "m"),
        node("Add", "bias m", "y"),
    ]
    scalar = lambda name, v, t: numpy_helper.from_array(np.array(v, t), name)
    init = [weights("w", 6, 2, 3, 3), scalar("two", 2, np.int64), ints("axes0", 0), ints("two1", 2), ints("from2", 2)]
    init += [ints("to4", 4), ints("minus", -1), scalar("low", 0, np.float32), scalar("high", 6, np.float32)]
    init += [weights("fc", 5, 6 * 3 * 3), weights("bias", 5)]
    return model("shape_arithmetic", nodes, init, ["batch", 4, 7, 7])


def squeeze_excite():
    """MobileNetV3's parts: hard swish, a product of a map with a value for each channel, PRelu, a mean, a Gemm."""
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("HardSwish", "c", "h"),
        node("ReduceMean", "h", "m", axes=[-1, -2], keepdims=1),
        node("Conv", "m w1", "e"),
        node("HardSigmoid", "e", "g", alpha=1 / 6),
        node("Mul", "g h", "k"),
        node("PRelu", "k slope", "r"),
        node("Sub", "r h", "d"),
        node("Pad", "d pads", "padded"),
        node("Slice", "padded starts ends axes steps", "part"),
        node("Split", "part", "left right", axis=1),
        node("Concat", "right left part", "cat", axis=1),
        node("LeakyRelu", "cat", "l", alpha=0.1),
        node("GlobalAveragePool", "l", "q"),
        node("Squeeze", "q spatial", "z"),
        node("Dropout", "z", "o"),
        node("Gemm", "o fc fb", "gemm", alpha=0.5, beta=2.0),
        node("LogSoftmax", "gemm", "y", axis=-1),
    ]
    init = [weights("w", 4, 3, 3, 3), weights("b", 4), weights("w1", 4, 4, 1, 1), weights("slope", 4, 1, 1)]
    init += [ints("pads", 0, 0, 1, 0, 0, 0, 0, 2), ints("starts", 1, 0), ints("ends", 100, -1), ints("axes", 2, 3)]
    init += [ints("steps", 2, 1), ints("spatial", 2, 3), weights("fc", 8, 5), weights("fb", 1, 5)]
    return model("squeeze_excite", nodes, init, [None, 3, 6, 6])


class Samples(CalibrationDataReader):
    def __init__(self):
        self.left = 8

    def get_next(self):
        self.left -= 1
        return {"x": rng.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)} if self.left >= 0 else None


def floats():
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Conv", "r w2 b2", "d", pads=[1, 1, 1, 1]),
        node("Add", "d r", "s"),
        node("GlobalAveragePool", "s", "q"),
        node("Flatten", "q", "f"),
        node("Gemm", "f fc fb", "y", transB=1),
    ]
    init = [weights("w", 6, 3, 3, 3), weights("b", 6), weights("w2", 6, 6, 3, 3), weights("b2", 6), weights("fc", 4, 6), weights("fb", 4)]
    return model("floats", nodes, init, ["batch", 3, 8, 8])


def quantized():
    """The same network as ONNX Runtime quantizes it: Q/DQ pairs, QLinear operators, dynamically."""
    source = HERE / "float.tmp"
    onnx.save(floats(), source)
    made = {}
    for name, form in [("qdq", QuantFormat.QDQ), ("qlinear", QuantFormat.QOperator)]:
        target = HERE / "quantized.tmp"
        types = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        ops = None if name == "qdq" else ["Conv", "Add", "GlobalAveragePool"]
        quantize_static(source, target, Samples(), quant_format=form, per_channel=name == "qdq", op_types_to_quantize=ops, **types)
        made[name] = onnx.load(target)
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8, op_types_to_quantize=["Conv", "MatMul"])
    made["dynamic"] = onnx.load(target)
    for path in [source, target]:
        path.unlink()
    return made


save("scaled", scaled())
save("shape_arithmetic", shape_arithmetic())
save("squeeze_excite", squeeze_excite())
# The same codes; one step of the last value in 8 bits, 0.0073, for what lies in the middle between two codes; values that
# are not rounded, as their scales depend on them.
TOLERANCES = dict(qdq=1e-5, qlinear=0.0073 / 0.744, dynamic=0.05)
for name, made in quantized().items():
    save(name, made, tolerance=TOLERANCES[name])
