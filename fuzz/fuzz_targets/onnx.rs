//! ONNX files of any bytes: an error or a network that can be written and read again.
#![no_main]

use convoke::format::onnx::{Options, read_with, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(imported) = read_with(bytes.to_vec(), &Options::default()) else { return };
    let written = write(&imported.graph, &imported.params);
    let options = Options { constant_bytes: Some(1 << 26), ..Options::default() };
    read_with(written, &options).expect("what was written is read");
});
