//! The adapter and its device: errors, device loss, pipelines made once, and the way results come back.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kernel::{Constant, Kernel, Pipelines};
use crate::error::{Error, Result};

/// A GPU and its queue. Clones are the same device.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    description: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    health: Arc<Mutex<Health>>,
    pipelines: Mutex<Pipelines>,
}

/// What the callbacks have heard.
#[derive(Default)]
struct Health {
    lost: Option<String>,
    /// The first error that no scope caught since the last look.
    error: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(reason: impl ToString) -> Error {
    Error::Backend { backend: "webgpu".into(), reason: reason.to_string() }
}

/// Remembers that the device is lost, and says so.
fn lost(device: &Device, reason: impl ToString) -> Error {
    let mut health = lock(&device.inner.health);
    Error::DeviceLost { reason: health.lost.get_or_insert(reason.to_string()).clone() }
}

impl Device {
    /// The fastest adapter of this machine, with the adapter's own limits.
    ///
    /// # Errors
    /// [`Error::Backend`] when there is no adapter or it gives no device.
    pub async fn request() -> Result<Device> {
        Self::request_from(wgpu::Backends::all()).await
    }

    /// The same, choosing only among these backends.
    ///
    /// # Errors
    /// Those of [`Device::request`].
    pub async fn request_from(backends: wgpu::Backends) -> Result<Device> {
        let descriptor =
            wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
        let instance = wgpu::Instance::new(descriptor);
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..Default::default()
        };
        let adapter = instance.request_adapter(&options).await.map_err(unavailable)?;
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("convoke"),
            required_limits: limits.clone(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(unavailable)?;
        let info = adapter.get_info();
        let description = match info.name.as_str() {
            "" => info.backend.to_string(),
            name => format!("{name} ({})", info.backend),
        };
        Ok(Self::new(description, device, queue, limits))
    }

    #[cfg_attr(target_arch = "wasm32", expect(clippy::arc_with_non_send_sync, reason = "one thread owns the device"))]
    fn new(description: String, device: wgpu::Device, queue: wgpu::Queue, limits: wgpu::Limits) -> Self {
        let health = Arc::new(Mutex::new(Health::default()));
        let on_loss = health.clone();
        device.set_device_lost_callback(move |reason, message| {
            let reason = match reason {
                wgpu::DeviceLostReason::Destroyed => "destroyed",
                wgpu::DeviceLostReason::Unknown => "lost",
            };
            lock(&on_loss).lost.get_or_insert(format!("{reason}: {message}"));
        });
        let on_error = health.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&on_error).error.get_or_insert(error.to_string());
        }));
        let pipelines = Mutex::new(Pipelines::new(&device));
        Device { inner: Arc::new(Inner { description, device, queue, limits, health, pipelines }) }
    }

    /// The adapter's name and the API it is reached by.
    pub fn description(&self) -> String {
        self.inner.description.clone()
    }

    /// Why the device was lost, once it was.
    pub fn lost(&self) -> Option<String> {
        lock(&self.inner.health).lost.clone()
    }

    /// Gives the device up: everything on it answers [`Error::DeviceLost`] from now on.
    pub fn destroy(&self) {
        self.inner.device.destroy();
        lock(&self.inner.health).lost.get_or_insert("destroyed".into());
    }

    pub(super) fn raw(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// An error if the device is lost or has reported an error.
    pub(super) fn check(&self) -> Result<()> {
        let mut health = lock(&self.inner.health);
        if let Some(reason) = &health.lost {
            return Err(Error::DeviceLost { reason: reason.clone() });
        }
        health.error.take().map_or(Ok(()), |text| Err(unavailable(text)))
    }

    /// Runs `make`, which creates things on the device, and waits until the device has accepted them.
    pub(super) async fn checked<T>(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        self.check()?;
        let memory = self.raw().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.raw().push_error_scope(wgpu::ErrorFilter::Validation);
        let made = make();
        let (validation, memory) = (validation.pop(), memory.pop());
        let error = match (validation.await, memory.await) {
            (Some(e), _) | (None, Some(e)) => Some(e),
            (None, None) => None,
        };
        self.check()?;
        match error {
            Some(e) => Err(unavailable(e)),
            None => made,
        }
    }

    /// A buffer of at least this many bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the adapter cannot bind as many.
    pub(super) fn buffer(&self, label: &str, bytes: usize, usage: wgpu::BufferUsages) -> Result<Buffer> {
        let size = (bytes.max(16) as u64).next_multiple_of(16);
        let limit = self.inner.limits.max_buffer_size.min(self.inner.limits.max_storage_buffer_binding_size);
        if size > limit {
            return Err(Error::TooLarge { what: format!("GPU buffer of {label} in bytes"), actual: size, limit });
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        Ok(Buffer(self.raw().create_buffer(&descriptor)))
    }

    /// The most floats that one storage buffer can hold.
    pub(super) fn max_floats(&self) -> usize {
        (self.inner.limits.max_buffer_size.min(self.inner.limits.max_storage_buffer_binding_size) / 4) as usize
    }

    pub(super) fn uniform_alignment(&self) -> usize {
        self.inner.limits.min_uniform_buffer_offset_alignment as usize
    }

    pub(super) fn pipeline(&self, kernel: &Kernel, constants: &[Constant]) -> wgpu::ComputePipeline {
        lock(&self.inner.pipelines).get(self.raw(), kernel, constants)
    }

    pub(super) fn layout(&self, kernel: &Kernel) -> wgpu::BindGroupLayout {
        lock(&self.inner.pipelines).layout(kernel)
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Device").field("description", &self.inner.description).field("lost", &self.lost()).finish()
    }
}

/// A buffer that gives its memory back when it is dropped. In a browser `wgpu` leaves that to the garbage collector,
/// which sees a few bytes of handle where there are megabytes on the device.
pub(super) struct Buffer(wgpu::Buffer);

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // What was submitted before is still done with it.
        self.0.destroy();
    }
}

/// Part of a buffer that is to be read, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Range<'a> {
    pub buffer: &'a Buffer,
    pub offset: usize,
    pub bytes: usize,
}

/// Brings results back: a mappable buffer that is kept from one read to the next.
#[derive(Default)]
pub(super) struct Readback {
    staging: Option<Buffer>,
}

impl Readback {
    /// Submits what `encoder` holds, waits for it, and returns the contents of `ranges` one after the other.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or [`Error::Backend`] with what the device complained about.
    pub(super) async fn read(
        &mut self,
        device: &Device,
        mut encoder: wgpu::CommandEncoder,
        ranges: &[Range<'_>],
    ) -> Result<Vec<f32>> {
        device.check()?;
        let bytes: usize = ranges.iter().map(|r| r.bytes).sum();
        // Taken, not borrowed: when this future is dropped half-way, the mapped buffer goes with it.
        let staging = match self.staging.take() {
            Some(staging) if staging.size() >= bytes as u64 => staging,
            _ => device.buffer("results", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)?,
        };
        let mut to = 0;
        for r in ranges {
            encoder.copy_buffer_to_buffer(r.buffer, r.offset as u64, &staging, to, r.bytes as u64);
            to += r.bytes as u64;
        }
        device.queue().submit([encoder.finish()]);
        let (done, mapped) = futures_channel::oneshot::channel();
        let slice = staging.slice(..to);
        slice.map_async(wgpu::MapMode::Read, move |result| {
            // Nobody listens when the future was dropped.
            let _ = done.send(result);
        });
        // Natively somebody has to drive the device; in a browser the event loop does, and this returns at once.
        let polled = device.raw().poll(wgpu::PollType::wait_indefinitely());
        let mapped = mapped.await;
        device.check()?;
        match (polled, mapped) {
            (Ok(_), Ok(Ok(()))) => {}
            (Err(e), _) => return Err(unavailable(e)),
            // Nothing else forbids to map it. A browser may say this before it says that the device is lost.
            (_, Ok(Err(e))) => return Err(lost(device, e)),
            (_, Err(_)) => return Err(unavailable("the device gave no answer")),
        }
        let data = {
            let view = slice.get_mapped_range().map_err(unavailable)?;
            bytemuck::pod_collect_to_vec::<u8, f32>(&view)
        };
        staging.unmap();
        self.staging = Some(staging);
        Ok(data)
    }
}
