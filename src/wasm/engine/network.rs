//! A network with an engine to run it.

use std::cell::OnceCell;
use std::sync::Arc;

use js_sys::{Array, Float32Array, Function, Object, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::{Pool, memory};
use crate::cpu;
use crate::engine::{Backend, Engine};
use crate::error::{Error, Result};
use crate::format::{Container, Meta, Model, Source, Weights};
#[cfg(feature = "gpu")]
use crate::gpu;
use crate::graph::{Cost, Init, Params, Ranges};
use crate::self_test::self_test;
use crate::tensor::{Tensor, dims};
use crate::train::transfer::check_labels;
use crate::train::{Checkpoint, Config};
use crate::vision::{Image, top_k};
use crate::wasm::bytes_to_js;
use crate::wasm::error::set;
use crate::zoo::{self, Options};

/// A network, its weights, and the engine it was planned on.
#[wasm_bindgen]
pub struct Network {
    /// Without the weights that the engine has in their place, or that are in the file.
    pub(super) lent: Model,
    /// Where its weights still are.
    file: Option<File>,
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
    /// The model in these bytes. `sha256`, in hexadecimal, is that of the tensors' bytes, where the browser hashes.
    pub fn load(
        bytes: Uint8Array,
        sha256: Option<String>,
        arch: Option<String>,
        pool: &Pool,
    ) -> Result<Network, JsValue> {
        let source = File { bytes, sha256: sha256.map_or_else(OnceCell::new, OnceCell::from) };
        let file = Container::read(&source)?;
        let named = arch.map(|arch| zoo::network(&arch, Options::default())).transpose()?;
        if named.is_none()
            && let Some(Checkpoint { model, config }) = Checkpoint::of(&file)?
        {
            let resume = Some(Resume { checkpoint: source.bytes.to_vec(), config });
            return Ok(Network { resume, ..Network::of(model, pool.inner.clone()) });
        }
        let (codes, file) = (file.has_codes(), file.lazy());
        let model = match named {
            Some(graph) => Model::from_weights(&file, graph)?,
            None => Model::of(&file)?,
        };
        let need = cpu::Footprint::of(&model.graph, codes, model.params.ranges(), &pool.inner)?;
        let keeps = need.keeps_file();
        check_memory(model.graph.name(), &need, if keeps { need.peak_beside_file() } else { need.peak() })?;
        let mut network = Network { file: Some(source), ..Network::of(model, pool.inner.clone()) };
        if !keeps {
            network.lent = network.model()?;
            network.file = None;
        }
        Ok(network)
    }

    /// The network of this name with fresh weights, and with its auxiliary heads if it has some: it is made to be trained.
    pub fn create(name: &str, classes: Option<usize>, seed: u32, pool: &Pool) -> Result<Network, JsValue> {
        let graph = zoo::network(name, Options { classes, auxiliary: true, width: None })?;
        let need = cpu::Footprint::of(&graph, false, &Ranges::default(), &pool.inner)?;
        check_memory(graph.name(), &need, need.peak())?;
        let params = Params::init(&graph, Init::of(&graph), seed);
        Ok(Network::of(Model { graph, params, meta: Meta::default() }, pool.inner.clone()))
    }

    /// Names the classes.
    pub fn label(&mut self, labels: Vec<String>) -> Result<(), JsValue> {
        check_labels(&labels)?;
        let classes = self.lent.graph.classes();
        if labels.len() != classes {
            return Err(Error::argument("classes", format!("{classes} names"), labels.len()).into());
        }
        self.lent.meta.labels = labels;
        Ok(())
    }

    /// The same network and weights, to be planned anew.
    pub fn copy(&self) -> Result<Network, JsValue> {
        Ok(Network { resume: self.resume.clone(), ..self.derived(self.unread()?) })
    }

    /// Prepares the network to run on `cpu` or `webgpu`.
    pub async fn plan(&mut self, backend: &str) -> Result<(), JsValue> {
        let backend = backend_named(backend, &self.pool).await?;
        // Its memory goes before the new engine's comes.
        if let Some(engine) = self.engine.take()
            && self.file.is_none()
        {
            engine.give_back(&mut self.lent.params);
        }
        self.engine = Some(self.planned(&backend).await?);
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
        let Model { graph, meta, .. } = &self.lent;
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
        let x = self.lent.preprocess()?.batch([&image])?;
        self.answer(x, top).await
    }

    /// The input `{ data, shape }` that an image of RGBA bytes becomes.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub fn tensor(&self, rgba: Vec<u8>, width: usize, height: usize) -> Result<JsValue, JsValue> {
        let image = Image::rgba(width, height, rgba)?;
        Ok(tensor_to_js(&self.lent.preprocess()?.batch([&image])?))
    }

    /// The part of the network that ends in this layer, to be planned.
    pub fn until(&self, layer: &str) -> Result<Network, JsValue> {
        Ok(self.derived(self.unread()?.until(layer)?))
    }

    /// One of the network's weights.
    #[wasm_bindgen(unchecked_return_type = "{ data: Float32Array<ArrayBuffer>, shape: number[] }")]
    pub fn weight(&self, name: &str) -> Result<JsValue, JsValue> {
        let Model { graph, params, .. } = self.model()?;
        if !graph.params().iter().any(|(own, _)| own == name) {
            return Err(Error::argument("weights", format_args!("names of `{}`'s", graph.name()), name).into());
        }
        Ok(tensor_to_js(&params.tensor(name)))
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
        let Model { graph, params, .. } = &self.model()?;
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
        Ok(bytes_to_js(&self.model()?.to_bytes(weights)?))
    }
}

impl Network {
    pub(super) fn of(model: Model, pool: Arc<cpu::Pool>) -> Self {
        Network { lent: model, file: None, pool, backend: None, engine: None, resume: None }
    }

    /// The network with all its weights.
    pub(super) fn model(&self) -> Result<Model> {
        let mut model = self.lent.clone();
        if let Some(file) = &self.file {
            let file = Container::read(file)?;
            model.params = model.params.read(&|name| file.param(name))?;
        } else if let Some(engine) = &self.engine {
            engine.give_back(&mut model.params);
        }
        Ok(model)
    }

    /// The same, where weights that are in the file stay there.
    fn unread(&self) -> Result<Model> {
        if self.file.is_some() { Ok(self.lent.clone()) } else { self.model() }
    }

    /// What [`Network::unread`] was made into.
    fn derived(&self, model: Model) -> Network {
        Network { file: self.file.clone(), ..Network::of(model, self.pool.clone()) }
    }

    /// An engine for its weights.
    async fn planned(&mut self, backend: &Backend) -> Result<Engine> {
        let Model { graph, params, .. } = &mut self.lent;
        match &self.file {
            None => Engine::borrowing(graph, params, backend, &|name| unreachable!("`{name}` is in no file")).await,
            Some(file) => {
                let file = Container::read(file)?;
                Engine::borrowing(graph, &mut params.clone(), backend, &|name| file.param(name)).await
            }
        }
    }

    fn backend_name(&self) -> &'static str {
        self.backend.as_ref().map_or("cpu", Backend::name)
    }

    /// New weights for the same network.
    pub(super) async fn update(&mut self, params: Params) -> Result<()> {
        self.lent.params = params;
        self.file = None;
        if let Some(backend) = self.backend.clone() {
            self.engine = None;
            self.engine = Some(self.planned(&backend).await?);
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
        let answer = |(index, probability)| Answer { label: self.lent.meta.label(index), index, probability };
        Ok(to_js(&top_k(&logits.data, top).into_iter().map(answer).collect::<Vec<_>>()))
    }
}

/// A file in JavaScript's memory.
#[derive(Clone)]
struct File {
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

/// Refuses a network that needs more than is left of the 4 GiB that a page can have.
fn check_memory(name: &str, need: &cpu::Footprint, peak: u64) -> Result<()> {
    let cpu::Footprint { weights, transformed, activations, packing, .. } = need;
    let parts = format!("weights {weights}, transformed {transformed}, activations {activations}, packing {packing}");
    check_room(name, &parts, peak)
}

/// Bytes that can still be taken.
pub(super) fn room() -> u64 {
    u64::from(u32::MAX) - memory::live() as u64
}

/// Refuses what needs more.
pub(super) fn check_room(name: &str, parts: &str, actual: u64) -> Result<()> {
    let limit = room();
    if actual <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what: format!("bytes of memory for `{name}` ({parts})"), actual, limit })
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
