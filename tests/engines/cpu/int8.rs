//! Layers in 8-bit integers: `cpu::CASE::int8`.

use convoke::cpu::Pool;

use crate::cases::CASES;
use crate::list::List;
use crate::suite::int8::{applies, check};

pub fn add(list: &mut List) {
    for case in CASES.iter() {
        let name = format!("cpu::{}::int8", case.name);
        if list.wants(&name) && applies(case) {
            list.check(name, move || check(case, &[Pool::single(), Pool::new(3)]));
        }
    }
    list.test("cpu::int8/computes-enough-cases", || {
        let count = CASES.iter().filter(|case| applies(case)).count();
        assert!(count >= 100, "only {count} cases");
    });
}
