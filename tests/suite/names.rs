//! Names of cases, which tests are chosen by: `conv2d/groups-13-to-13-3x3-stride-2-on-13x8x8-batch-3`.

use convoke::graph::Graph;
use serde_json::{Map, Value as Json};

/// Returns the name of a network of one layer: its kind, its attributes other than the usual ones, and its input.
pub fn of_layer(graph: &Graph, batch: usize) -> String {
    let json: Json = serde_json::from_str(&graph.to_json()).expect("a graph as JSON");
    let Json::Object(mut layer) = json["nodes"][0]["layer"].clone() else { panic!("a layer is an object") };
    let kind = layer.remove("kind").expect("a layer has a kind");
    let mut words = vec![];
    attributes(&layer, &mut words);
    words.push(format!("on-{}", graph.input()));
    words.push(format!("batch-{batch}"));
    format!("{}/{}", text(&kind), words.join("-"))
}

fn attributes(layer: &Map<String, Json>, words: &mut Vec<String>) {
    for (name, value) in layer {
        match (name.as_str(), value) {
            ("window", Json::Object(window)) => attributes(window, words),
            ("kernel", _) => words.push(text(value)),
            ("out_channels" | "out_features", _) => words.push(format!("to-{}", text(value))),
            ("bias", Json::Bool(false)) => words.push("no-bias".into()),
            ("bias", _) | (_, Json::Bool(false)) => {}
            (_, Json::Bool(true)) => words.push(name.replace('_', "-")),
            ("stride" | "dilation" | "padding", Json::Array(values)) if values.windows(2).all(|v| v[0] == v[1]) => {
                let usual = if name == "padding" { 0 } else { 1 };
                if values[0] != usual {
                    words.push(format!("{name}-{}", text(&values[0])));
                }
            }
            ("groups", _) if *value == 1 => {}
            _ => words.push(format!("{}-{}", name.replace('_', "-"), text(value))),
        }
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(values) => values.iter().map(text).collect::<Vec<_>>().join("x"),
        Json::Number(number) => number.as_f64().map_or_else(|| number.to_string(), |v| (v as f32).to_string()),
        other => other.to_string(),
    }
}
