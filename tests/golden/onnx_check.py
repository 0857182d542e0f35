"""Checks written ONNX files with onnx.checker and compares ONNX Runtime's numbers with Convoke's.

    scripts/setup.sh python
    CONVOKE_ONNX_OUT=written cargo test --test onnx -- --ignored export
    tests/.onnx/bin/python tests/golden/onnx_check.py written

The folder holds <name>.onnx with <name>.x.f32 and <name>.y.f32 (raw floats: input and first output of batch 2).
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort

worst, failed, checked, missing = 0.0, 0, 0, {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if any(n.op_type == "QuantizeLinear" for n in model.graph.node):
        # Optimized, a sum of codes is computed in integers that round otherwise.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Valid ONNX that ONNX Runtime does not have, such as an LRN of even size.
        reason = str(error).strip().splitlines()[0][-60:]
        missing.setdefault(reason, []).append(path.stem)
        continue
    info = session.get_inputs()[0]
    x = np.fromfile(path.with_suffix(".x.f32"), np.float32).reshape(-1, *info.shape[1:])
    want = np.fromfile(path.with_suffix(".y.f32"), np.float32)
    got = session.run(None, {info.name: x})[0].ravel()
    error = np.abs(got - want).max() / max(np.abs(want).max(), 1e-6) if got.shape == want.shape else np.inf
    checked += 1
    worst = max(worst, float(error))
    if not error < 1e-5:
        failed += 1
        print(f"{path.stem}: relative error {error}, {got.shape} and {want.shape}")
        print("   ", ", ".join(f"{n.op_type} {[(a.name, onnx.helper.get_attribute_value(a)) for a in n.attribute]}" for n in model.graph.node)[:400])
for reason, names in missing.items():
    print(f"valid, but not in ONNX Runtime ({reason}): {' '.join(names)}")
print(f"{checked} files give the same in ONNX Runtime: worst relative error {worst:.2e}, {failed} failed")
sys.exit(failed > 0 or checked == 0)
