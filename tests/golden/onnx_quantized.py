"""Quantizes written ONNX files with ONNX Runtime and stores what it computes then.

    scripts/setup.sh python
    CONVOKE_ONNX_OUT=written cargo test --test onnx -- --ignored export
    tests/.onnx/bin/python tests/golden/onnx_quantized.py written
    CONVOKE_ONNX_OUT=written cargo test --test onnx -- --ignored networks_that_onnx_runtime_quantized

Each <name>.onnx that is named below becomes <name>.<form>.onnx in <folder>/quantized, with <name>.<form>.x.f32 and
<name>.<form>.y.f32 (raw floats: an input of batch 2 and the first output). Processors without products of bytes that are
exact take weights of 7 bits or without a sign: ONNX Runtime's sums would end at 16 bits there.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

NETWORKS = ["lenet5", "resnet20", "nin", "densenet40", "first-example", "inception"]
BYTES, SIGNED = QuantType.QUInt8, QuantType.QInt8
QDQ, OPERATORS = QuantFormat.QDQ, QuantFormat.QOperator
SYMMETRIC = dict(WeightSymmetric=True)
FORMS = {
    "qdq": dict(quant_format=QDQ, activation_type=BYTES, weight_type=SIGNED, per_channel=True, reduce_range=True),
    "qdq-bytes": dict(quant_format=QDQ, activation_type=BYTES, weight_type=BYTES, extra_options=SYMMETRIC),
    "qdq-signed": dict(quant_format=QDQ, activation_type=SIGNED, weight_type=SIGNED, per_channel=True, reduce_range=True),
    "qlinear": dict(quant_format=OPERATORS, activation_type=BYTES, weight_type=BYTES, extra_options=SYMMETRIC),
}


class Samples(CalibrationDataReader):
    def __init__(self, x):
        self.left = [{"input": x[i : i + 1]} for i in range(len(x))]

    def get_next(self):
        return self.left.pop() if self.left else None


source = pathlib.Path(sys.argv[1])
target = source / "quantized"
target.mkdir(exist_ok=True)
rng = np.random.default_rng(3)
for name in NETWORKS:
    folded = target / f"{name}.tmp"
    quant_pre_process(source / f"{name}.onnx", folded, skip_symbolic_shape=True)
    shape = [d.dim_value for d in onnx.load(folded).graph.input[0].type.tensor_type.shape.dim][1:]
    samples = rng.uniform(-1, 1, (6, *shape)).astype(np.float32)
    for form, options in FORMS.items():
        path = target / f"{name}.{form}.onnx"
        quantize_static(folded, path, Samples(samples[:4]), **options)
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        y = session.run(None, {"input": samples[4:]})[0]
        samples[4:].tofile(path.with_suffix(".x.f32"))
        y.astype(np.float32).tofile(path.with_suffix(".y.f32"))
    folded.unlink()
print(f"{len(NETWORKS)} networks quantized in {len(FORMS)} forms each")
