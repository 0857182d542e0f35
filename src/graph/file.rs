//! A graph as JSON, in which nodes refer to each other by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::network::Graph;
use super::node::{INPUT, Node, Output, Value};
use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::tensor::Shape;

/// The version of a graph's JSON that this build reads and writes.
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
    /// Returns the graph as JSON text.
    ///
    /// # Examples
    /// ```
    /// use convoke::graph::Graph;
    /// use convoke::zoo::{self, Options};
    /// let graph = zoo::network("lenet5", Options::default())?;
    /// assert_eq!(Graph::from_json(&graph.to_json())?, graph);
    /// # Ok::<(), convoke::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        let name = |v: &Value| self.value_name(*v).to_string();
        let node = |node: &Node| NodeFile {
            name: node.name.clone(),
            inputs: node.inputs.iter().map(name).collect(),
            layer: to_json(&node.layer),
        };
        let file = GraphFile {
            version: GRAPH_VERSION,
            name: self.name().into(),
            input: self.input().clone(),
            nodes: self.nodes().iter().map(node).collect(),
            outputs: self
                .outputs()
                .iter()
                .map(|o| OutputFile { value: name(&o.value), loss_weight: o.loss_weight })
                .collect(),
        };
        serde_json::to_string(&file).expect("graphs are plain data")
    }

    /// Reads the graph that this JSON text describes.
    ///
    /// # Errors
    /// Returns [`Error::Format`] when the text is not a network in JSON, [`Error::Version`] when it is of another version
    /// than [`GRAPH_VERSION`], [`Error::UnknownLayer`] for a layer kind that this build does not have, and the errors of
    /// [`Graph::new`] for a network that is not valid.
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
        let mut values = BTreeMap::from([(INPUT.to_string(), 0)]);
        for (i, node) in (1..).zip(&file.nodes) {
            // The first of two equal names stays; `Graph::new` refuses the second.
            values.entry(node.name.clone()).or_insert(i);
        }
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

/// Returns the value called `name`, whose index must be below `before`.
fn find(values: &BTreeMap<String, usize>, name: &str, before: usize, graph: &str) -> Result<Value> {
    match values.get(name).copied().filter(|&value| value < before) {
        Some(value) => Ok(Value::at(value)),
        None => {
            let reason = format!("`{name}` is used before any node of that name");
            Err(Error::Graph { graph: graph.into(), reason })
        }
    }
}

/// Returns the layer as a JSON object: its attributes and its `kind`.
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
