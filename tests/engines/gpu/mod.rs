//! The WebGPU engine's own properties: its device, its dispatches, and runs that equal the CPU's.

mod batches;
mod device;
mod dispatches;

use std::sync::LazyLock;

use convoke::gpu::Device;
use pollster::block_on;

use crate::list::List;

/// One device for all tests: making one takes longer than most cases.
pub static DEVICE: LazyLock<Device> =
    LazyLock::new(|| block_on(Device::request()).expect("these tests need a Vulkan adapter, such as lavapipe"));

pub fn add(list: &mut List) {
    device::add(list);
    dispatches::add(list);
    batches::add(list);
}
