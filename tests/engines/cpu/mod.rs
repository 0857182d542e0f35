//! The CPU engine's own properties: threads, algorithms, integers and memory.

mod algorithms;
mod depthwise;
mod direct;
mod int8;
mod memory;
mod quantized_weights;
mod threads;
mod winograd;

use crate::list::List;

pub fn add(list: &mut List) {
    threads::add(list);
    direct::add(list);
    winograd::add(list);
    depthwise::add(list);
    int8::add(list);
    quantized_weights::add(list);
    memory::add(list);
}
