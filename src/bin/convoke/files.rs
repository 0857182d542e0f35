//! Reading and writing files, with errors that name them.

use std::io::Write;
use std::path::{Path, PathBuf};

use convoke::format::{Meta, Model, onnx, weights};
use convoke::graph::Graph;
use convoke::{Error, Result, zoo};
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

use crate::outcome::{Failure, Outcome};

/// An error about the file or folder at `path`.
pub fn io(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::Io { path: path.display().to_string(), reason: reason.to_string() }
}

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| io(path, e))
}

/// A model file in any format.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// A model file: Convoke's own, ONNX, or safetensors with torchvision's or timm's names.
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The network whose weights MODEL holds, where the names and shapes of its tensors fit several: a name that
    /// `convoke describe` knows.
    #[arg(long, value_name = "NAME")]
    pub arch: Option<String>,
    /// Classes of a network by name [default: its own].
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
}

impl ModelArgs {
    /// The model; errors name the file.
    pub fn read(&self) -> Outcome<Model> {
        let network = self.network()?;
        let bytes = read(&self.model)?;
        let is_onnx = Format::of(&self.model) == Some(Format::Onnx) || looks_like_onnx(&bytes);
        let model = match network {
            Some(_) if is_onnx => return Err(self.usage("no --arch, as an ONNX file holds its network")),
            Some(graph) => weights::read(&graph, &bytes).map(|params| Model { graph, params, meta: Meta::default() }),
            None if is_onnx => onnx::read(bytes),
            None if has_weights_only(&bytes) => match weights::network_of(&bytes) {
                Ok(graph) => weights::read(&graph, &bytes).map(|params| Model { graph, params, meta: Meta::default() }),
                Err(e) => return Err(self.usage(&format!("--arch, as the file does not say its network ({e})"))),
            },
            None => Model::from_bytes(&bytes),
        };
        Ok(model.map_err(|e| io(&self.model, e))?)
    }

    /// The network that `--arch` names.
    fn network(&self) -> Outcome<Option<Graph>> {
        match (&self.arch, self.classes) {
            (Some(name), classes) => Ok(Some(zoo::network(name, zoo::Options { classes, ..zoo::Options::default() })?)),
            (None, Some(_)) => Err(self.usage("--arch beside --classes")),
            (None, None) => Ok(None),
        }
    }

    /// Options that do not go with the file.
    pub fn usage(&self, expected: &str) -> Failure {
        let given = [("--arch", self.arch.clone()), ("--classes", self.classes.map(|n| n.to_string()))];
        let given: Vec<String> = given.into_iter().filter_map(|(name, v)| Some(format!("{name} {}", v?))).collect();
        let given = if given.is_empty() { "neither".into() } else { given.join(" ") };
        Failure::Usage(Error::argument(self.model.display().to_string(), expected, given))
    }
}

/// A format of model files, as a name's extension says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Safetensors,
    Onnx,
}

impl Format {
    /// The format of a file of this name, if it says one.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "safetensors" => Some(Format::Safetensors),
            "onnx" => Some(Format::Onnx),
            _ => None,
        }
    }
}

/// An ONNX file begins with the field of its IR version, safetensors with a length and a brace.
fn looks_like_onnx(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x08) && bytes.get(8) != Some(&b'{')
}

/// Whether these are safetensors that Convoke has not written.
fn has_weights_only(bytes: &[u8]) -> bool {
    let is_plain = |m: &Metadata| m.metadata().as_ref().is_none_or(|m| m.keys().all(|k| k != "convoke"));
    SafeTensors::read_metadata(bytes).is_ok_and(|(_, metadata)| is_plain(&metadata))
}

/// That a file can be made at `path`, as far as can be told: asked before work that takes long.
pub fn check_writable(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(io(path, "no such folder to write to")),
        _ if path.is_dir() => Err(io(path, "expected a file to write to, got a folder")),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|e| io(path, e))
}

/// Writes to standard output; a reader that has seen enough is no error.
pub fn print(text: impl std::fmt::Display) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(io(Path::new("standard output"), e)),
        _ => Ok(()),
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits are ASCII")).collect();
    groups.join(",")
}

/// Plain data as a JSON value, its f32 numbers with their own few digits rather than all of their f64 ones.
pub fn json(data: &impl serde::Serialize) -> serde_json::Value {
    let text = serde_json::to_string(data).expect("plain data");
    serde_json::from_str(&text).expect("written a line above")
}
