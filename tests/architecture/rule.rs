//! The rule over imports: down in every listed folder, and in no circle of files.

use std::collections::{BTreeMap, BTreeSet};

use crate::Import;
use crate::order::Order;

/// Names the files whose folder has an order that does not list them, and the listed entries without files. A folder's own file (`mod.rs`, `lib.rs`) may be left
/// out: it then stands above all entries.
pub fn incomplete(orders: &[Order], files: &BTreeSet<String>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (order, file) in orders.iter().flat_map(|order| files.iter().map(move |file| (order, file))) {
        let Some(entry) = order.entry(file) else { continue };
        if order.level(entry).is_none() && !is_folders_own(order, file) {
            found.insert(format!("`{entry}` of {file} is missing in the order of {}", order.folder));
        }
    }
    for order in orders {
        let exists = |entry: &&String| files.iter().any(|file| order.entry(file) == Some(entry));
        let missing = order.lines.iter().flatten().filter(|entry| !exists(entry));
        found
            .extend(missing.map(|entry| format!("the order of {} lists `{entry}`, which no source has", order.folder)));
    }
    found.into_iter().collect()
}

fn is_folders_own(order: &Order, file: &str) -> bool {
    ["mod.rs", "lib.rs"].iter().any(|own| *file == format!("{}/{own}", order.folder))
}

/// Names the imports that do not point down.
pub fn upward(orders: &[Order], imports: &BTreeSet<Import>) -> Vec<String> {
    let breaks = |import: &Import, order: &Order| {
        let (from, to) = (order.entry(&import.from)?, order.entry(&import.to)?);
        let level = |entry: &str, file: &str| {
            let own = is_folders_own(order, file).then_some(order.lines.len() + 1);
            order.level(entry).or(own)
        };
        let (below, above) = (level(from, &import.from)?, level(to, &import.to)?);
        let wrong = from != to && below <= above;
        let why = if below == above { "stands beside it" } else { "stands above it" };
        wrong.then(|| format!("{} imports {}, but in {} `{to}` {why}", import.from, import.to, order.folder))
    };
    imports.iter().flat_map(|import| orders.iter().filter_map(move |order| breaks(import, order))).collect()
}

/// Names the files of each circle: the shortest one through the first file of each group that imports itself.
pub fn circles(imports: &BTreeSet<Import>) -> Vec<String> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Import { from, to } in imports {
        targets.entry(from).or_default().push(to);
    }
    let (mut found, mut seen) = (vec![], BTreeSet::new());
    for &file in targets.keys() {
        if seen.contains(file) {
            continue;
        }
        let Some(circle) = shortest_circle(&targets, file) else { continue };
        let reachable = |from| reached(&targets, from);
        let group = reachable(file).into_iter().filter(|other| reachable(other).contains(file));
        let group: Vec<&str> = group.collect();
        found.push(format!("a circle of imports, among {} files: {}", group.len(), circle.join(" imports ")));
        seen.extend(group);
    }
    found
}

fn reached<'a>(targets: &BTreeMap<&str, Vec<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for &next in targets.get(file).into_iter().flatten() {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

/// Searches breadth first from `file` to itself.
fn shortest_circle<'a>(targets: &BTreeMap<&'a str, Vec<&'a str>>, file: &'a str) -> Option<Vec<&'a str>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open = std::collections::VecDeque::from([file]);
    while let Some(at) = open.pop_front() {
        for &next in targets.get(at).into_iter().flatten() {
            if next == file {
                let mut circle = vec![file, at];
                while circle[circle.len() - 1] != file {
                    circle.push(before[circle[circle.len() - 1]]);
                }
                circle.reverse();
                return Some(if at == file { vec![file, file] } else { circle });
            }
            if !before.contains_key(next) {
                before.insert(next, at);
                open.push_back(next);
            }
        }
    }
    None
}
