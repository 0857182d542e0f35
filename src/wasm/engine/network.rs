//! A network with an engine to run it.

use std::cell::OnceCell;
use std::sync::Arc;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{Pool, memory};
use crate::cpu;
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::format::{Source, WeightFormat};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::runner::ModelRunner;
use crate::seed;
use crate::tensor::Tensor;
use crate::vision::Image;
use crate::wasm::values::{bytes_to_js, clock, tensor_to_js, to_js};

/// A network, its weights, and the engine it was planned on.
#[wasm_bindgen]
pub struct Network {
    pub(super) runner: ModelRunner<File>,
}

#[wasm_bindgen]
impl Network {
    /// Loads the model in these bytes. `sha256`, in hexadecimal, is the hash of the tensors' bytes, where the browser
    /// computed it. `arch` names the network whose weights a plain safetensors file holds.
    pub fn load(
        bytes: Uint8Array,
        sha256: Option<String>,
        arch: Option<String>,
        pool: &Pool,
    ) -> Result<Network, JsValue> {
        let file = File { bytes, sha256: sha256.map_or_else(OnceCell::new, OnceCell::from) };
        Self::of(ModelRunner::load(file, arch.as_deref(), &pool.inner, memory::available()))
    }

    /// Creates the network of this name with fresh weights, drawn from `seed` or from a seed that is drawn itself.
    pub fn create(name: &str, classes: Option<usize>, seed: Option<u32>, pool: &Pool) -> Result<Network, JsValue> {
        let seed = seed.map_or_else(seed::draw, Ok)?;
        Self::of(ModelRunner::create(name, classes, seed, &pool.inner, memory::available()))
    }

    /// Sets the names of the classes.
    #[wasm_bindgen(js_name = setLabels)]
    pub fn set_labels(&mut self, labels: Vec<String>) -> Result<(), JsValue> {
        Ok(self.runner.set_labels(labels)?)
    }

    /// Copies the network, to be planned anew.
    pub fn copy(&self) -> Result<Network, JsValue> {
        Self::of(self.runner.copy())
    }

    /// Prepares the network to run on `cpu` or `webgpu`.
    pub async fn plan(&mut self, backend: &str) -> Result<(), JsValue> {
        let backend = backend_named(backend, self.runner.pool()).await?;
        Ok(self.runner.plan(backend).await?)
    }

    /// `cpu` or `webgpu`.
    #[wasm_bindgen(getter)]
    pub fn backend(&self) -> String {
        self.runner.backend_name().into()
    }

    /// Bytes that the network keeps on the GPU.
    #[wasm_bindgen(js_name = deviceBytes)]
    pub fn device_bytes(&self) -> usize {
        self.runner.device_bytes()
    }

    /// Describes the network.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub fn info(&self) -> JsValue {
        to_js(&self.runner.info())
    }

    /// The main output for a batch `[N, C, H, W]`.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub async fn run(&mut self, data: Vec<f32>, shape: Vec<usize>) -> Result<JsValue, JsValue> {
        Ok(tensor_to_js(&self.runner.run(Tensor::new(shape, data)?).await?))
    }

    /// The `top` likeliest classes of one input `[1, C, H, W]`.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub async fn classify(&mut self, data: Vec<f32>, shape: Vec<usize>, top: usize) -> Result<JsValue, JsValue> {
        Ok(to_js(&self.runner.classify(Tensor::new(shape, data)?, top).await?))
    }

    /// The `top` likeliest classes of an image of RGBA bytes.
    #[wasm_bindgen(js_name = classifyPixels, unchecked_return_type = "any")]
    pub async fn classify_pixels(
        &mut self,
        rgba: Vec<u8>,
        width: usize,
        height: usize,
        top: usize,
    ) -> Result<JsValue, JsValue> {
        let x = self.runner.input_of(&Image::rgba(width, height, rgba)?)?;
        Ok(to_js(&self.runner.classify(x, top).await?))
    }

    /// The input `{ data, shape }` that an image of RGBA bytes becomes.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub fn tensor(&self, rgba: Vec<u8>, width: usize, height: usize) -> Result<JsValue, JsValue> {
        Ok(tensor_to_js(&self.runner.input_of(&Image::rgba(width, height, rgba)?)?))
    }

    /// The part of the network that ends in this layer, to be planned.
    pub fn until(&self, layer: &str) -> Result<Network, JsValue> {
        Self::of(self.runner.until(layer))
    }

    /// One of the network's weights.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub fn weight(&self, name: &str) -> Result<JsValue, JsValue> {
        Ok(tensor_to_js(&self.runner.weight(name)?))
    }

    /// The time of each step on the CPU for a batch `[N, C, H, W]`.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub fn profile(&mut self, data: Vec<f32>, shape: Vec<usize>) -> Result<JsValue, JsValue> {
        let clock = clock()?;
        Ok(to_js(&self.runner.profile(&Tensor::new(shape, data)?, || clock.now())?))
    }

    /// Compares each step with exact sums on `cpu` or `webgpu`; `progress(done, steps)` is called after each.
    #[wasm_bindgen(js_name = selfTest, unchecked_return_type = "any")]
    pub async fn self_test(&mut self, backend: &str, progress: Function) -> Result<JsValue, JsValue> {
        let backend = backend_named(backend, self.runner.pool()).await?;
        let mut report = |i: usize, steps: usize| {
            // A listener that throws is no reason to stop.
            let _ = progress.call2(&JsValue::NULL, &JsValue::from(i as u32 + 1), &JsValue::from(steps as u32));
        };
        Ok(to_js(&self.runner.self_test(&backend, &mut report).await?))
    }

    /// The network as a model file, in 32 bits or `int8`.
    #[wasm_bindgen(unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub fn save(&self, quantize: Option<String>) -> Result<JsValue, JsValue> {
        let weights = match quantize.as_deref() {
            None => WeightFormat::F32,
            Some("int8") => WeightFormat::Int8,
            Some(other) => return Err(Error::argument("quantize", "int8", other).into()),
        };
        Ok(bytes_to_js(&self.runner.model()?.to_bytes(weights)?))
    }

    /// The part of the network that ends in this layer, with a head behind it that is to be replaced.
    pub fn cut(&self, layer: &str) -> Result<Network, JsValue> {
        Self::of(self.runner.cut(layer))
    }

    /// The part of the network before its head, to be planned.
    pub fn body(&self) -> Result<Network, JsValue> {
        Self::of(self.runner.body())
    }

    /// A head for these classes with fresh weights, drawn from `seed` or from a seed that is drawn itself, to be planned
    /// and trained.
    #[wasm_bindgen(js_name = newHead)]
    pub fn new_head(&self, classes: Vec<String>, seed: Option<u32>) -> Result<Network, JsValue> {
        let seed = seed.map_or_else(seed::draw, Ok)?;
        Self::of(self.runner.new_head(classes, seed))
    }

    /// The network with this head in place of its own, to be planned.
    #[wasm_bindgen(js_name = withHead)]
    pub fn with_head(&self, head: &Network) -> Result<Network, JsValue> {
        Self::of(self.runner.with_head(&head.runner))
    }
}

impl Network {
    fn of(runner: Result<ModelRunner<File>>) -> Result<Network, JsValue> {
        Ok(Network { runner: runner? })
    }
}

/// A file in JavaScript's memory.
#[derive(Clone)]
pub(super) struct File {
    bytes: Uint8Array,
    sha256: OnceCell<String>,
}

impl Source for File {
    fn size(&self) -> usize {
        self.bytes.length() as usize
    }

    fn read(&self, start: usize, to: &mut [u8]) {
        self.bytes.subarray(start as u32, (start + to.len()) as u32).copy_to(to);
    }

    fn sha256(&self, start: usize) -> String {
        let own = || self.bytes.subarray(start as u32, self.bytes.length()).to_vec().as_slice().sha256(0);
        self.sha256.get_or_init(own).clone()
    }
}

/// `cpu` on these threads, or `webgpu` on a device that all networks share.
pub(super) async fn backend_named(name: &str, pool: &Arc<cpu::Pool>) -> Result<Backend> {
    match name {
        "cpu" => Ok(Backend::Cpu(pool.clone())),
        #[cfg(feature = "gpu")]
        "webgpu" => Ok(Backend::Gpu(shared_device().await?)),
        other => Err(Error::argument("backend", "cpu or webgpu", other)),
    }
}

/// The device that all networks share; a new one after it was lost.
#[cfg(feature = "gpu")]
async fn shared_device() -> Result<gpu::Device> {
    thread_local! {
        static DEVICE: std::cell::RefCell<Option<gpu::Device>> = const { std::cell::RefCell::new(None) };
    }
    let known = DEVICE.with_borrow(|device| device.clone().filter(|d| d.lost().is_none()));
    if let Some(device) = known {
        return Ok(device);
    }
    let device = gpu::Device::request().await?;
    DEVICE.with_borrow_mut(|known| *known = Some(device.clone()));
    Ok(device)
}
