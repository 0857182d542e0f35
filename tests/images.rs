//! Files become the pixels that Pillow and torchvision give: tests/golden/images.py makes the files and the expectations.

#![cfg(not(target_arch = "wasm32"))]

#[allow(dead_code, reason = "the command's way of reading pictures is what is tested here")]
#[path = "../src/bin/convoke/picture.rs"]
mod picture;

use std::path::{Path, PathBuf};

use convoke::vision::Preprocess;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    source: String,
    preprocess: Preprocess,
    expected: String,
}

/// The largest difference of a byte.
const TOLERANCE: u8 = 2;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/images")
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let read = |file: &str| picture::read(&folder().join(file)).expect("a picture of the folder");
        let (got, [h, w]) = self.preprocess.pixels(&read(&self.source)).expect("a valid preprocessing");
        // The expected file is read without any preprocessing but its channels.
        let as_it_is = Preprocess { channels: self.preprocess.channels, ..Preprocess::default() };
        let (want, size) = as_it_is.pixels(&read(&self.expected)).expect("a valid preprocessing");
        if [h, w] != size {
            return Err(format!("{}: {h}x{w} instead of {}x{}", self.expected, size[0], size[1]));
        }
        let differences = || got.iter().zip(&want).map(|(a, b)| a.abs_diff(*b));
        let worst = differences().max().expect("at least one pixel");
        let off = differences().filter(|&d| d > TOLERANCE).count();
        (off == 0).then_some(()).ok_or_else(|| {
            format!("{}: {off} of {} bytes are off by more than {TOLERANCE}, one by {worst}", self.expected, got.len())
        })
    }
}

#[test]
fn files_become_the_pixels_of_pillow() {
    let golden = std::fs::read(folder().join("images.json")).expect("the list of cases");
    let Golden { cases } = serde_json::from_slice(&golden).expect("a valid list");
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases.iter().filter_map(|case| case.check().err()).collect();
    assert!(failures.is_empty(), "{} of {} cases differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// A JPEG with damaged bytes gives a picture or an error, and a JPEG that is cut off gives an error.
#[test]
fn damaged_jpegs_end_in_errors() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged.jpeg");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        picture::read(&path)
    };
    let bytes = std::fs::read(folder().join("progressive.jpeg")).unwrap();
    for length in (0..bytes.len() - 2).step_by(97) {
        let error = read(&bytes[..length]).expect_err("a part of a picture");
        assert!(error.to_string().contains("damaged.jpeg"), "{error}");
    }
    let mut refused = 0;
    for at in (2..bytes.len()).step_by(31) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        refused += usize::from(read(&damaged).is_err());
    }
    assert!(refused > 0, "not even a damaged header was seen");
}
