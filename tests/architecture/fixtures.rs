//! Small trees on which the rule must hold or fail.

use std::fs;
use std::path::{Path, PathBuf};

use crate::violations;

/// Writes a tree whose `src` has this order, and returns the breaches of the rule in it.
fn broken(name: &str, order: &str, files: &[(&str, &str)]) -> Vec<String> {
    let root: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("architecture").join(name);
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    let architecture = format!(
        "# Architecture\n\n## Order of folders\n\nFrom top to bottom.\n\n```text\nsrc:\n{order}\n```\n\n## Other\n\n\
         ```text\nno order\n```\n"
    );
    for (file, text) in files.iter().chain(&[("ARCHITECTURE.md", architecture.as_str())]) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    violations(&root)
}

/// Checks that exactly one thing is wrong, and that its message names each part.
fn assert_names(found: &[String], parts: &[&str]) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(parts.iter().all(|part| found[0].contains(part)), "{parts:?} in {}", found[0]);
}

/// An order in which `plan` and `tensor` stand beside each other.
const ORDER: &str = "engine\nkernels\nplan tensor";

const LIB: (&str, &str) = (
    "src/lib.rs",
    "mod engine;\nmod kernels;\nmod plan;\nmod tensor;\npub use engine::Engine;\npub use tensor::Tensor;\n",
);

#[test]
fn downward_imports_pass() {
    let files = [
        LIB,
        (
            "src/engine.rs",
            "use crate::kernels::{self, Kernel};\npub struct Engine(Kernel);\nfn f() { kernels::run() }\n",
        ),
        ("src/kernels/mod.rs", "mod fast;\npub use fast::run;\npub struct Kernel;\n"),
        ("src/kernels/fast.rs", "pub fn run() { let _ = [crate::Tensor]; }\n"),
        ("src/plan.rs", "pub struct Plan;\n"),
        (
            "src/tensor.rs",
            "pub struct Tensor;\n#[cfg(test)]\nmod tests { use crate::engine::Engine; }\nimpl Tensor {\n    #[cfg(test)]\n    \
             fn g() { crate::engine::h(); }\n}\n",
        ),
    ];
    assert_eq!(broken("downward", ORDER, &files), [""; 0]);
}

#[test]
fn an_upward_use_names_both_files() {
    let files = [
        LIB,
        ("src/engine.rs", "pub struct Engine;\n"),
        ("src/kernels.rs", "use crate::Engine;\n"),
        ("src/plan.rs", ""),
        ("src/tensor.rs", "pub struct Tensor;\n"),
    ];
    assert_names(&broken("upward-use", ORDER, &files), &["src/kernels.rs imports src/engine.rs", "stands above it"]);
}

#[test]
fn an_upward_path_in_a_macro_names_both_files() {
    let files = [
        LIB,
        ("src/engine.rs", "pub struct Engine;\n"),
        ("src/kernels.rs", "fn f() { assert!(super::engine::ready()); }\n"),
        ("src/plan.rs", ""),
        ("src/tensor.rs", "pub struct Tensor;\n"),
    ];
    assert_names(&broken("upward-path", ORDER, &files), &["src/kernels.rs imports src/engine.rs", "stands above it"]);
}

#[test]
fn folders_on_one_line_do_not_know_each_other() {
    let files = [
        LIB,
        ("src/engine.rs", "pub struct Engine;\n"),
        ("src/kernels.rs", ""),
        ("src/plan.rs", "fn f() { use crate::tensor::Tensor as T; }\n"),
        ("src/tensor.rs", "pub struct Tensor;\n"),
    ];
    assert_names(&broken("beside", ORDER, &files), &["src/plan.rs imports src/tensor.rs", "stands beside it"]);
}

#[test]
fn a_circle_of_rust_files_names_them() {
    let files = [
        LIB,
        ("src/engine.rs", "pub struct Engine;\n"),
        ("src/kernels/mod.rs", "mod fast;\nmod slow;\npub use fast::Fast;\npub use slow::Slow;\n"),
        ("src/kernels/fast.rs", "use super::Slow;\npub struct Fast(Slow);\n"),
        ("src/kernels/slow.rs", "pub struct Slow;\nfn f() { super::fast::run(); }\n"),
        ("src/plan.rs", ""),
        ("src/tensor.rs", "pub struct Tensor;\n"),
    ];
    let circle = "src/kernels/fast.rs imports src/kernels/slow.rs imports src/kernels/fast.rs";
    assert_names(&broken("rust-circle", ORDER, &files), &[circle]);
}

#[test]
fn a_folder_that_no_order_lists_is_named() {
    let files = [("src/lib.rs", "mod extra;\n"), ("src/extra.rs", "pub struct Extra;\n")];
    assert_names(&broken("unlisted", "", &files), &["`extra`", "src/extra.rs"]);
}

#[test]
fn downward_scripts_pass() {
    let files = [
        (
            "src/engine.ts",
            "import { kernel } from \"./kernels/index.js\";\nimport \"./tensor\";\n// import \"./lib.js\";\n",
        ),
        ("src/kernels/index.ts", "export * from \"./fast.js\";\nimport { test } from \"vitest\";\n"),
        ("src/kernels/fast.ts", "const t = await import('../tensor.js');\n"),
        ("src/tensor.ts", "export const one = 1;\n"),
    ];
    assert_eq!(broken("downward-scripts", "engine\nkernels\ntensor", &files), [""; 0]);
}

#[test]
fn an_upward_type_import_names_both_files() {
    let files = [
        ("src/engine.ts", "export type Engine = number;\n"),
        ("src/tensor.ts", "import type {\n  Engine,\n} from \"./engine.js\";\n"),
    ];
    assert_names(
        &broken("upward-script", "engine\ntensor", &files),
        &["src/tensor.ts imports src/engine.ts", "stands above it"],
    );
}

#[test]
fn a_circle_of_scripts_names_them() {
    let files = [
        ("src/kernels/fast.ts", "export { slow } from \"./slow.js\";\n"),
        ("src/kernels/slow.ts", "type Fast = import(\"./fast.js\").Fast;\nexport const slow = 1;\n"),
    ];
    let circle = "src/kernels/fast.ts imports src/kernels/slow.ts imports src/kernels/fast.ts";
    assert_names(&broken("script-circle", "kernels", &files), &[circle]);
}

#[test]
fn a_listed_folder_that_is_gone_is_named() {
    let files = [("src/engine.ts", "export const one = 1;\n")];
    assert_names(&broken("gone", "engine\ntensor", &files), &["`tensor`", "no source"]);
}
