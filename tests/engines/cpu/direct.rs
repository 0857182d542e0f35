//! Convolutions and linear layers as sums of products.

use convoke::cpu::Algorithm;

use super::{algorithms, winograd};
use crate::list::List;

pub fn add(list: &mut List) {
    algorithms::add(list, Algorithm::Direct, 100);
    for kernel in [3, 5] {
        let name = format!("cpu::direct/error-over-256-channels-{kernel}x{kernel}");
        list.test(name, move || winograd::error_is_bounded(kernel, Algorithm::Direct));
    }
}
