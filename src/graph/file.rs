//! A graph as JSON: nodes refer to each other by name.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Graph, INPUT, Node, Output, Value};
use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::tensor::Shape;

/// The version of the JSON form that this build reads and writes.
pub const GRAPH_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphFile {
    version: u32,
    name: String,
    input: Shape,
    nodes: Vec<NodeFile>,
    outputs: Vec<OutputFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    name: String,
    inputs: Vec<String>,
    layer: Json,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputFile {
    value: String,
    loss_weight: f32,
}

impl Graph {
    /// The graph as JSON text.
    pub fn to_json(&self) -> String {
        let name = |v: &Value| self.value_name(*v).to_string();
        let node = |node: &Node| NodeFile {
            name: node.name.clone(),
            inputs: node.inputs.iter().map(name).collect(),
            layer: to_json(&node.layer),
        };
        let file = GraphFile {
            version: GRAPH_VERSION,
            name: self.name.clone(),
            input: self.input.clone(),
            nodes: self.nodes.iter().map(node).collect(),
            outputs: self
                .outputs
                .iter()
                .map(|o| OutputFile { value: name(&o.value), loss_weight: o.loss_weight })
                .collect(),
        };
        serde_json::to_string(&file).expect("graphs are plain data")
    }

    /// The graph that this JSON text describes.
    ///
    /// # Errors
    /// [`Error::Format`] when it is not such JSON, [`Error::Version`] when it is of another version,
    /// [`Error::UnknownLayer`], and those of [`Graph::new`].
    pub fn from_json(text: &str) -> Result<Self> {
        let malformed = |e: serde_json::Error| Error::format("graph", "a network described in JSON", e);
        let json: Json = serde_json::from_str(text).map_err(malformed)?;
        // The version is read first: a later version may have fields that this one does not know.
        match json.get("version").and_then(Json::as_u64) {
            Some(v) if v == u64::from(GRAPH_VERSION) => {}
            other => {
                let found = other.map_or("none".to_string(), |v| v.to_string());
                return Err(Error::Version { what: "graph".into(), found, supported: GRAPH_VERSION.to_string() });
            }
        }
        let file: GraphFile = serde_json::from_value(json).map_err(malformed)?;
        let mut values: Vec<(String, usize)> = vec![(INPUT.into(), 0)];
        values.extend(file.nodes.iter().enumerate().map(|(i, node)| (node.name.clone(), i + 1)));
        values.sort_unstable();
        let last = file.nodes.len() + 1;
        let mut nodes = Vec::with_capacity(file.nodes.len());
        for (i, node) in file.nodes.into_iter().enumerate() {
            let inputs = node.inputs.iter().map(|name| find(&values, name, i + 1, &file.name));
            let (name, inputs) = (node.name.clone(), inputs.collect::<Result<_>>()?);
            nodes.push(Node { name, layer: from_json(&node.name, node.layer)?, inputs });
        }
        let output = |o: &OutputFile| {
            Ok(Output { value: find(&values, &o.value, last, &file.name)?, loss_weight: o.loss_weight })
        };
        let outputs = file.outputs.iter().map(output).collect::<Result<_>>()?;
        Graph::new(file.name, file.input, nodes, outputs)
    }
}

/// The value of this name, which must be one of the first `before`.
fn find(sorted: &[(String, usize)], name: &str, before: usize, graph: &str) -> Result<Value> {
    let found = sorted.binary_search_by(|(own, _)| own.as_str().cmp(name)).map(|i| sorted[i].1);
    match found.ok().filter(|&value| value < before) {
        Some(value) => Ok(value.checked_sub(1).map_or(Value::INPUT, Value::of_node)),
        None => {
            let reason = format!("`{name}` is used before any node of that name");
            Err(Error::Graph { graph: graph.into(), reason })
        }
    }
}

/// The layer as a JSON object: its kind beside its attributes.
fn to_json(layer: &Layer) -> Json {
    let mut fields = layer.attributes();
    fields.insert("kind".into(), layer.kind().into());
    Json::Object(fields)
}

fn from_json(node: &str, json: Json) -> Result<Layer> {
    let Json::Object(mut fields) = json else {
        return Err(Error::format(format!("layer `{node}`"), "an object", json));
    };
    let kind = fields.remove("kind").as_ref().and_then(Json::as_str).unwrap_or_default().to_string();
    match Layer::from_attributes(&kind, fields) {
        Some(layer) => {
            layer.map_err(|m| Error::Layer { layer: node.into(), what: m.what, expected: m.expected, actual: m.actual })
        }
        None => Err(Error::UnknownLayer { node: node.into(), kind, known: Layer::KINDS.join(", ") }),
    }
}
