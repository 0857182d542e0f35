//! ONNX files of any bytes: an error or a network that can be written and read again.
#![no_main]

use convoke::Error;
use convoke::format::onnx::{Options, fold, read, read_with, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = fold(bytes, &Options::default());
    let Ok(model) = read(bytes.to_vec()) else { return };
    let written = match write(&model) {
        Ok(written) => written,
        // A node of a file may become several.
        Err(Error::TooLarge { .. }) => return,
        Err(e) => panic!("what was read cannot be written: {e}"),
    };
    let options = Options { constant_bytes: Some(1 << 26), ..Options::default() };
    read_with(written, &options).expect("what was written is read");
});
