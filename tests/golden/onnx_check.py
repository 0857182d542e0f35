"""Checks written ONNX files with onnx.checker and compares ONNX Runtime's numbers with Convoke's.

    CONVOKE_ONNX_OUT=/tmp/written cargo test --no-default-features --test onnx -- --ignored export
    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install onnx onnxruntime numpy
    /tmp/venv/bin/python tests/golden/onnx_check.py /tmp/written

The folder holds <name>.onnx with <name>.x.f32 and <name>.y.f32 (raw floats: input and first output of batch 2).
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort

worst, failed = 0.0, 0
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Valid ONNX that ONNX Runtime does not have, such as an LRN of even size.
        print(f"{path.stem}: not in ONNX Runtime: {str(error).strip()[-200:]}")
        continue
    info = session.get_inputs()[0]
    x = np.fromfile(path.with_suffix(".x.f32"), np.float32).reshape(-1, *info.shape[1:])
    want = np.fromfile(path.with_suffix(".y.f32"), np.float32)
    got = session.run(None, {info.name: x})[0].ravel()
    error = np.abs(got - want).max() / max(np.abs(want).max(), 1e-6) if got.shape == want.shape else np.inf
    worst = max(worst, float(error))
    if not error < 1e-5:
        failed += 1
        print(f"{path.stem}: relative error {error}, {got.shape} and {want.shape}")
        print("   ", ", ".join(f"{n.op_type} {[(a.name, onnx.helper.get_attribute_value(a)) for a in n.attribute]}" for n in model.graph.node)[:400])
print(f"worst relative error {worst:.2e}, {failed} failed")
sys.exit(failed > 0)
