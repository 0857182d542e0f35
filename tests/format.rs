//! The model file: the data that it keeps, and the ways in which its bytes can be wrong.
//!
//! `tests/malformed/` holds one file for each way, so that other readers can be tested on them too. This test makes the
//! files: `CONVOKE_BLESS=1 cargo test --test format` writes them anew.

#![cfg(not(target_arch = "wasm32"))]

#[path = "support/counting.rs"]
mod counting;

use std::collections::BTreeMap;
use std::path::PathBuf;

use convoke::format::{MAX_HEADER, Meta, Model, WeightFormat};
use convoke::graph::{Builder, Graph, Init, Params, Ranges, Value};
use convoke::layers::{Conv2d, Flatten, Linear, Relu};
use convoke::tensor::Tensor;
use convoke::vision::{Channels, Preprocess};
use convoke::{cpu, quant, zoo};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// Reads a model, and counts the bytes that were allocated at once meanwhile.
fn read_counting(bytes: &[u8]) -> (convoke::Result<Model>, usize) {
    counting::counting(|| Model::from_bytes(bytes))
}

fn graph() -> Graph {
    let mut b = Builder::new("tiny", [1, 6, 6]);
    let x = b.add("conv", Conv2d::new(3, 3), Value::INPUT);
    let x = b.add("relu", Relu {}, x);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("fc", Linear::new(4), x);
    b.finish(x).unwrap()
}

fn model() -> Model {
    let graph = graph();
    let params = Params::init(&graph, Init::He, 3);
    let meta = Meta {
        labels: ["zero", "one", "two", "three"].map(String::from).to_vec(),
        preprocess: Some(Preprocess { channels: Channels::Gray, pad: 1, ..Preprocess::default() }),
        provenance: BTreeMap::from([("seed".into(), "3".into()), ("command".into(), "none".into())]),
    };
    Model { graph, params, meta }
}

#[test]
fn f32_files_keep_everything_and_are_repeatable() {
    let model = model();
    let bytes = model.to_bytes(WeightFormat::F32).unwrap();
    assert_eq!(Model::from_bytes(&bytes).unwrap(), model);
    for _ in 0..5 {
        assert_eq!(Model::from_bytes(&bytes).unwrap().to_bytes(WeightFormat::F32).unwrap(), bytes);
    }
}

#[test]
fn int8_files_keep_what_quantization_leaves() {
    let model = model();
    let bytes = model.to_bytes(WeightFormat::Int8).unwrap();
    let back = Model::from_bytes(&bytes).unwrap();
    assert_eq!(back.params, quant::round_trip(&model.graph, &model.params));
    assert_eq!(back.params.tensor("fc.bias"), model.params.tensor("fc.bias"));
    assert_eq!(back.to_bytes(WeightFormat::Int8).unwrap(), bytes, "quantizing again changes nothing");
}

#[test]
fn ranges_are_kept_with_the_weights() {
    let mut model = model();
    model.params =
        model.params.calibrated(&model.graph, &Ranges::from_iter([("fc".into(), 3.25), ("conv".into(), 0.1)]));
    for weights in [WeightFormat::F32, WeightFormat::Int8] {
        let back = Model::from_bytes(&model.to_bytes(weights).unwrap()).unwrap();
        assert_eq!(back.params.ranges(), model.params.ranges());
    }
}

#[test]
fn lenet5_in_int8_fits_in_70_kib() {
    let graph = zoo::network("lenet5", zoo::Options::default()).unwrap();
    let params = Params::init(&graph, Init::He, 1);
    let bytes = Model { graph, params, meta: model_meta(10) }.to_bytes(WeightFormat::Int8).unwrap();
    assert!(bytes.len() < 68 * 1024, "{} bytes", bytes.len());
}

fn model_meta(classes: usize) -> Meta {
    Meta { labels: (0..classes).map(|c| c.to_string()).collect(), ..model().meta }
}

#[test]
fn other_safetensors_tools_can_read_it() {
    let bytes = model().to_bytes(WeightFormat::Int8).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("conv.weight").unwrap().shape(), [3, 1, 3, 3]);
    assert_eq!(file.tensor("conv.weight.scale").unwrap().shape(), [3]);
    assert_eq!(bytes[0] % 8, 0, "tensors are aligned for readers that copy nothing");
}

#[test]
fn half_precision_is_read() {
    let model = model();
    let mut file = File::of(&model);
    for (name, tensor) in model.params.iter() {
        let bytes = tensor.data.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        file.set(name, "F16", &tensor.shape, bytes);
    }
    let read = Model::from_bytes(&file.bytes()).unwrap();
    for (name, tensor) in model.params.iter() {
        for (a, b) in read.params.tensor(name).data.iter().zip(&tensor.data) {
            assert!((a - b).abs() <= 1e-3 * b.abs(), "{name}: {a} for {b}");
        }
    }
}

#[test]
fn the_part_of_a_network_that_ends_in_a_layer() {
    let graph = zoo::network("lenet5", zoo::Options::default()).unwrap();
    let model = Model { params: Params::init(&graph, Init::He, 1), graph, meta: model_meta(10) };
    let part = model.until("pool1").unwrap();
    assert_eq!((part.graph.nodes().len(), part.graph.classes()), (3, 6 * 14 * 14));
    let names: Vec<&str> = part.params.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["conv1.bias", "conv1.weight"]);
    assert_eq!((part.meta.labels.len(), &part.meta.preprocess), (0, &model.meta.preprocess));
    assert_eq!(model.until("pool9").unwrap_err().code(), "argument");
}

#[test]
fn a_network_without_its_auxiliary_heads_answers_the_same() {
    let named = |auxiliary| zoo::network("googlenet-cifar", zoo::Options { auxiliary, ..Default::default() }).unwrap();
    let whole = named(true);
    let model = Model { params: Params::init(&whole, Init::He, 1), graph: whole, meta: model_meta(10) };
    let main = model.without_auxiliary().unwrap();
    assert_eq!((&main.graph, &main.meta), (&named(false), &model.meta));
    let x = Tensor::new([1, 3, 32, 32], (0..3 * 1024).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect()).unwrap();
    let logits = |m: &Model| cpu::Engine::new(&m.graph, &m.params, &cpu::Pool::single()).unwrap().run(&x).unwrap();
    assert_eq!(logits(&main), logits(&model));
}

#[test]
fn labels_must_be_as_many_as_classes() {
    let model = Model { meta: model_meta(3), ..model() };
    let error = model.to_bytes(WeightFormat::F32).unwrap_err().to_string();
    assert_eq!(error, "metadata `labels`: expected 4 names, one for each class, got 3");
}

/// A safetensors file in parts, so that each part can be made wrong.
#[derive(Clone)]
struct File {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, (String, Vec<usize>, Vec<u8>)>,
}

impl File {
    fn of(model: &Model) -> Self {
        let bytes = model.to_bytes(WeightFormat::F32).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut file = File { metadata, tensors: BTreeMap::new() };
        for (name, tensor) in model.params.iter() {
            file.set(name, "F32", &tensor.shape, floats(&tensor.data));
        }
        file
    }

    fn set(&mut self, name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) {
        self.tensors.insert(name.into(), (dtype.into(), shape.to_vec(), bytes));
    }

    fn meta(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    fn data(&self) -> Vec<u8> {
        self.tensors.values().flat_map(|(_, _, bytes)| bytes.clone()).collect()
    }

    fn header(&self) -> Json {
        let mut header = json!({ "__metadata__": self.metadata });
        let mut offset = 0;
        for (name, (dtype, shape, bytes)) in &self.tensors {
            let end = offset + bytes.len();
            header[name] = json!({ "dtype": dtype, "shape": shape, "data_offsets": [offset, end] });
            offset = end;
        }
        header
    }

    /// Returns the file's bytes, with the right hash where the metadata has a hash.
    fn bytes(mut self) -> Vec<u8> {
        let digest = hash(&self.data());
        if let Some(hash) = self.metadata.get_mut("sha256") {
            *hash = digest;
        }
        raw(&self.header().to_string(), &self.data())
    }
}

fn floats(data: &[f32]) -> Vec<u8> {
    data.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A malformed file.
struct Malformed {
    /// The name in `tests/malformed/`.
    file: &'static str,
    bytes: Vec<u8>,
    /// The error's code.
    code: &'static str,
    /// A part of the error's message.
    message: &'static str,
}

impl Malformed {
    fn new(file: &'static str, bytes: Vec<u8>, code: &'static str, message: &'static str) -> Self {
        Malformed { file, bytes, code, message }
    }

    /// Reads the stored file, and says in which respect its refusal differs from the wanted one.
    fn check(&self) -> Result<(), String> {
        let file = self.file;
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/malformed").join(file);
        if std::env::var_os("CONVOKE_BLESS").is_some() {
            std::fs::write(&path, &self.bytes).map_err(|e| format!("{file}: {e}"))?;
        }
        let stored = std::fs::read(&path).map_err(|e| format!("{file}: {e}"))?;
        if stored != self.bytes {
            return Err(format!("{file} is not what this test makes: run it with CONVOKE_BLESS=1"));
        }
        let (result, allocated) = read_counting(&stored);
        let Err(error) = result else { return Err(format!("{file} was read")) };
        let message = error.to_string();
        if error.code() != self.code || !message.contains(self.message) || message.len() >= 1000 {
            return Err(format!("{file}: {} ({}) instead of {} ({})", message, error.code(), self.message, self.code));
        }
        if allocated > 40 * stored.len() + 8192 {
            return Err(format!("{file}: {allocated} bytes for {}", stored.len()));
        }
        Ok(())
    }
}

fn assert_refused(files: &[Malformed]) {
    let failures: Vec<String> = files.iter().filter_map(|file| file.check().err()).collect();
    assert!(failures.is_empty(), "{} of {} files:\n{}", failures.len(), files.len(), failures.join("\n"));
}

fn good() -> Vec<u8> {
    model().to_bytes(WeightFormat::F32).unwrap()
}

fn file() -> File {
    File::of(&model())
}

/// Returns the good file with a text of its header replaced.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let header = file().header().to_string();
    assert!(header.contains(from), "{from} in {header}");
    raw(&header.replace(from, to), &file().data())
}

/// Returns the good file with a text of its graph replaced.
fn with_graph(from: &str, to: &str) -> Vec<u8> {
    let graph = file().metadata["graph"].replace(from, to);
    file().meta("graph", graph).bytes()
}

/// Returns a file whose linear layer is in 8 bits, with this number of scales, or without scales.
fn int8(scales: Option<usize>) -> Vec<u8> {
    let mut file = file();
    file.set("fc.weight", "I8", &[4, 48], vec![1; 192]);
    if let Some(n) = scales {
        file.set("fc.weight.scale", "F32", &[n], floats(&vec![0.5; n]));
    }
    file.bytes()
}

/// Files that are no models.
#[test]
fn other_files_are_refused() {
    assert_refused(&[
        Malformed::new(
            "page.html",
            b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n".to_vec(),
            "format",
            "expected a Convoke model (safetensors), got an HTML page",
        ),
        Malformed::new("empty.safetensors", vec![], "format", "got a file of 0 bytes"),
        Malformed::new("short.safetensors", vec![9, 0, 0, 0, 0], "format", "got a file of 5 bytes"),
        Malformed::new(
            "picture.safetensors",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
            "format",
            "a file that begins with 89 50",
        ),
    ]);
}

/// Files with missing, additional or changed bytes, or with a header of impossible size.
#[test]
fn cut_or_damaged_files_are_refused() {
    let good = good();
    let mut flipped = good.clone();
    flipped[good.len() - 9] ^= 0x10;
    assert_refused(&[
        Malformed::new(
            "header-cut.safetensors",
            good[..100].to_vec(),
            "format",
            "truncated file: 92 bytes of a header of",
        ),
        Malformed::new(
            "data-cut.safetensors",
            good[..good.len() - 1].to_vec(),
            "format",
            "truncated, or with bytes added",
        ),
        Malformed::new(
            "data-added.safetensors",
            [&good[..], b"\0"].concat(),
            "format",
            "truncated, or with bytes added",
        ),
        Malformed::new("corrupt-data.safetensors", flipped, "integrity", "SHA-256 mismatch"),
        Malformed::new(
            "oversized-header.safetensors",
            [&(MAX_HEADER + 1).to_le_bytes()[..], b"{}"].concat(),
            "too-large",
            "model header: 8388609 exceeds the limit of 8388608",
        ),
        Malformed::new(
            "endless-header.safetensors",
            [&u64::MAX.to_le_bytes()[..], b"{}"].concat(),
            "too-large",
            "exceeds",
        ),
    ]);
}

/// Headers that are no safetensors header.
#[test]
fn wrong_headers_are_refused() {
    assert_refused(&[
        Malformed::new("not-json.safetensors", raw("{\"fc.bias\": nothing}", b""), "format", "model header"),
        Malformed::new(
            "not-utf8.safetensors",
            raw("{\"?\":1}", b"").iter().map(|&b| if b == b'?' { 0xff } else { b }).collect(),
            "format",
            "model header",
        ),
        Malformed::new(
            "deep.safetensors",
            raw(&format!("{{\"a\":{}", "[".repeat(5000)), b""),
            "format",
            "model header",
        ),
        Malformed::new(
            "duplicate-tensor.safetensors",
            edited(
                "\"fc.bias\":",
                "\"conv.bias\":{\"data_offsets\":[0,0],\"dtype\":\"F32\",\"shape\":[0]},\"fc.bias\":",
            ),
            "format",
            "the name `conv.bias` twice",
        ),
        Malformed::new(
            "duplicate-metadata.safetensors",
            edited("\"convoke\":\"1\"", "\"convoke\":\"1\",\"convoke\":\"1\""),
            "format",
            "the name `convoke` twice",
        ),
        Malformed::new(
            "overlapping.safetensors",
            edited("\"data_offsets\":[0,12]", "\"data_offsets\":[0,16]"),
            "format",
            "offset",
        ),
        Malformed::new(
            "overflowing-shape.safetensors",
            edited("\"shape\":[3]", "\"shape\":[4294967296,4294967296,4294967296]"),
            "format",
            "overflow",
        ),
        Malformed::new(
            "unknown-type.safetensors",
            edited("\"shape\":[3]", "\"shape\":[3],\"dtype\":\"X9\""),
            "format",
            "safetensors",
        ),
    ]);
}

/// Headers without an entry of the metadata that a model needs.
#[test]
fn files_without_metadata_are_refused() {
    assert_refused(&[
        Malformed::new(
            "no-graph.safetensors",
            file().with(|f| drop(f.metadata.remove("graph"))).bytes(),
            "format",
            "with `graph` in its metadata",
        ),
        Malformed::new(
            "no-metadata.safetensors",
            file().with(|f| f.metadata.clear()).bytes(),
            "format",
            "with `convoke` in its metadata",
        ),
        Malformed::new(
            "no-hash.safetensors",
            file().with(|f| drop(f.metadata.remove("sha256"))).bytes(),
            "format",
            "with `sha256` in its metadata",
        ),
    ]);
}

/// Versions and graphs that this build cannot read.
#[test]
fn wrong_graphs_are_refused() {
    assert_refused(&[
        Malformed::new(
            "later-version.safetensors",
            file().meta("convoke", "2").bytes(),
            "version",
            "model: version 2 is not supported (this build reads 1)",
        ),
        Malformed::new(
            "later-graph.safetensors",
            with_graph("\"version\":1", "\"version\":7"),
            "version",
            "graph: version 7 is not supported",
        ),
        Malformed::new(
            "unknown-layer.safetensors",
            with_graph("\"relu\"}", "\"warp\"}"),
            "unknown-layer",
            "unknown layer kind `warp`",
        ),
        Malformed::new(
            "huge-layer.safetensors",
            with_graph("\"out_features\":4", "\"out_features\":99999999999"),
            "layer",
            "layer `fc`: out_features: expected a whole number below 2^32, got 99999999999",
        ),
    ]);
}

/// Tensors that do not belong to the graph.
#[test]
fn wrong_tensors_are_refused() {
    assert_refused(&[
        Malformed::new(
            "long-integers.safetensors",
            file().with(|f| f.set("fc.bias", "I64", &[4], vec![0; 32])).bytes(),
            "format",
            "tensor `fc.bias`: expected F64, F32, F16, BF16 or I8, got I64",
        ),
        Malformed::new(
            "missing-tensor.safetensors",
            file().with(|f| drop(f.tensors.remove("fc.bias"))).bytes(),
            "weights",
            "missing [fc.bias]",
        ),
        Malformed::new(
            "unexpected-tensor.safetensors",
            file().with(|f| f.set("fd.bias", "F32", &[1], vec![0; 4])).bytes(),
            "weights",
            "unexpected [fd.bias]",
        ),
        Malformed::new(
            "misshapen-tensor.safetensors",
            file().with(|f| f.set("fc.bias", "F32", &[5], vec![0; 20])).bytes(),
            "weights",
            "misshapen [fc.bias: expected 4, got 5]",
        ),
        Malformed::new(
            "nan.safetensors",
            file().with(|f| f.set("fc.bias", "F32", &[4], floats(&[0.0, 0.0, f32::NAN, 0.0]))).bytes(),
            "not-finite",
            "tensor `fc.bias`: value NaN at index 2 is not finite",
        ),
        Malformed::new("int8-without-scale.safetensors", int8(None), "format", "expected scales in `fc.weight.scale`"),
        Malformed::new(
            "int8-few-scales.safetensors",
            int8(Some(3)),
            "shape",
            "tensor `fc.weight.scale`: expected shape 4, got 3",
        ),
    ]);
}

/// Ranges, labels and preprocessing that do not fit the graph.
#[test]
fn metadata_that_does_not_fit_is_refused() {
    assert_refused(&[
        Malformed::new(
            "range-of-no-weights.safetensors",
            file().meta("ranges", "{\"relu\":1}").bytes(),
            "format",
            "metadata `ranges`: expected ranges of the network's convolutions and linear layers, got `relu`",
        ),
        Malformed::new(
            "negative-range.safetensors",
            file().meta("ranges", "{\"conv\":1.5,\"fc\":-1.5}").bytes(),
            "format",
            "metadata `ranges` of `fc`: expected a number above 0, got -1.5",
        ),
        Malformed::new(
            "endless-range.safetensors",
            file().meta("ranges", "{\"fc\":1e39}").bytes(),
            "format",
            "metadata `ranges` of `fc`: expected a number above 0, got 1e+39",
        ),
        Malformed::new(
            "range-of-words.safetensors",
            file().meta("ranges", "{\"fc\":\"wide\"}").bytes(),
            "format",
            "metadata `ranges` of `fc`: expected a number above 0, got \"wide\"",
        ),
        Malformed::new(
            "few-labels.safetensors",
            file().meta("labels", "[\"a\"]").bytes(),
            "format",
            "expected 4 names",
        ),
        Malformed::new(
            "bad-preprocess.safetensors",
            file().meta("preprocess", "{\"std\":[0]}").bytes(),
            "argument",
            "std",
        ),
        Malformed::new(
            "unknown-preprocess.safetensors",
            file().meta("preprocess", "{\"sepia\":true}").bytes(),
            "format",
            "metadata `preprocess`",
        ),
    ]);
}

#[test]
fn a_good_file_allocates_a_small_multiple_of_its_size() {
    let graph = zoo::network("lenet5", zoo::Options::default()).unwrap();
    let model = Model { params: Params::init(&graph, Init::He, 1), graph, meta: Meta::default() };
    for (weights, times) in [(WeightFormat::F32, 3), (WeightFormat::Int8, 8)] {
        let bytes = model.to_bytes(weights).unwrap();
        let (read, allocated) = read_counting(&bytes);
        assert!(read.is_ok());
        assert!(allocated <= times * bytes.len(), "{weights:?}: {allocated} bytes for {}", bytes.len());
    }
}

#[test]
fn headers_full_of_nothing_cost_little() {
    let zeros = format!("{{\"a\":{{\"dtype\":\"F32\",\"data_offsets\":[0,0],\"shape\":[0{}]}}}}", ",0".repeat(200_000));
    let names: Vec<String> = (0..20_000).map(|i| format!("\"{i}\":{{}}")).collect();
    let names = format!("{{{}}}", names.join(","));
    let nodes = format!("{{\"version\":1,\"nodes\":[{}0]}}", "[],".repeat(200_000));
    let nodes = json!({ "__metadata__": { "convoke": "1", "graph": nodes, "sha256": hash(b"") } }).to_string();
    for header in [zeros, names, nodes] {
        let bytes = raw(&header, b"");
        let (read, allocated) = read_counting(&bytes);
        assert!(read.is_err());
        assert!(allocated <= 64 * bytes.len(), "{allocated} bytes for {}: {:.60}", bytes.len(), header);
    }
}

fn hash(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }

    #[test]
    fn arbitrary_headers_never_panic(header in "\\{[\\[\\]{}\":,0-9a-z_ ]{0,80}\\}", data in proptest::collection::vec(any::<u8>(), 0..20)) {
        prop_assert!(Model::from_bytes(&raw(&header, &data)).is_err());
    }

    #[test]
    fn mutated_files_are_read_or_refused(
        int8 in any::<bool>(),
        mutations in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let good = model().to_bytes(if int8 { WeightFormat::Int8 } else { WeightFormat::F32 }).unwrap();
        let mut bytes = good.clone();
        for (at, value) in mutations {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (result, allocated) = read_counting(&bytes);
        prop_assert!(allocated <= 64 * good.len());
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        if bytes.len() == good.len() && bytes[..header] == good[..header] && bytes != good {
            prop_assert_eq!(result.unwrap_err().code(), "integrity");
        }
    }

    /// Sizes are computed from numbers in the header, each of which may be any number.
    #[test]
    fn hostile_numbers_are_read_or_refused(which in any::<prop::sample::Index>(), number in prop_oneof![
        any::<u64>(), 0u64..100, Just(u64::MAX), Just(1 << 31), Just(1 << 32), Just(i64::MAX as u64)
    ]) {
        let header = File::of(&model()).header().to_string();
        let starts: Vec<usize> = (1..header.len())
            .filter(|&i| header.as_bytes()[i].is_ascii_digit() && !header.as_bytes()[i - 1].is_ascii_alphanumeric())
            .collect();
        let start = starts[which.index(starts.len())];
        let end = start + header[start..].bytes().take_while(u8::is_ascii_digit).count();
        let header = format!("{}{number}{}", &header[..start], &header[end..]);
        let bytes = raw(&header, &File::of(&model()).data());
        let (_, allocated) = read_counting(&bytes);
        prop_assert!(allocated <= 64 * bytes.len());
    }
}
