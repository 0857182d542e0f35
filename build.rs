//! Takes comments and indentation out of the shaders, which the browser downloads as text.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src/gpu");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    minify(Path::new("src/gpu"), Path::new(&out))
}

/// Writes every shader below `folder` to `out`, under the shader's own file name.
fn minify(folder: &Path, out: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            minify(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "wgsl") {
            let small: Vec<_> = fs::read_to_string(&path)?.lines().filter_map(code).collect();
            fs::write(out.join(path.file_name().expect("a file")), small.join("\n") + "\n")?;
        }
    }
    Ok(())
}

/// What is left of a line. WGSL has no strings, so `//` always begins a comment.
fn code(line: &str) -> Option<String> {
    let code = line.split("//").next().unwrap_or_default().trim();
    (!code.is_empty()).then(|| code.to_string())
}
