//! The adapter and its device: errors, device loss, pipelines, buffers and readback.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kernel::{Constant, Pipelines, Shader};
use crate::error::{Error, Result};

/// A GPU and its queue. Clones share the device.
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

/// Reports that the device has made through callbacks.
#[derive(Default)]
struct Health {
    lost: Option<String>,
    /// The first error outside of all scopes since the last check.
    error: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(reason: impl ToString) -> Error {
    Error::Backend { backend: "webgpu".into(), reason: reason.to_string() }
}

/// Records the loss of the device, and returns it as an error.
fn lost(device: &Device, reason: impl ToString) -> Error {
    let mut health = lock(&device.inner.health);
    Error::DeviceLost { reason: health.lost.get_or_insert(reason.to_string()).clone() }
}

impl Device {
    /// Opens the fastest adapter of this machine, with the adapter's own limits.
    ///
    /// # Examples
    /// ```no_run
    /// # use convoke::{Error, gpu::{Device, Engine}, graph::{Graph, Params}};
    /// # async fn example(graph: &Graph, params: &Params) -> Result<(), Error> {
    /// let device = Device::request().await?;
    /// let engine = Engine::new(graph, params, &device).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Backend`] when there is no adapter, or the adapter gives no device.
    pub async fn request() -> Result<Device> {
        Self::request_from(wgpu::Backends::all()).await
    }

    /// Opens the fastest adapter among those of these backends.
    ///
    /// # Errors
    /// [`Error::Backend`] when there is no adapter, or the adapter gives no device.
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

    /// The adapter's name, followed by its API in parentheses where it has a name.
    pub fn description(&self) -> String {
        self.inner.description.clone()
    }

    /// The reason for the loss of the device, or `None` while it works.
    pub fn lost(&self) -> Option<String> {
        lock(&self.inner.health).lost.clone()
    }

    /// Destroys the device. Engines and trainers on it return [`Error::DeviceLost`] from now on.
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

    /// Returns an error if the device is lost or has reported one since the last check.
    pub(super) fn check(&self) -> Result<()> {
        let mut health = lock(&self.inner.health);
        if let Some(reason) = &health.lost {
            return Err(Error::DeviceLost { reason: reason.clone() });
        }
        health.error.take().map_or(Ok(()), |text| Err(unavailable(text)))
    }

    /// Runs `make`, which creates objects on the device, and waits until the device has accepted them.
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

    /// Makes a zeroed buffer of at least `bytes` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the adapter cannot bind a buffer of this size.
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

    /// The pipeline of an entry point, compiled at the first call with these constants.
    pub(super) fn pipeline(
        &self,
        shader: &Shader,
        entry: &'static str,
        constants: &[Constant],
    ) -> wgpu::ComputePipeline {
        lock(&self.inner.pipelines).get(self.raw(), shader, entry, constants)
    }

    /// The bind group layout of kernels that update parameters, or of all others.
    pub(super) fn bind_group_layout(&self, updates: bool) -> wgpu::BindGroupLayout {
        lock(&self.inner.pipelines).bind_group_layout(updates)
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Device").field("description", &self.inner.description).field("lost", &self.lost()).finish()
    }
}

/// A buffer that frees its memory when it is dropped. In a browser `wgpu` leaves this to the garbage collector, which
/// sees a handle of a few bytes instead of megabytes on the device.
pub(super) struct Buffer(wgpu::Buffer);

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Work that was submitted before still completes.
        self.0.destroy();
    }
}

/// A part of a buffer, in bytes.
#[derive(Clone, Copy)]
pub(super) struct BufferRange<'a> {
    pub buffer: &'a Buffer,
    pub offset: usize,
    pub bytes: usize,
}

/// Downloads results through a mappable buffer, which is kept from one read to the next.
#[derive(Default)]
pub(super) struct Readback {
    staging: Option<Buffer>,
}

impl Readback {
    /// Submits the commands of `encoder`, waits for them, and returns the concatenated contents of `ranges`.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], or [`Error::Backend`] with the error that the device reported.
    pub(super) async fn read(
        &mut self,
        device: &Device,
        mut encoder: wgpu::CommandEncoder,
        ranges: &[BufferRange<'_>],
    ) -> Result<Vec<f32>> {
        device.check()?;
        let bytes: usize = ranges.iter().map(|r| r.bytes).sum();
        // Taken, not borrowed: a future that is dropped half-way drops the mapped buffer with it.
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
            // Sending fails when the future was dropped, and then no result is needed.
            let _ = done.send(result);
        });
        // Natively this drives the device. In a browser the event loop does, and this returns at once.
        let polled = device.raw().poll(wgpu::PollType::wait_indefinitely());
        let mapped = mapped.await;
        device.check()?;
        match (polled, mapped) {
            (Ok(_), Ok(Ok(()))) => {}
            (Err(e), _) => return Err(unavailable(e)),
            // Only a lost device refuses to map. A browser may refuse before it reports the loss.
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
