//! Depthwise convolutions.

use convoke::cpu::Algorithm;

use super::algorithms;
use crate::list::List;

pub fn add(list: &mut List) {
    algorithms::add(list, Algorithm::Depthwise, 18);
}
