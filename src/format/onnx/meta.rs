//! Labels, preprocessing and provenance as metadata properties of a file.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::proto::{ModelProto, StringStringEntryProto};
use crate::error::{Error, Result};
use crate::format::{Meta, json};
use crate::graph::Graph;

/// The producer's name in files that Convoke writes.
pub(super) const PRODUCER: &str = "convoke";

const LABELS: &str = "convoke.labels";
const PREPROCESS: &str = "convoke.preprocess";
const PROVENANCE: &str = "convoke.provenance";

/// Makes the properties of a model; empty ones are left out.
pub(super) fn write(meta: &Meta) -> Vec<StringStringEntryProto> {
    let mut entries = vec![];
    let mut add = |key: &str, value| entries.push(StringStringEntryProto { key: key.into(), value });
    if !meta.labels.is_empty() {
        add(LABELS, json(&meta.labels));
    }
    if let Some(preprocess) = &meta.preprocess {
        add(PREPROCESS, json(preprocess));
    }
    if !meta.provenance.is_empty() {
        add(PROVENANCE, json(&meta.provenance));
    }
    entries
}

/// Reads the properties of a file. Another program than Convoke that wrote the file becomes part of the provenance.
///
/// # Errors
/// [`Error::Format`] for properties that are not as Convoke writes them or do not fit the network.
pub(super) fn read(proto: &ModelProto, graph: &Graph) -> Result<Meta> {
    let mut meta = Meta {
        labels: property(proto, LABELS)?.unwrap_or_default(),
        preprocess: property(proto, PREPROCESS)?,
        provenance: property(proto, PROVENANCE)?.unwrap_or_default(),
    };
    meta.check(graph)?;
    if proto.producer_name != PRODUCER {
        let producer = format!("{} {}", proto.producer_name, proto.producer_version).trim().to_string();
        meta.provenance.extend(BTreeMap::from([("format".into(), "onnx".into()), ("producer".into(), producer)]));
    }
    Ok(meta)
}

fn property<T: DeserializeOwned>(proto: &ModelProto, key: &str) -> Result<Option<T>> {
    let Some(entry) = proto.metadata_props.iter().find(|e| e.key == key) else { return Ok(None) };
    let wrong = |e| Error::format(format!("ONNX metadata `{key}`"), "JSON as Convoke writes it", e);
    serde_json::from_str(&entry.value).map(Some).map_err(wrong)
}
