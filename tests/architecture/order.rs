//! The order of folders as ARCHITECTURE.md lists it: a fenced block for each folder, whose first line names the folder and
//! whose other lines name its entries from top to bottom.
//!
//! ```text
//! src/cpu:
//! engine
//! conv gemm
//! pool
//! ```
//!
//! Entries on one line must not import each other.

/// The entries of one folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Order {
    /// The folder, without a slash at its end.
    pub folder: String,
    /// The entries from top to bottom, without extensions.
    pub lines: Vec<Vec<String>>,
}

impl Order {
    /// Tells whether this folder lies inside another one.
    pub fn is_below(&self, other: &Order) -> bool {
        self.folder.strip_prefix(&other.folder).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns the entry of this folder that a file belongs to.
    pub fn entry<'a>(&self, file: &'a str) -> Option<&'a str> {
        let inside = file.strip_prefix(&self.folder)?.strip_prefix('/')?;
        let entry = inside.split('/').next().expect("a first part");
        Some(entry.split('.').next().expect("a name"))
    }

    /// Returns how far above the bottom an entry stands.
    pub fn level(&self, entry: &str) -> Option<usize> {
        let line = self.lines.iter().position(|line| line.iter().any(|e| e == entry))?;
        Some(self.lines.len() - line)
    }
}

/// Reads the blocks under the heading "Order of folders".
pub fn read(text: &str) -> Vec<Order> {
    let section = text.split("\n## ").find(|section| section.starts_with("Order of folders\n")).unwrap_or_default();
    // Every second part between fences is inside a block.
    section.split("```").skip(1).step_by(2).map(block).collect()
}

fn block(text: &str) -> Order {
    let mut lines = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty());
    let folder = lines.next().and_then(|line| line.strip_suffix(':')).expect("a block begins with `FOLDER:`");
    let words = |line: &str| line.split_whitespace().map(String::from).collect();
    Order { folder: folder.into(), lines: lines.map(words).collect() }
}
