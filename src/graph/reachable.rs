//! Dead-node elimination: which nodes some outputs depend on.

use super::{Node, Value};

/// For each value, by [`Value::index`], whether one of `outputs` depends on it. `nodes` are in execution order.
pub(crate) fn reachable(nodes: &[Node], outputs: impl IntoIterator<Item = Value>) -> Vec<bool> {
    let mut reachable = vec![false; nodes.len() + 1];
    outputs.into_iter().for_each(|v| reachable[v.index()] = true);
    for (i, node) in nodes.iter().enumerate().rev() {
        if reachable[Value::of_node(i).index()] {
            node.inputs.iter().for_each(|v| reachable[v.index()] = true);
        }
    }
    reachable
}

/// Removes the nodes that `keep`, indexed by [`Value::index`], does not name. Returns the remaining nodes with their
/// inputs renumbered, and the new value of each old one; removed values map to [`Value::INPUT`].
pub(crate) fn retain(nodes: Vec<Node>, keep: &[bool]) -> (Vec<Node>, Vec<Value>) {
    let mut map = vec![Value::INPUT];
    let mut kept: Vec<Node> = vec![];
    for node in nodes {
        if keep[map.len()] {
            let inputs = node.inputs.iter().map(|v| map[v.index()]).collect();
            kept.push(Node { inputs, ..node });
            map.push(Value::of_node(kept.len() - 1));
        } else {
            map.push(Value::INPUT);
        }
    }
    (kept, map)
}
