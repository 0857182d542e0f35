//! A network with an engine to run it.

use std::sync::Arc;

use js_sys::{Array, Float32Array, Function, Object};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::Pool;
use crate::cpu;
use crate::engine::{Backend, Engine};
use crate::error::{Error, Result};
use crate::format::{Meta, Model, Weights};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::graph::{Cost, Init, Params};
use crate::self_test::self_test;
use crate::tensor::{Tensor, dims};
use crate::train::{Checkpoint, Config};
use crate::vision::{Image, top_k};
use crate::wasm::bytes_to_js;
use crate::wasm::error::set;
use crate::zoo::{self, Options};

/// A network, its weights, and the engine it was planned on.
#[wasm_bindgen]
pub struct Network {
    pub(super) model: Model,
    pub(super) pool: Arc<cpu::Pool>,
    backend: Option<Backend>,
    engine: Option<Engine>,
    /// The interrupted run that it was loaded from.
    pub(super) resume: Option<Resume>,
}

/// A run that a trainer of this network goes on with.
#[derive(Clone)]
pub(super) struct Resume {
    pub checkpoint: Vec<u8>,
    pub config: Config,
}

/// `NetworkInfo` in `types.ts`, as far as the engine knows it.
#[derive(Serialize)]
struct Info<'a> {
    name: &'a str,
    backend: &'static str,
    labels: Vec<String>,
    input: &'a [usize],
    parameters: u64,
    macs: u64,
    layers: Vec<Cost>,
    provenance: &'a std::collections::BTreeMap<String, String>,
    interrupted: Option<&'a Config>,
}

/// `LayerTime` in `types.ts`.
#[derive(Serialize)]
struct Timed {
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    milliseconds: f32,
}

#[derive(Serialize)]
struct Answer {
    label: String,
    index: usize,
    probability: f32,
}

#[wasm_bindgen]
extern "C" {
    /// Milliseconds.
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

#[wasm_bindgen]
impl Network {
    /// The model in these bytes.
    pub fn load(bytes: &[u8], arch: Option<String>, pool: &Pool) -> Result<Network, JsValue> {
        if let Some(arch) = arch {
            let model = Model::from_weights(bytes, zoo::network(&arch, Options::default())?)?;
            return Ok(Network::of(model, pool.inner.clone()));
        }
        let network = match Checkpoint::from_bytes(bytes)? {
            Some(Checkpoint { model, config }) => {
                let resume = Some(Resume { checkpoint: bytes.to_vec(), config });
                Network { resume, ..Network::of(model, pool.inner.clone()) }
            }
            None => Network::of(Model::from_bytes(bytes)?, pool.inner.clone()),
        };
        Ok(network)
    }

    /// The network of this name with fresh weights, and with its auxiliary heads if it has some: it is made to be trained.
    pub fn create(name: &str, classes: Option<usize>, seed: u32, pool: &Pool) -> Result<Network, JsValue> {
        let graph = zoo::network(name, Options { classes, auxiliary: true, width: None })?;
        let params = Params::init(&graph, Init::of(&graph), seed);
        Ok(Network::of(Model { graph, params, meta: Meta::default() }, pool.inner.clone()))
    }

    /// The same network and weights, to be planned anew.
    pub fn copy(&self) -> Network {
        Network { resume: self.resume.clone(), ..Network::of(self.model.clone(), self.pool.clone()) }
    }

    /// Prepares the network to run on `cpu` or `webgpu`.
    pub async fn plan(&mut self, backend: &str) -> Result<(), JsValue> {
        let backend = backend_named(backend, &self.pool).await?;
        self.engine = None; // Its memory goes before the new engine's comes.
        self.engine = Some(Engine::new(&self.model.graph, &self.model.params, &backend).await?);
        self.backend = Some(backend);
        Ok(())
    }

    /// `cpu` or `webgpu`.
    #[wasm_bindgen(getter)]
    pub fn backend(&self) -> String {
        self.backend_name().into()
    }

    /// Bytes that it keeps on the GPU.
    #[wasm_bindgen(js_name = deviceBytes)]
    pub fn device_bytes(&self) -> usize {
        self.engine.as_ref().map_or(0, Engine::device_bytes)
    }

    /// What the package tells of the network.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub fn info(&self) -> JsValue {
        let Model { graph, meta, .. } = &self.model;
        let layers = graph.costs();
        to_js(&Info {
            name: graph.name(),
            backend: self.backend_name(),
            labels: (0..graph.classes()).map(|class| meta.label(class)).collect(),
            input: graph.input().dims(),
            parameters: layers.iter().map(|l| l.parameters).sum(),
            macs: layers.iter().map(|l| l.macs).sum(),
            layers,
            provenance: &meta.provenance,
            interrupted: self.resume.as_ref().map(|r| &r.config),
        })
    }

    /// The main output for a batch `[N, C, H, W]`.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub async fn run(&mut self, data: Vec<f32>, shape: Vec<usize>) -> Result<JsValue, JsValue> {
        Ok(tensor_to_js(&self.output(Tensor::new(shape, data)?).await?))
    }

    /// The `top` likeliest classes of one input `[1, C, H, W]`.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub async fn classify(&mut self, data: Vec<f32>, shape: Vec<usize>, top: usize) -> Result<JsValue, JsValue> {
        let x = Tensor::new(shape, data)?;
        if x.shape.first() != Some(&1) {
            return Err(Error::argument("image", "a batch of one", dims(&x.shape)).into());
        }
        self.answer(x, top).await
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
        let image = Image::rgba(width, height, rgba)?;
        let x = self.model.preprocess()?.batch([&image])?;
        self.answer(x, top).await
    }

    /// The input `{ data, shape }` that an image of RGBA bytes becomes.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub fn tensor(&self, rgba: Vec<u8>, width: usize, height: usize) -> Result<JsValue, JsValue> {
        let image = Image::rgba(width, height, rgba)?;
        Ok(tensor_to_js(&self.model.preprocess()?.batch([&image])?))
    }

    /// The part of the network that ends in this layer, to be planned.
    pub fn until(&self, layer: &str) -> Result<Network, JsValue> {
        Ok(Network::of(self.model.until(layer)?, self.pool.clone()))
    }

    /// How long each step takes on the CPU for a batch `[N, C, H, W]`.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub fn profile(&mut self, data: Vec<f32>, shape: Vec<usize>) -> Result<JsValue, JsValue> {
        let x = Tensor::new(shape, data)?;
        let Some(Engine::Cpu(engine)) = &mut self.engine else {
            return Err(Error::argument("backend", "cpu, whose steps can be timed", self.backend_name()).into());
        };
        let mut ends = vec![now()];
        engine.run_watched(&x, &mut |_| ends.push(now()))?;
        let steps = engine.steps();
        let timed = |(i, step): (usize, &cpu::StepInfo)| Timed {
            name: step.name.clone(),
            kind: step.kind,
            algorithm: step.algorithm.map(cpu::Algorithm::name),
            milliseconds: (ends[i + 1] - ends[i]) as f32,
        };
        Ok(to_js(&steps.iter().enumerate().map(timed).collect::<Vec<_>>()))
    }

    /// How far each step is from exact on `cpu` or `webgpu`; `progress(done, steps)` is called after each.
    #[wasm_bindgen(js_name = selfTest, unchecked_return_type = "any")]
    pub async fn self_test(&mut self, backend: &str, progress: Function) -> Result<JsValue, JsValue> {
        let Model { graph, params, .. } = &self.model;
        let mut other; // Made for this when the network runs elsewhere.
        let engine = match &mut self.engine {
            Some(engine) if self.backend.as_ref().is_some_and(|b| b.name() == backend) => engine,
            _ => {
                other = Engine::new(graph, params, &backend_named(backend, &self.pool).await?).await?;
                &mut other
            }
        };
        let mut report = |i: usize, steps: usize| {
            // A listener that throws is no reason to stop.
            let _ = progress.call2(&JsValue::NULL, &JsValue::from(i as u32 + 1), &JsValue::from(steps as u32));
        };
        Ok(to_js(&self_test(graph, params, &self.pool, engine, &mut report).await?))
    }

    /// The network as a model file, in 32 bits or `int8`.
    #[wasm_bindgen(unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub fn save(&self, quantize: Option<String>) -> Result<JsValue, JsValue> {
        let weights = match quantize.as_deref() {
            None => Weights::F32,
            Some("int8") => Weights::Int8,
            Some(other) => return Err(Error::argument("quantize", "int8", other).into()),
        };
        Ok(bytes_to_js(&self.model.to_bytes(weights)?))
    }
}

impl Network {
    pub(super) fn of(model: Model, pool: Arc<cpu::Pool>) -> Self {
        Network { model, pool, backend: None, engine: None, resume: None }
    }

    fn backend_name(&self) -> &'static str {
        self.backend.as_ref().map_or("cpu", Backend::name)
    }

    /// New weights for the same network.
    pub(super) async fn update(&mut self, params: Params) -> Result<()> {
        self.model.params = params;
        if let Some(backend) = &self.backend {
            self.engine = None;
            self.engine = Some(Engine::new(&self.model.graph, &self.model.params, backend).await?);
        }
        Ok(())
    }

    async fn output(&mut self, x: Tensor) -> Result<Tensor> {
        match &mut self.engine {
            Some(engine) => engine.run(&x).await,
            None => Err(Error::argument("network", "a planned one", "none")),
        }
    }

    async fn answer(&mut self, x: Tensor, top: usize) -> Result<JsValue, JsValue> {
        let logits = self.output(x).await?;
        let answer = |(index, probability)| Answer { label: self.model.meta.label(index), index, probability };
        Ok(to_js(&top_k(&logits.data, top).into_iter().map(answer).collect::<Vec<_>>()))
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

/// Plain data as plain objects, by way of JSON: a second serialiser would weigh more than all of this module.
pub(super) fn to_js(value: &impl Serialize) -> JsValue {
    js_sys::JSON::parse(&to_json(value)).expect("JSON that was just written")
}

pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

fn tensor_to_js(tensor: &Tensor) -> JsValue {
    let result = Object::new();
    set(&result, "data", &Float32Array::from(&tensor.data[..]));
    set(&result, "shape", &tensor.shape.iter().map(|&d| JsValue::from(d as u32)).collect::<Array>());
    result.into()
}
