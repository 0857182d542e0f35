//! Every case of the suite on both engines: `ENGINE::CASE::forward` and `ENGINE::CASE::backward`.

use std::sync::LazyLock;

use pollster::block_on;

use crate::list::{Engines, List};
use crate::suite::{self, Case, checks};

/// The cases, shared by all tests, so that the references compute each once.
pub static CASES: LazyLock<Vec<Case>> = LazyLock::new(suite::cases);

pub fn add(list: &mut List) {
    for engine in Engines::ALL {
        for case in CASES.iter() {
            let name = format!("{}::{}::forward", engine.name(), case.name);
            list.check(name, move || block_on(checks::forward(case, &engine.subject(2))));
        }
        for case in CASES.iter() {
            let name = format!("{}::{}::backward", engine.name(), case.name);
            list.check(name, move || block_on(checks::backward(case, &engine.subject(2))));
        }
    }
}
