//! Imports between TypeScript files: `import`, `export … from`, `import()`, types included.

use std::collections::BTreeSet;
use std::path::Path;

use crate::Import;

/// Returns the imports among these files.
pub fn imports(root: &Path, files: &BTreeSet<String>) -> BTreeSet<Import> {
    let of_file = |from: &String| {
        let text = crate::read(root, from);
        let targets: Vec<String> = specifiers(&text).filter_map(|name| resolve(from, name, files)).collect();
        targets.into_iter().map(|to| Import { from: from.clone(), to }).collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

/// Returns the quoted names that stand behind `from`, `import` or `import(`, in lines that are no comment.
fn specifiers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !["//", "/*", "*"].iter().any(|mark| line.trim_start().starts_with(mark))).flat_map(
        |line| {
            let words = ["from", "import"].into_iter();
            words.flat_map(move |word| {
                line.match_indices(word).filter_map(move |(at, _)| quoted(&line[at + word.len()..]))
            })
        },
    )
}

/// Returns the text in the quotes that `rest` begins with, behind spaces and a parenthesis.
fn quoted(rest: &str) -> Option<&str> {
    let rest = rest.trim_start().trim_start_matches('(').trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(quote).next()
}

/// Returns the file that a relative name stands for: `./x.js` is built from `x.ts`, and `./x` may be `x/index.ts`.
fn resolve(from: &str, name: &str, files: &BTreeSet<String>) -> Option<String> {
    if !name.starts_with('.') {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let stem = path.strip_suffix(".js").or(path.strip_suffix(".ts")).unwrap_or(&path);
    [path.clone(), format!("{stem}.ts"), format!("{stem}/index.ts")].into_iter().find(|path| files.contains(path))
}
