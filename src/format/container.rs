//! The safetensors container: limits, duplicate names, truncation and the hash are checked before any tensor is read.
//!
//! The `safetensors` crate reads the header and checks the layout. This module adds metadata in a fixed order (equal content
//! gives equal bytes), a check that no name occurs twice, and a SHA-256 of the tensor bytes. It writes files itself, because
//! the crate would copy all tensors, for which a browser has no memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::graph::{Param, first_duplicate};
use crate::json;
use crate::tensor::quantized::Quantized;
use crate::tensor::{Tensor, dims};

/// The longest header that is read or written, in bytes: about the header of a graph of [`crate::graph::MAX_NODES`] nodes.
pub const MAX_HEADER: u64 = 8 << 20;

/// The metadata's key of the hash.
const HASH: &str = "sha256";

/// The description of a valid file in error messages.
const EXPECTED: &str = "a Convoke model (safetensors)";

/// A tensor in the form in which it is written.
pub(crate) struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Stored<'a> {
    /// Borrows a tensor of floats; copies only on big-endian machines.
    pub(crate) fn f32(shape: &[usize], data: &'a [f32]) -> Self {
        let bytes = match cfg!(target_endian = "little") {
            true => Cow::Borrowed(bytemuck::cast_slice(data)),
            false => data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        Stored { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Copies a tensor of floats.
    pub(crate) fn owned(shape: &[usize], data: Vec<f32>) -> Self {
        let bytes = Cow::Owned(data.iter().flat_map(|v| v.to_le_bytes()).collect());
        Stored { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    /// Makes the two tensors of quantized weights: values and scales.
    pub(crate) fn quantized(shape: &[usize], Quantized { values, scales }: Quantized) -> [Self; 2] {
        let bytes = Cow::Owned(bytemuck::cast_vec(values));
        [Stored { dtype: Dtype::I8, shape: shape.to_vec(), bytes }, Stored::owned(&shape[..1], scales)]
    }
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<String, &'a TensorInfo>,
}

/// Writes tensors and metadata as a safetensors file, with the hash added to the metadata. As in the `safetensors` crate,
/// larger types come first, so that all are aligned, then names decide.
///
/// # Errors
/// Returns [`Error::TooLarge`] for a header of more than [`MAX_HEADER`] bytes.
pub(crate) fn write(mut tensors: Vec<(String, Stored)>, mut metadata: BTreeMap<String, String>) -> Result<Vec<u8>> {
    tensors.sort_by(|(a, left), (b, right)| right.dtype.cmp(&left.dtype).then(a.cmp(b)));
    let (mut hash, mut end) = (Sha256::new(), 0);
    let mut info = |(name, stored): &(String, Stored)| {
        hash.update(&stored.bytes);
        let start = end;
        end += stored.bytes.len();
        (name.clone(), TensorInfo { dtype: stored.dtype, shape: stored.shape.clone(), data_offsets: (start, end) })
    };
    let infos = tensors.iter().map(&mut info).collect::<Vec<_>>();
    metadata.insert(HASH.into(), hex(&hash.finalize(), ""));
    let header =
        Header { metadata: &metadata, tensors: infos.iter().map(|(name, info)| (name.clone(), info)).collect() };
    let mut header = serde_json::to_vec(&header).expect("names and numbers are plain data");
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() as u64 > MAX_HEADER {
        return Err(Error::TooLarge { what: "model header".into(), actual: header.len() as u64, limit: MAX_HEADER });
    }
    let mut file = Vec::with_capacity(8 + header.len() + end);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header);
    tensors.iter().for_each(|(_, stored)| file.extend_from_slice(&stored.bytes));
    Ok(file)
}

/// The bytes of a file. They need not be in memory: a browser can read them piece by piece.
///
/// # Examples
/// ```
/// use convoke::format::Source;
/// let source: &[u8] = b"weights";
/// let mut bytes = [0; 3];
/// source.read(2, &mut bytes);
/// assert_eq!((source.size(), &bytes), (7, b"igh"));
/// ```
pub trait Source {
    /// Returns the number of bytes.
    fn size(&self) -> usize;

    /// Copies the bytes from `start` on into all of `to`.
    ///
    /// # Panics
    /// May panic when `start + to.len()` exceeds [`Source::size`].
    fn read(&self, start: usize, to: &mut [u8]);

    /// Returns the SHA-256 of the bytes from `start` on, in lower-case hexadecimal.
    fn sha256(&self, start: usize) -> String;
}

impl Source for &[u8] {
    fn size(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, to: &mut [u8]) {
        to.copy_from_slice(&self[start..][..to.len()]);
    }

    fn sha256(&self, start: usize) -> String {
        hex(&Sha256::digest(&self[start..]), "")
    }
}

/// A file whose header and hash have been checked.
pub(crate) struct Container<'a> {
    source: &'a dyn Source,
    /// The offset of the first tensor byte in the file.
    start: usize,
    layout: Metadata,
    metadata: BTreeMap<String, String>,
    /// Whether [`Container::param`] leaves weights in the file ([`Param::Deferred`]).
    lazy: bool,
}

impl<'a> Container<'a> {
    /// Opens a file and checks everything that can be checked without the network. Allocates no more than a small multiple
    /// of the header.
    ///
    /// # Errors
    /// Returns [`Error::Format`] for a file that is not safetensors, is truncated or has a name twice, [`Error::TooLarge`] for
    /// a header of more than [`MAX_HEADER`] bytes, and [`Error::Integrity`] for tensors that do not have the recorded hash.
    pub(crate) fn read(source: &'a dyn Source) -> Result<Self> {
        let size = source.size();
        let mut header = vec![0; size.min(SEEN_FIRST)];
        source.read(0, &mut header);
        let length = header_length(&header, size)?;
        header.resize(length, 0);
        source.read(8, &mut header);
        let malformed = |e| Error::format("model", EXPECTED, e);
        let header = String::from_utf8(header).map_err(|e| Error::format("model header", EXPECTED, e))?;
        check_header(&header)?;
        let layout: Metadata = serde_json::from_str(&header).map_err(|e| malformed(e.to_string()))?;
        let start = 8 + length;
        if layout.data_len() != size - start {
            let what = "whose tensors do not end there (truncated, or with bytes added)";
            return Err(malformed(format!("a file of {size} bytes {what}")));
        }
        let metadata: BTreeMap<String, String> = layout.metadata().iter().flatten().map(clone_pair).collect();
        if let Some(expected) = metadata.get(HASH) {
            let actual = source.sha256(start);
            if *expected != actual {
                return Err(Error::Integrity { what: "model".into(), expected: expected.clone(), actual });
            }
        }
        Ok(Container { source, start, layout, metadata, lazy: false })
    }

    /// Returns an entry of the metadata.
    ///
    /// # Errors
    /// Returns [`Error::Format`] when there is no such entry.
    pub(crate) fn required(&self, key: &str) -> Result<&str> {
        let none = || Error::format("model", format!("{EXPECTED} with `{key}` in its metadata"), "none");
        self.metadata.get(key).map(String::as_str).ok_or_else(none)
    }

    /// Reads an entry of the metadata as JSON; returns the default when there is no such entry.
    ///
    /// # Errors
    /// Returns [`Error::Format`] when the entry is not the JSON of a `T`.
    pub(crate) fn json<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T> {
        match self.metadata.get(key) {
            None => Ok(T::default()),
            Some(text) => {
                json::parse(text).map_err(|e| Error::format(format!("metadata `{key}`"), "JSON of this version", e))
            }
        }
    }

    /// Checks that the file has a hash. [`Container::read`] has refused a wrong one.
    ///
    /// # Errors
    /// Returns [`Error::Format`] when there is none.
    pub(crate) fn require_hash(&self) -> Result<()> {
        self.required(HASH).map(drop)
    }

    /// Returns the names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        self.layout.offset_keys()
    }

    /// Returns the shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.layout.info(name).map(|info| info.shape.as_slice())
    }

    /// Returns whether the file is a Convoke model, which holds its network.
    pub(crate) fn is_model(&self) -> bool {
        self.metadata.contains_key("convoke")
    }

    /// Returns whether this tensor holds the scales of a tensor in 8 bits.
    pub(crate) fn is_scale(&self, name: &str) -> bool {
        let owner = name.strip_suffix(".scale").and_then(|owner| self.layout.info(owner));
        owner.is_some_and(|info| info.dtype == Dtype::I8)
    }

    /// Leaves weights in the file: [`Container::param`] returns [`Param::Deferred`] for all tensors but vectors.
    pub(crate) fn lazy(self) -> Self {
        Container { lazy: true, ..self }
    }

    /// Reads a tensor as it is stored: in 8 bits with its scales, or in floats.
    ///
    /// # Errors
    /// Returns [`Error::Format`] for a tensor that is missing, of another type, or without scales, and [`Error::Shape`] for
    /// scales that do not fit.
    pub(crate) fn param(&self, name: &str) -> Result<Param> {
        match self.info(name)? {
            TensorInfo { dtype, shape, .. } if self.lazy && shape.len() > 1 => {
                Ok(Param::Deferred { shape: shape.clone(), name: name.into(), quantized: *dtype == Dtype::I8 })
            }
            TensorInfo { dtype: Dtype::I8, shape, .. } => self.quantized(name, shape),
            _ => self.floats(name).map(Param::Floats),
        }
    }

    /// Returns whether some tensors are stored in 8 bits.
    pub(crate) fn has_codes(&self) -> bool {
        self.names().iter().any(|name| self.layout.info(name).is_some_and(|info| info.dtype == Dtype::I8))
    }

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.layout.info(name).ok_or_else(|| Error::format(format!("tensor `{name}`"), "its values", "no such tensor"))
    }

    /// Reads the bytes of a tensor.
    fn raw(&self, info: &TensorInfo) -> Vec<u8> {
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        self.source.read(self.start + start, &mut bytes);
        bytes
    }

    /// Reads a tensor of floats (f64, f32, f16 or bf16) in single precision.
    ///
    /// # Errors
    /// Returns [`Error::Format`] for a tensor that is missing or of another type.
    pub(crate) fn floats(&self, name: &str) -> Result<Tensor> {
        let info = self.info(name)?;
        let data = match info.dtype {
            Dtype::F32 => self.singles(info),
            Dtype::F16 => values(&self.raw(info), |b| half::f16::from_le_bytes(b).to_f32()),
            Dtype::F64 => values(&self.raw(info), |b| f64::from_le_bytes(b) as f32),
            Dtype::BF16 => values(&self.raw(info), |b| half::bf16::from_le_bytes(b).to_f32()),
            other => return Err(Error::format(format!("tensor `{name}`"), "F64, F32, F16, BF16 or I8", other)),
        };
        Tensor::new(info.shape.clone(), data)
    }

    /// Reads single-precision values into place; only big-endian machines copy them a second time.
    fn singles(&self, info: &TensorInfo) -> Vec<f32> {
        if cfg!(target_endian = "big") {
            return values(&self.raw(info), f32::from_le_bytes);
        }
        let (start, end) = info.data_offsets;
        let mut data = vec![0f32; (end - start) / 4];
        self.source.read(self.start + start, bytemuck::cast_slice_mut(&mut data));
        data
    }

    /// Reads a tensor of 8-bit weights with its scales.
    fn quantized(&self, name: &str, shape: &[usize]) -> Result<Param> {
        let scale = scale_name(name);
        let scales = self.floats(&scale).map_err(|_| {
            Error::format(format!("tensor `{name}`"), format!("scales in `{scale}` (F32)"), "no such tensor")
        })?;
        if shape.is_empty() || scales.shape != shape[..1] {
            let expected = dims(&shape[..shape.len().min(1)]);
            return Err(Error::Shape { tensor: scale, expected, actual: dims(&scales.shape) });
        }
        let values = self.raw(self.info(name)?).into_iter().map(|b| b as i8).collect();
        Ok(Param::Quantized { shape: shape.to_vec(), quantized: Quantized { values, scales: scales.data } })
    }
}

/// Returns the name of the tensor that holds the scales of the 8-bit tensor `name`.
pub(crate) fn scale_name(name: &str) -> String {
    format!("{name}.scale")
}

fn clone_pair((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn values<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.chunks_exact(N).map(|b| value(b.try_into().expect("chunks of N"))).collect()
}

fn hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(between)
}

/// The number of bytes that are read first, to recognize files of other formats.
const SEEN_FIRST: usize = 256;

/// Returns the length of the JSON header, given the first bytes of a file of `size` bytes.
///
/// # Errors
/// Returns [`Error::Format`] for a file of another format and for a truncated header, and [`Error::TooLarge`] for a header
/// of more than [`MAX_HEADER`] bytes.
fn header_length(bytes: &[u8], size: usize) -> Result<usize> {
    let refuse = |actual: String| Err(Error::format("model", EXPECTED, actual));
    if looks_like_html(bytes) {
        return refuse("an HTML page".into());
    }
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return refuse(format!("a file of {} bytes", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    // A safetensors header begins with a brace. Without it, the first eight bytes are no length worth reporting.
    if rest.first().is_some_and(|&b| b != b'{') {
        return refuse(format!("a file that begins with {}", hex(&bytes[..bytes.len().min(12)], " ")));
    }
    if length > MAX_HEADER {
        return Err(Error::TooLarge { what: "model header".into(), actual: length, limit: MAX_HEADER });
    }
    if length as usize > size - 8 {
        return refuse(format!("a truncated file: {} bytes of a header of {length}", size - 8));
    }
    Ok(length as usize)
}

/// Returns whether the bytes are an HTML page, which servers send in place of a missing file.
fn looks_like_html(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let start = start.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--"].iter().any(|tag| start.starts_with(tag))
}

/// Checks that the header is a JSON object in which no name and no key of the metadata occurs twice.
///
/// # Errors
/// Returns [`Error::Format`] otherwise.
fn check_header(header: &str) -> Result<()> {
    serde_json::from_str::<UniqueNames>(header).map(drop).map_err(|e| Error::format("model header", EXPECTED, e))
}

struct UniqueNames;

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = UniqueNames;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with unique names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueNames, A::Error> {
                let mut names = vec![];
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<UniqueNames>()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    names.push(name);
                }
                match first_duplicate(&mut names.iter().map(String::as_str).collect::<Vec<_>>()) {
                    Some(name) => Err(A::Error::custom(format!("the name `{name}` twice"))),
                    None => Ok(UniqueNames),
                }
            }
        }
        deserializer.deserialize_map(Names)
    }
}
