//! Errors as JavaScript's `Error` objects with `code` and `details`.

use std::collections::BTreeMap;
use std::panic::PanicHookInfo;
use std::sync::Mutex;

use wasm_bindgen::JsValue;

use super::values::{set, to_js};
use crate::error::Error;

/// The text of the last panic: the trap that follows it has none.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

pub fn on_panic(info: &PanicHookInfo) {
    if let Ok(mut panic) = PANIC.try_lock() {
        *panic = Some(info.to_string());
    }
    console_error_panic_hook::hook(info);
}

pub fn panic_message() -> Option<String> {
    PANIC.try_lock().ok().and_then(|panic| panic.clone())
}

impl From<Error> for JsValue {
    fn from(error: Error) -> JsValue {
        let js = js_sys::Error::new(&error.to_string());
        set(&js, "code", &error.code().into());
        set(&js, "details", &to_js(&BTreeMap::from_iter(details_of(&error))));
        js.into()
    }
}

/// The parts of an error for programs, which need not read its message.
fn details_of(error: &Error) -> Vec<(&'static str, String)> {
    let s = String::clone;
    match error {
        Error::Layer { layer, what, expected, actual } => {
            vec![("layer", s(layer)), ("what", s(what)), ("expected", s(expected)), ("actual", s(actual))]
        }
        Error::Shape { tensor, expected, actual } => {
            vec![("tensor", s(tensor)), ("expected", s(expected)), ("actual", s(actual))]
        }
        Error::Format { what, expected, actual } | Error::Integrity { what, expected, actual } => {
            vec![("what", s(what)), ("expected", s(expected)), ("actual", s(actual))]
        }
        Error::Argument { name, expected, actual } => {
            vec![("name", s(name)), ("expected", s(expected)), ("actual", s(actual))]
        }
        Error::Version { what, found, supported } => {
            vec![("what", s(what)), ("expected", s(supported)), ("actual", s(found))]
        }
        Error::TooLarge { what, actual, limit } => {
            vec![("what", s(what)), ("expected", format!("at most {limit}")), ("actual", actual.to_string())]
        }
        Error::Weights { missing, unexpected, misshapen, .. } => {
            let list = |names: &[String]| names.join(", ");
            vec![("missing", list(missing)), ("unexpected", list(unexpected)), ("misshapen", list(misshapen))]
        }
        Error::Unsupported { what, problems } => vec![("what", s(what)), ("problems", problems.join("; "))],
        Error::UnknownNetwork { name, known } => vec![("expected", s(known)), ("actual", s(name))],
        Error::UnknownLayer { node, kind, known } => {
            vec![("layer", s(node)), ("expected", s(known)), ("actual", s(kind))]
        }
        Error::Label { index, label, classes } => vec![
            ("index", index.to_string()),
            ("expected", format!("0 to {}", classes.saturating_sub(1))),
            ("actual", label.to_string()),
        ],
        Error::NotFinite { what, index, value } => vec![
            ("what", s(what)),
            ("index", index.to_string()),
            ("expected", "a finite number".into()),
            ("actual", value.to_string()),
        ],
        Error::EmptyDataset { name } => {
            vec![("name", s(name)), ("expected", "at least one image".into()), ("actual", "none".into())]
        }
        Error::Diverged { step, loss, layer } => {
            let (expected, actual) = ("a finite loss".into(), loss.to_string());
            vec![("step", step.to_string()), ("layer", s(layer)), ("expected", expected), ("actual", actual)]
        }
        Error::Backend { backend, reason } => vec![("backend", s(backend)), ("reason", s(reason))],
        Error::DeviceLost { reason } => vec![("reason", s(reason))],
        _ => vec![],
    }
}
