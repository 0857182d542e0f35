//! A network as a diagram: Mermaid (which Markdown pages draw) and Graphviz.
//!
//! Both writers are a line for each node and a line for each edge; a library would be larger than they are.

use std::fmt::Write;

use convoke::graph::{Graph, Value};

/// A Mermaid flowchart.
pub fn mermaid(graph: &Graph) -> String {
    let label = |parts: [String; 3]| parts.map(|part| mermaid_text(&part)).join("<br/>");
    let node = |id, parts| format!("    n{id}[\"{}\"]\n", label(parts));
    let edge = |from, to| format!("    n{from} --> n{to}\n");
    format!("flowchart TD\n{}", body(graph, node, edge).trim_end())
}

/// A graph in Graphviz's language.
pub fn dot(graph: &Graph) -> String {
    let label = |parts: [String; 3]| parts.map(|part| dot_text(&part)).join("\\n");
    let node = |id, parts| format!("    n{id} [label=\"{}\"];\n", label(parts));
    let edge = |from, to| format!("    n{from} -> n{to};\n");
    format!("digraph \"{}\" {{\n    node [shape=box];\n{}}}", dot_text(graph.name()), body(graph, node, edge))
}

/// Returns a line for each node (from its number, and its name, kind and shape), then a line for each edge.
fn body(graph: &Graph, node: impl Fn(usize, [String; 3]) -> String, edge: impl Fn(usize, usize) -> String) -> String {
    let mut lines = String::new();
    for value in graph.values() {
        let kind = value.node().map_or("input", |i| graph.nodes()[i].layer.kind());
        let name = value.node().map_or(graph.name(), |i| &graph.nodes()[i].name);
        lines += &node(value.index(), [name.into(), kind.into(), graph.shape(value).to_string()]);
    }
    for (i, n) in graph.nodes().iter().enumerate() {
        n.inputs.iter().for_each(|from| lines += &edge(from.index(), Value::of_node(i).index()));
    }
    lines
}

/// Text within quotes: whatever could mean something to Mermaid, HTML or Markdown by its number.
fn mermaid_text(text: &str) -> String {
    text.chars().fold(String::new(), |mut to, c| {
        match c {
            c if c.is_alphanumeric() || " ._-/".contains(c) => to.push(c),
            c => write!(to, "#{};", u32::from(c)).expect("writing to a string"),
        }
        to
    })
}

/// Text within quotes. A line break stands as one in the label.
fn dot_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke::graph::Builder;
    use convoke::layers::Relu;

    #[test]
    fn names_cannot_leave_their_label() {
        let name = "a\"];\n<b>\\ #`é";
        let mut b = Builder::new("x\"y", [1, 2, 2]);
        let x = b.add(name, Relu {}, Value::INPUT);
        let y = b.sum("sum", &[x, Value::INPUT]);
        let graph = b.finish(y).unwrap();
        let wanted = "flowchart TD
    n0[\"x#34;y<br/>input<br/>1x2x2\"]
    n1[\"a#34;#93;#59;#10;#60;b#62;#92; #35;#96;é<br/>relu<br/>1x2x2\"]
    n2[\"sum<br/>add<br/>1x2x2\"]
    n0 --> n1
    n1 --> n2
    n0 --> n2";
        assert_eq!(mermaid(&graph), wanted);
        let wanted = r#"digraph "x\"y" {
    node [shape=box];
    n0 [label="x\"y\ninput\n1x2x2"];
    n1 [label="a\"];\n<b>\\ #`é\nrelu\n1x2x2"];
    n2 [label="sum\nadd\n1x2x2"];
    n0 -> n1;
    n1 -> n2;
    n0 -> n2;
}"#;
        assert_eq!(dot(&graph), wanted);
    }
}
