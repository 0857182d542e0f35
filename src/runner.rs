//! A network with an engine to run it, in as little memory as possible: weights are held once, by the engine, by the
//! network, or by the file they came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::cpu::{self, Algorithm, Footprint};
use crate::engine::{Backend, Engine};
use crate::error::{Error, Result};
use crate::format::{Container, Meta, Model, Source, weights};
use crate::graph::{Cost, Init, OutputKind, Params, Ranges};
use crate::json;
use crate::self_test::{LayerError, self_test};
use crate::tensor::{Tensor, dims};
use crate::train::transfer::{self, check_labels};
use crate::train::{Checkpoint, Config, Interrupted, check_memory};
use crate::vision::{Image, top_k};
use crate::zoo::{self, Options};

/// A network, its weights, and the engine that it was planned on. `F` is a file's bytes, wherever they are.
///
/// # Examples
/// ```
/// use convoke::cpu::Pool;
/// use convoke::engine::Backend;
/// use convoke::runner::ModelRunner;
/// use convoke::tensor::Tensor;
///
/// # pollster::block_on(async {
/// let pool = Pool::single();
/// let mut network = ModelRunner::<&[u8]>::create("lenet5", Some(3), 7, &pool, u64::MAX)?;
/// network.plan(Backend::Cpu(pool)).await?;
/// let logits = network.run(Tensor::zeros([1, 1, 32, 32])).await?;
/// assert_eq!(logits.shape, [1, 3]);
/// # Ok::<(), convoke::Error>(()) }).unwrap();
/// ```
pub struct ModelRunner<F> {
    /// The model without the weights that the engine holds in their place, or that are still in the file.
    model_without_weights: Model,
    /// The file that still holds weights.
    file: Option<F>,
    pool: Arc<cpu::Pool>,
    backend: Option<Backend>,
    engine: Option<Engine>,
    /// The interrupted run that the network was loaded from, until it is continued.
    pub interrupted: Option<Interrupted>,
    /// The seed of the weights, where they were drawn here.
    seed: Option<u32>,
}

/// A network as reports show it.
#[derive(Debug, Clone, Serialize)]
pub struct NetworkInfo {
    /// The network's name.
    pub name: String,
    /// `cpu` or `webgpu`.
    pub backend: &'static str,
    /// Names of the classes, or their numbers.
    pub labels: Vec<String>,
    /// The shape of one input, `[C, H, W]`.
    pub input: Vec<usize>,
    /// The meaning of the main output.
    pub output: OutputKind,
    /// The number of weights.
    pub parameters: u64,
    /// Multiply-accumulates for one sample.
    pub macs: u64,
    /// The layers with their shapes and costs.
    pub layers: Vec<Cost>,
    /// Says where the weights came from.
    pub provenance: BTreeMap<String, String>,
    /// The seed of the weights, where they were drawn here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// The configuration of the interrupted run that the network was loaded from.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::in_decimal")]
    pub interrupted: Option<Config>,
}

/// The time of one step of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerTime {
    /// The layer that the step begins with.
    pub name: String,
    /// The layer's kind.
    pub kind: &'static str,
    /// Computes the layer, where it has weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<&'static str>,
    /// Milliseconds.
    pub milliseconds: f32,
}

/// A likely class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The class's name, or its number.
    pub label: String,
    /// The class's number.
    pub index: usize,
    /// 0 to 1.
    pub probability: f32,
}

impl<F: Source + Clone> ModelRunner<F> {
    /// Loads a model file, a checkpoint, or a plain safetensors file of the weights of the network that `arch` names.
    /// Without `arch`, the network is found by the names and shapes of its tensors.
    /// Weights stay in the file where the engine needs most of them in another order.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a network that takes more than `memory` bytes, and the errors of [`Model::from_bytes`].
    pub fn load(source: F, arch: Option<&str>, pool: &Arc<cpu::Pool>, memory: u64) -> Result<Self> {
        let file = Container::read(&source)?;
        let named = arch.map(|arch| zoo::network(arch, Options::default())).transpose()?;
        if named.is_none()
            && let Some(Checkpoint { model, config }) = Checkpoint::of(&file)?
        {
            let mut checkpoint = vec![0; source.size()];
            source.read(0, &mut checkpoint);
            let interrupted = Some(Interrupted { checkpoint, config });
            return Ok(ModelRunner { interrupted, ..Self::of(model, pool.clone()) });
        }
        let (quantized, file) = (file.has_codes(), file.lazy());
        let model = match named {
            Some(graph) => Model::from_weights(&file, graph)?,
            None if file.is_model() => Model::of(&file)?,
            None => Model::from_weights(&file, weights::guess(&file)?)?,
        };
        let need = Footprint::of(&model.graph, quantized, model.params.ranges(), pool)?;
        let keeps_file = need.keeps_file();
        check_fits(model.graph.name(), &need, if keeps_file { need.peak_beside_file() } else { need.peak() }, memory)?;
        let mut runner = ModelRunner { file: Some(source.clone()), ..Self::of(model, pool.clone()) };
        if !keeps_file {
            runner.model_without_weights = runner.model()?;
            runner.file = None;
        }
        Ok(runner)
    }

    /// Creates the network of this name with fresh weights, and with its auxiliary heads if it has some: it is made to be
    /// trained. `classes` is the number of its outputs, where not its own.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`], [`Error::Argument`] for a number of classes that the network cannot have, and
    /// [`Error::TooLarge`] for a network that takes more than `memory` bytes.
    pub fn create(name: &str, classes: Option<usize>, seed: u32, pool: &Arc<cpu::Pool>, memory: u64) -> Result<Self> {
        let graph = zoo::network(name, Options { classes, auxiliary: true, width: None })?;
        let need = Footprint::of(&graph, false, &Ranges::default(), pool)?;
        check_fits(graph.name(), &need, need.peak(), memory)?;
        let params = Params::init(&graph, Init::of(&graph), seed);
        let provenance = BTreeMap::from([("seed".to_string(), seed.to_string())]);
        let model = Model { graph, params, meta: Meta { provenance, ..Meta::default() } };
        Ok(ModelRunner { seed: Some(seed), ..Self::of(model, pool.clone()) })
    }

    fn of(model: Model, pool: Arc<cpu::Pool>) -> Self {
        let (file, backend, engine, interrupted, seed) = (None, None, None, None, None);
        ModelRunner { model_without_weights: model, file, pool, backend, engine, interrupted, seed }
    }

    /// Copies the network, to be planned anew.
    ///
    /// # Errors
    /// The file's own errors.
    pub fn copy(&self) -> Result<Self> {
        let copy = self.with_model(self.without_loading()?);
        Ok(ModelRunner { interrupted: self.interrupted.clone(), seed: self.seed, ..copy })
    }

    /// The part of the network that ends in this layer, to be planned.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such layer.
    pub fn until(&self, layer: &str) -> Result<Self> {
        Ok(self.with_model(self.without_loading()?.until(layer)?))
    }

    /// The part of the network that ends in this layer, with a head behind it that is to be replaced: [`transfer::cut`].
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such layer.
    pub fn cut(&self, layer: &str) -> Result<Self> {
        Ok(Self::of(transfer::cut(&self.model()?, layer)?, self.pool.clone()))
    }

    /// The part of the network before its head, to be planned: [`transfer::body`].
    ///
    /// # Errors
    /// [`Error::Argument`] when the network has no head that can be replaced.
    pub fn body(&self) -> Result<Self> {
        Ok(Self::of(transfer::body(&self.model()?)?, self.pool.clone()))
    }

    /// A head with fresh weights for these classes, to be planned and trained: [`transfer::new_head`].
    ///
    /// # Errors
    /// [`Error::Argument`] for names that are no classes, and when the network has no head that can be replaced.
    pub fn new_head(&self, classes: Vec<String>, seed: u32) -> Result<Self> {
        let head = Self::of(transfer::new_head(&self.model()?, classes, seed)?, self.pool.clone());
        Ok(ModelRunner { seed: Some(seed), ..head })
    }

    /// The network with this head in place of its own, to be planned: [`transfer::with_head`].
    ///
    /// # Errors
    /// [`Error::Weights`] when the head was made for another network.
    pub fn with_head(&self, head: &Self) -> Result<Self> {
        Ok(Self::of(transfer::with_head(&self.model()?, &head.model()?)?, self.pool.clone()))
    }

    /// Sets the names of the classes.
    ///
    /// # Errors
    /// [`Error::Argument`] for another number of names than the network has classes, and for names that are empty or equal.
    pub fn set_labels(&mut self, labels: Vec<String>) -> Result<()> {
        check_labels(&labels)?;
        let classes = self.graph().classes();
        if labels.len() != classes {
            return Err(Error::argument("classes", format!("{classes} names"), labels.len()));
        }
        self.model_without_weights.meta.labels = labels;
        Ok(())
    }

    /// Prepares the network to run on `backend`.
    ///
    /// # Errors
    /// The backend's and the file's own errors.
    pub async fn plan(&mut self, backend: Backend) -> Result<()> {
        // The memory of the present engine is freed before the new one takes its own.
        if let Some(engine) = self.engine.take()
            && self.file.is_none()
        {
            engine.give_back(&mut self.model_without_weights.params);
        }
        self.engine = Some(self.planned(&backend).await?);
        self.backend = Some(backend);
        Ok(())
    }

    /// The network's description.
    pub fn graph(&self) -> &crate::graph::Graph {
        &self.model_without_weights.graph
    }

    /// The metadata of the network's file.
    pub fn meta(&self) -> &Meta {
        &self.model_without_weights.meta
    }

    /// The metadata of the network's file, to be changed.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.model_without_weights.meta
    }

    /// The threads of the CPU engine.
    pub fn pool(&self) -> &Arc<cpu::Pool> {
        &self.pool
    }

    /// `cpu` or `webgpu`; `cpu` before the network is planned.
    pub fn backend_name(&self) -> &'static str {
        self.backend.as_ref().map_or("cpu", Backend::name)
    }

    /// Bytes that the network keeps on the GPU.
    pub fn device_bytes(&self) -> usize {
        self.engine.as_ref().map_or(0, Engine::device_bytes)
    }

    /// Describes the network.
    pub fn info(&self) -> NetworkInfo {
        let Model { graph, meta, .. } = &self.model_without_weights;
        let layers = graph.costs();
        NetworkInfo {
            name: graph.name().into(),
            backend: self.backend_name(),
            labels: (0..graph.classes()).map(|class| meta.label(class)).collect(),
            input: graph.input().dims().to_vec(),
            output: graph.output_kind(),
            parameters: layers.iter().map(|l| l.parameters).sum(),
            macs: layers.iter().map(|l| l.macs).sum(),
            layers,
            provenance: meta.provenance.clone(),
            seed: self.seed,
            interrupted: self.interrupted.as_ref().map(|run| run.config.clone()),
        }
    }

    /// The main output for a batch `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a batch of another shape, [`Error::Argument`] before the network is planned, and the backend's
    /// own errors.
    pub async fn run(&mut self, x: Tensor) -> Result<Tensor> {
        match &mut self.engine {
            Some(engine) => engine.run(&x).await,
            None => Err(Error::argument("network", "a planned one", "none")),
        }
    }

    /// The `top` likeliest classes of one input `[1, C, H, W]`, likeliest first.
    ///
    /// # Errors
    /// [`Error::Argument`] for a batch of several, and the errors of [`ModelRunner::run`].
    pub async fn classify(&mut self, x: Tensor, top: usize) -> Result<Vec<Answer>> {
        if x.shape.first() != Some(&1) {
            return Err(Error::argument("image", "a batch of one", dims(&x.shape)));
        }
        let output = self.run(x).await?;
        let kind = self.graph().output_kind();
        let label = |index| self.meta().label(index);
        let answer = |(index, probability)| Answer { label: label(index), index, probability };
        Ok(top_k(&output.data, kind, top).into_iter().map(answer).collect())
    }

    /// The input `[1, C, H, W]` that an image becomes.
    ///
    /// # Errors
    /// The errors of [`crate::vision::Preprocess::batch`].
    pub fn input_of(&self, image: &Image) -> Result<Tensor> {
        self.model_without_weights.preprocess()?.batch([image])
    }

    /// One of the network's weights.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is none of this name, and the file's own errors.
    pub fn weight(&self, name: &str) -> Result<Tensor> {
        let Model { graph, params, .. } = self.model()?;
        if !graph.params().iter().any(|(own, _)| own == name) {
            return Err(Error::argument("weights", format_args!("names of `{}`'s", graph.name()), name));
        }
        Ok(Tensor::clone(&params.tensor(name)))
    }

    /// The time of each step on the CPU for a batch `[N, C, H, W]`; `now` reads a clock in milliseconds.
    ///
    /// # Errors
    /// [`Error::Argument`] on another backend, [`Error::Shape`] for a batch of another shape.
    pub fn profile(&mut self, x: &Tensor, now: impl Fn() -> f64) -> Result<Vec<LayerTime>> {
        let backend = self.backend_name();
        let Some(Engine::Cpu(engine)) = &mut self.engine else {
            return Err(Error::argument("backend", "cpu, whose steps can be timed", backend));
        };
        let mut ends = vec![now()];
        engine.run_watched(x, &mut |_| ends.push(now()))?;
        let timed = |(i, step): (usize, cpu::StepInfo)| LayerTime {
            name: step.name,
            kind: step.kind,
            algorithm: step.algorithm.map(Algorithm::name),
            milliseconds: (ends[i + 1] - ends[i]) as f32,
        };
        Ok(engine.steps().into_iter().enumerate().map(timed).collect())
    }

    /// Compares each step on `backend` with exact sums, as [`self_test`] does; `done(i, steps)` is called after step `i`.
    ///
    /// # Errors
    /// The backend's own errors.
    pub async fn self_test(
        &mut self,
        backend: &Backend,
        done: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<LayerError>> {
        let Model { graph, params, .. } = &self.model()?;
        let mut other; // Made for this test when the network runs elsewhere.
        let engine = match &mut self.engine {
            Some(engine) if self.backend.as_ref().is_some_and(|b| b.name() == backend.name()) => engine,
            _ => {
                other = Engine::new(graph, params, backend).await?;
                &mut other
            }
        };
        self_test(graph, params, &self.pool, engine, done).await
    }

    /// The network with all its weights.
    ///
    /// # Errors
    /// The file's own errors, and [`Error::NotFinite`].
    pub fn model(&self) -> Result<Model> {
        let mut model = self.model_without_weights.clone();
        if let Some(file) = &self.file {
            let file = Container::read(file)?;
            model.params = model.params.read(&|name| file.param(name))?;
        } else if let Some(engine) = &self.engine {
            engine.give_back(&mut model.params);
        }
        Ok(model)
    }

    /// Gives the network other weights.
    ///
    /// # Errors
    /// The backend's own errors. The network then has the weights and waits to be planned.
    pub async fn update(&mut self, params: Params) -> Result<()> {
        self.model_without_weights.params = params;
        self.file = None;
        if let Some(backend) = self.backend.clone() {
            self.engine = None;
            self.engine = Some(self.planned(&backend).await?);
        }
        Ok(())
    }

    /// The network, whose weights stay in the file if they are there.
    fn without_loading(&self) -> Result<Model> {
        if self.file.is_some() { Ok(self.model_without_weights.clone()) } else { self.model() }
    }

    /// Wraps a model that was made from [`ModelRunner::without_loading`].
    fn with_model(&self, model: Model) -> Self {
        ModelRunner { file: self.file.clone(), ..Self::of(model, self.pool.clone()) }
    }

    /// Makes an engine for the network's weights.
    async fn planned(&mut self, backend: &Backend) -> Result<Engine> {
        let Model { graph, params, .. } = &mut self.model_without_weights;
        match &self.file {
            None => Engine::borrowing(graph, params, backend, &|name| unreachable!("`{name}` is in no file")).await,
            Some(file) => {
                let file = Container::read(file)?;
                Engine::borrowing(graph, &mut params.clone(), backend, &|name| file.param(name)).await
            }
        }
    }
}

/// Refuses a network that takes more than `memory` bytes, `peak` at once.
fn check_fits(name: &str, need: &Footprint, peak: u64, memory: u64) -> Result<()> {
    let Footprint { weights, transformed, activations, packing, .. } = need;
    let parts = format!("weights {weights}, transformed {transformed}, activations {activations}, packing {packing}");
    check_memory(name, &parts, peak, memory)
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::format::WeightFormat;

    fn logits(runner: &mut ModelRunner<&[u8]>) -> Vec<f32> {
        let x = Tensor::new(runner.graph().input().batched(1), vec![0.25; runner.graph().input().elements()]).unwrap();
        block_on(runner.run(x)).unwrap().data
    }

    #[test]
    fn copies_files_and_updates_answer_alike() {
        let pool = cpu::Pool::single();
        for name in ["lenet5", "resnet20"] {
            let mut made = ModelRunner::<&[u8]>::create(name, None, 5, &pool, u64::MAX).unwrap();
            block_on(made.plan(Backend::Cpu(pool.clone()))).unwrap();
            let want = logits(&mut made);
            let bytes = made.model().unwrap().to_bytes(WeightFormat::F32).unwrap();
            let mut loaded = ModelRunner::load(&bytes[..], None, &pool, u64::MAX).unwrap();
            assert_eq!(loaded.info().provenance["seed"], "5");
            block_on(loaded.plan(Backend::Cpu(pool.clone()))).unwrap();
            assert_eq!(logits(&mut loaded), want, "{name}");
            let mut copy = loaded.copy().unwrap();
            block_on(copy.plan(Backend::Cpu(pool.clone()))).unwrap();
            assert_eq!(logits(&mut copy), want, "{name}");
            block_on(copy.update(made.model().unwrap().params)).unwrap();
            assert_eq!(logits(&mut copy), want, "{name}");
            assert!(copy.model().unwrap().params == made.model().unwrap().params);
        }
    }

    #[test]
    fn memory_is_asked_for_first() {
        let pool = cpu::Pool::single();
        let error = ModelRunner::<&[u8]>::create("lenet5", None, 5, &pool, 1000).err().unwrap();
        assert!(error.code() == "too-large" && error.to_string().contains("weights"), "{error}");
        let bytes = ModelRunner::<&[u8]>::create("lenet5", None, 5, &pool, u64::MAX).unwrap().model().unwrap();
        let bytes = bytes.to_bytes(WeightFormat::F32).unwrap();
        assert_eq!(ModelRunner::load(&bytes[..], None, &pool, 1000).err().unwrap().code(), "too-large");
    }

    #[test]
    fn a_wrong_call_says_what_is_missing() {
        let pool = cpu::Pool::single();
        let mut runner = ModelRunner::<&[u8]>::create("lenet5", None, 5, &pool, u64::MAX).unwrap();
        let x = || Tensor::zeros([2, 1, 32, 32]);
        assert!(block_on(runner.run(x())).unwrap_err().to_string().contains("planned"));
        assert!(block_on(runner.classify(x(), 1)).unwrap_err().to_string().contains("a batch of one"));
        assert!(runner.profile(&x(), || 0.0).is_err());
        assert!(runner.weight("conv9.weight").unwrap_err().to_string().contains("lenet5"));
        assert!(runner.set_labels(vec!["a".into(), "b".into()]).unwrap_err().to_string().contains("10 names"));
    }
}
