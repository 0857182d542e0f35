//! Every way in which an ONNX file can be wrong: `tests/malformed/*.onnx`, made byte by byte, so that no writer
//! stands in the way. `CONVOKE_BLESS=1 cargo test --test onnx malformed` writes them anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use convoke::format::onnx;

use crate::bytes::*;
use crate::counting::counting;

/// The shape of a reshape, which doubles forty times.
fn bomb() -> File {
    let doubled = |i: usize| {
        let from = format!("c{i}");
        node("Concat", &[&from, &from], &format!("c{}", i + 1), &[int_attribute("axis", 0)])
    };
    let mut file = file();
    file.initializers.push(ints("c0", &[1; 8]));
    file.nodes[2] = node("Reshape", &["relu", "c40"], "flat", &[]);
    file.nodes.splice(0..0, (0..40).map(doubled));
    file
}

/// Frames around frames.
fn wide() -> File {
    let mut file = file();
    file.initializers.push(ints("pads", &[0, 0, 16384, 16384, 0, 0, 16384, 16384]));
    let names = ["x", "p0", "p1", "p2"];
    file.nodes.splice(0..0, names.windows(2).map(|n| node("Pad", &[n[0], "pads"], n[1], &[])));
    file.node(3, node("Conv", &["p2", "conv.w", "conv.b"], "conv", &[]))
}

/// Every malformed file: its name, its bytes, the error's code, and a part of its message.
fn malformed() -> Vec<(&'static str, Vec<u8>, &'static str, &'static str)> {
    let conv = |attributes: &[Vec<u8>]| file().node(0, node("Conv", &["x", "conv.w", "conv.b"], "conv", attributes));
    let mut truncated = file().bytes();
    truncated.truncate(200);
    let mut more = file();
    more.inputs.push(info("z", &[1, 4, 4]));
    more.nodes[1] = node("Add", &["conv", "z"], "relu", &[]);
    let mut twice = file();
    twice.initializers.push(tensor("fc.w", &[3, 8]));
    let mut huge_constant = file();
    huge_constant.initializers[0] = ints("shape", &[1 << 30, 1, 1, 1]);
    huge_constant.nodes.insert(0, node("ConstantOfShape", &["shape"], "conv.w", &[]));
    let mut not_utf8 = file().bytes();
    let at = not_utf8.windows(4).position(|w| w == b"tiny").expect("its name");
    not_utf8[at] = 0xff;
    let mut not_finite = vec![0.5; 24];
    not_finite[7] = f32::NAN;
    vec![
        ("empty.onnx", vec![], "version", "ONNX IR: version 0"),
        ("page.onnx", b"<!doctype html><title>404</title>".to_vec(), "format", "ONNX model: expected a protobuf"),
        ("truncated.onnx", truncated, "format", "other or truncated bytes"),
        ("not-utf8.onnx", not_utf8, "format", "`ModelProto`"),
        ("no-graph.onnx", [int(1, 8), field(8, &int(2, 17))].concat(), "format", "expected a graph, got none"),
        ("early-ir.onnx", File { ir: 2, ..file() }.bytes(), "version", "ONNX IR: version 2"),
        ("later-opset.onnx", File { opset: 99, ..file() }.bytes(), "version", "ONNX operator set: version 99"),
        ("no-input.onnx", File { inputs: vec![], ..file() }.bytes(), "format", "expected an input, got none"),
        ("two-inputs.onnx", more.bytes(), "unsupported", "input `x` (graph): expected one, got also `z`"),
        (
            "dynamic-input.onnx",
            file().input(&[1, -1, 4]).bytes(),
            "format",
            "ONNX input `x`: expected fixed dimensions",
        ),
        ("huge-input.onnx", file().input(&[1 << 20; 3]).bytes(), "too-large", "ONNX input `x`: elements"),
        ("many-dimensions.onnx", file().input(&[1; 9]).bytes(), "format", "ONNX input `x`: expected 1 to 8 dimensions"),
        (
            "external-data.onnx",
            file().initializer(0, typed("conv.w", &[2, 1, 3, 3], FLOAT, &int(14, 1))).bytes(),
            "format",
            "tensor `conv.w`: expected values inside the file",
        ),
        (
            "huge-tensor.onnx",
            file().initializer(0, typed("conv.w", &[1 << 34, 1 << 34], FLOAT, &[])).bytes(),
            "format",
            "tensor `conv.w`: expected dimensions whose product",
        ),
        (
            "hidden-overflow.onnx",
            file().initializer(0, typed("conv.w", &[0, 1 << 62, 1 << 62], FLOAT, &[])).bytes(),
            "format",
            "tensor `conv.w`: expected dimensions whose product",
        ),
        (
            "negative-dimension.onnx",
            file().initializer(0, typed("conv.w", &[-2, 1, 3, 3], FLOAT, &[])).bytes(),
            "format",
            "tensor `conv.w`: expected dimensions",
        ),
        (
            "few-values.onnx",
            file().initializer(0, typed("conv.w", &[2, 1, 3, 3], FLOAT, &raw_floats(&[0.5; 17]))).bytes(),
            "format",
            "tensor `conv.w`: expected 18 values for shape 2x1x3x3, got 68 bytes",
        ),
        (
            "strings.onnx",
            file().initializer(0, typed("conv.w", &[2, 1, 3, 3], STRING, &[])).bytes(),
            "format",
            "tensor `conv.w`: expected a type of real numbers",
        ),
        (
            "not-finite.onnx",
            file().initializer(2, typed("fc.w", &[3, 8], FLOAT, &raw_floats(&not_finite))).bytes(),
            "not-finite",
            "y.weight",
        ),
        (
            "initializer-twice.onnx",
            twice.bytes(),
            "format",
            "ONNX initializers: expected unique names, got `fc.w` twice",
        ),
        (
            "misshapen-weights.onnx",
            file().initializer(0, tensor("conv.w", &[2, 5, 3, 3])).bytes(),
            "format",
            "ONNX node `conv` (Conv): shape of `weight`: expected 2x1x3x3, got 2x5x3x3",
        ),
        (
            "no-such-value.onnx",
            file().node(1, node("Relu", &["nowhere"], "relu", &[])).bytes(),
            "format",
            "ONNX node `relu` (Relu): input: expected a value that an earlier node or initializer makes, got `nowhere`",
        ),
        (
            "cycle.onnx",
            file().node(1, node("Relu", &["flat"], "relu", &[])).bytes(),
            "format",
            "ONNX node `relu` (Relu): input: expected a value that an earlier node",
        ),
        (
            "value-twice.onnx",
            file()
                .node(1, node("Relu", &["conv"], "conv", &[]))
                .node(2, node("Flatten", &["conv"], "flat", &[]))
                .bytes(),
            "format",
            "values with one producer each, got `conv` twice",
        ),
        (
            "unknown-operator.onnx",
            file().node(1, node("NonMaxSuppression", &["conv"], "relu", &[])).bytes(),
            "unsupported",
            "node `relu` (NonMaxSuppression): an operator that Convoke does not have",
        ),
        (
            "attribute-type.onnx",
            file().node(3, node("Gemm", &["flat", "fc.w"], "y", &[ints_attribute("transB", &[1])])).bytes(),
            "format",
            "ONNX node `y` (Gemm): attribute `transB`: expected an integer",
        ),
        (
            "no-stride.onnx",
            conv(&[ints_attribute("strides", &[0, 1])]).bytes(),
            "format",
            "kernel, strides and dilations",
        ),
        ("no-groups.onnx", conv(&[int_attribute("group", 0)]).bytes(), "unsupported", "node `conv` (Conv): "),
        ("negative-groups.onnx", conv(&[int_attribute("group", -1)]).bytes(), "format", "attribute `group`"),
        (
            "huge-pads.onnx",
            conv(&[ints_attribute("pads", &[1 << 40; 4])]).bytes(),
            "unsupported",
            "node `conv` (Conv): padding: ",
        ),
        ("huge-constant.onnx", huge_constant.bytes(), "too-large", "bytes of constants"),
        ("constants-that-grow.onnx", bomb().bytes(), "too-large", "bytes of constants"),
        ("values-that-grow.onnx", wide().bytes(), "too-large", "ONNX node `p1`: elements of its output"),
        (
            "labels-not-json.onnx",
            file().metadata("convoke.labels", "a,b,c").bytes(),
            "format",
            "ONNX metadata `convoke.labels`",
        ),
        (
            "few-labels.onnx",
            file().metadata("convoke.labels", "[\"a\"]").bytes(),
            "format",
            "3 names, one for each class",
        ),
        (
            "bad-preprocess.onnx",
            file().metadata("convoke.preprocess", "{\"sepia\":true}").bytes(),
            "format",
            "ONNX metadata `convoke.preprocess`",
        ),
    ]
}

#[test]
fn every_malformed_file_is_refused_for_its_reason() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/malformed");
    let bless = std::env::var_os("CONVOKE_BLESS").is_some();
    onnx::read(file().bytes()).expect("what the cases change is right");
    for (name, bytes, code, part) in malformed() {
        if bless {
            std::fs::write(folder.join(name), &bytes).unwrap();
        }
        let stored = std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(stored, bytes, "{name} is not what this test makes: run it with CONVOKE_BLESS=1");
        let (result, allocated) = counting(|| onnx::read(stored.clone()));
        let error = result.err().unwrap_or_else(|| panic!("{name} was read"));
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(part), "{name}: expected `{part}` in: {error}");
        assert!(error.to_string().len() < 1000, "{name}: {error}");
        // A MiB of constants that no file holds is allowed.
        assert!(allocated <= 40 * stored.len() + (1 << 20) + 8192, "{name}: {allocated} bytes for {}", stored.len());
    }
}

#[test]
fn no_malformed_file_is_left_without_a_test() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/malformed");
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let stored: BTreeSet<String> = names.filter(|name| name.ends_with(".onnx")).collect();
    assert_eq!(stored, malformed().iter().map(|m| m.0.to_string()).collect());
}
