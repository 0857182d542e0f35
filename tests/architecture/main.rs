//! The order of folders: imports point down, and no imports form a circle.
//!
//! ARCHITECTURE.md lists each folder's entries from top to bottom under "Order of folders". The test reads that list and the
//! imports of every source, and names both files of an import that breaks it.

#![cfg(not(target_arch = "wasm32"))]

mod order;
mod rule;
mod rust;
mod typescript;

#[cfg(test)]
mod fixtures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// An import of one file by another. Paths are relative to the repository, with slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The importing file.
    pub from: String,
    /// The imported file, which defines the item.
    pub to: String,
}

/// Returns all files under `folder` with the extension, in order.
fn files(root: &Path, folder: &str, extension: &str) -> Vec<String> {
    let mut found = vec![];
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.to_str().expect("a path in UTF-8").to_string());
            }
        }
    }
    found.sort();
    found
}

fn read(root: &Path, file: &str) -> String {
    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Returns every way in which the sources below `root` break the rule, in words.
fn violations(root: &Path) -> Vec<String> {
    let orders = order::read(&read(root, "ARCHITECTURE.md"));
    assert!(!orders.is_empty(), "ARCHITECTURE.md lists no order of folders");
    let mut found = vec![];
    let mut sources = BTreeSet::new();
    for top in orders.iter().filter(|order| orders.iter().all(|other| !order.is_below(other))) {
        let all = |extension| files(root, &top.folder, extension).into_iter().collect();
        let (rust, scripts) = (rust::Sources::read(root, &top.folder, &all("rs")), all("ts"));
        let imports: BTreeSet<Import> = rust.imports().union(&typescript::imports(root, &scripts)).cloned().collect();
        found.extend(rule::upward(&orders, &imports));
        found.extend(rule::circles(&imports));
        sources.extend(rust.files().into_iter().chain(scripts));
    }
    found.extend(rule::incomplete(&orders, &sources));
    found
}

#[test]
fn imports_point_down_and_form_no_circle() {
    let found = violations(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(found.is_empty(), "{} imports break the order of folders:\n{}", found.len(), found.join("\n"));
}
