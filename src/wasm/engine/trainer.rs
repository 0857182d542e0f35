//! A training run.

use std::sync::Arc;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::Network;
use super::network::{Resume, backend_named, check_room, room, to_js, to_json};
use crate::cpu::{Pool, TrainingFootprint};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::format::Meta;
use crate::graph::{Graph, Params};
use crate::json;
use crate::tensor::dims;
use crate::train::{Config, Dataset, Report, Trainer as Run};
use crate::vision::{Channels, Preprocess};
use crate::wasm::bytes_to_js;

/// Trains a network's weights; the run begins when the data comes.
#[wasm_bindgen]
pub struct Trainer {
    graph: Graph,
    backend: Backend,
    config: Config,
    data: Option<Arc<Dataset>>,
    validation: Option<Dataset>,
    /// How `classify` must prepare images for the network that learns from this data.
    preprocess: Option<Preprocess>,
    run: Option<Run>,
    /// The checkpoint of an interrupted run, until it is continued.
    resume: Option<Vec<u8>>,
    /// The first epoch that is not wanted any more.
    end: u32,
    /// Weights that were better than those after them.
    best: Option<Params>,
    /// The threads that it has on the CPU.
    pool: Arc<Pool>,
}

/// A step, as `engine.ts` reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    step: u64,
    epoch: u32,
    loss: f32,
    accuracy: f32,
    learning_rate: f32,
    samples: usize,
    epoch_done: bool,
}

/// Options are refused when misspelt: a missing momentum must not go unseen.
fn wrong_options(e: serde_json::Error) -> Error {
    Error::argument("options", "those of TrainerOptions", e)
}

type Fields = serde_json::Map<String, serde_json::Value>;

fn fields(json: &str) -> Result<Fields> {
    json::parse(json).map_err(wrong_options)
}

/// `config` with the fields that `changes` names.
fn over(config: &Config, changes: &str) -> Result<Config> {
    let mut all = fields(&to_json(config))?;
    all.extend(fields(changes)?);
    serde_json::from_value(all.into()).map_err(wrong_options)
}

/// An interrupted run goes on as it began: only what may change from step to step can be given anew.
fn check_goes_on(was: &Config, is: &Config) -> Result<()> {
    let (was, is) = (fields(&to_json(was))?, fields(&to_json(is))?);
    let steered = ["learningRate", "batchSize", "recompute"];
    match was.iter().find(|(name, value)| !steered.contains(&name.as_str()) && is[*name] != **value) {
        Some((name, value)) => {
            Err(Error::argument(name, format_args!("that of the interrupted run, {value}"), &is[name]))
        }
        None => Ok(()),
    }
}

#[wasm_bindgen]
impl Trainer {
    /// A trainer for this network, with the options of `train::Config` as JSON.
    pub async fn start(network: &Network, config: String, backend: String) -> Result<Trainer, JsValue> {
        // What the options do not say is as it was in the interrupted run, if there is one.
        let config = match &network.resume {
            Some(Resume { config: was, .. }) => {
                let is = over(was, &config)?;
                check_goes_on(was, &is)?;
                is
            }
            None => over(&Config::default(), &config)?,
        };
        config.validate()?;
        let backend = backend_named(&backend, &network.pool).await?;
        Ok(Trainer {
            graph: network.lent.graph.clone(),
            best: None,
            pool: network.pool.clone(),
            backend,
            config,
            data: None,
            validation: None,
            preprocess: None,
            run: None,
            resume: network.resume.as_ref().map(|r| r.checkpoint.clone()),
            end: 0,
        })
    }

    /// Bytes that a step takes: on the CPU, and about as many on a GPU.
    #[wasm_bindgen(getter, unchecked_return_type = "any")]
    pub fn memory(&self) -> Result<JsValue, JsValue> {
        let need = self.need()?;
        let recompute = self.run.as_ref().map_or(need.recompute, Run::recomputes);
        Ok(to_js(&TrainingFootprint { recompute, ..need }))
    }

    /// Remembers the present weights.
    pub async fn keep(&mut self) -> Result<(), JsValue> {
        self.best = Some(self.running()?.params().await?);
        Ok(())
    }

    /// Gives the network the remembered weights, from which the next run begins.
    pub async fn revert(&mut self, network: &mut Network) -> Result<(), JsValue> {
        if let Some(best) = self.best.take() {
            self.run = None;
            network.update(best).await?;
        }
        Ok(())
    }

    /// The step size before the schedule.
    #[wasm_bindgen(getter, js_name = learningRate)]
    pub fn learning_rate(&self) -> f32 {
        self.config.learning_rate
    }

    /// The first epoch that is not wanted any more.
    #[wasm_bindgen(getter)]
    pub fn end(&self) -> u32 {
        self.end
    }

    /// Samples in a step.
    #[wasm_bindgen(getter, js_name = batchSize)]
    pub fn batch_size(&self) -> usize {
        self.config.batch_size
    }

    /// Bytes that it keeps on the GPU.
    #[wasm_bindgen(js_name = deviceBytes)]
    pub fn device_bytes(&self) -> usize {
        self.run.as_ref().map_or(0, Run::device_bytes)
    }

    /// What `train` or `validation` learns from: bytes, which are padded to the network's input and normalised.
    #[wasm_bindgen(js_name = setBytes)]
    pub fn set_bytes(
        &mut self,
        role: &str,
        images: Vec<u8>,
        labels: Vec<u32>,
        shape: Vec<usize>,
        mean: Vec<f32>,
        std: Vec<f32>,
    ) -> Result<(), JsValue> {
        let stored = sample_shape(&shape)?;
        let preprocess = preprocess(stored, self.graph.input().dims(), mean, std)?;
        let data = Dataset::from_bytes(role, stored, images, labels, self.classes(), &preprocess)?;
        self.set(role, data, Some(preprocess));
        Ok(())
    }

    /// The same from floats, which are taken as they are.
    #[wasm_bindgen(js_name = setFloats)]
    pub fn set_floats(
        &mut self,
        role: &str,
        images: Vec<f32>,
        labels: Vec<u32>,
        shape: Vec<usize>,
        normalised: bool,
    ) -> Result<(), JsValue> {
        if normalised {
            return Err(Error::argument("mean and std", "none for images of floats", "some").into());
        }
        let data = Dataset::from_floats(role, sample_shape(&shape)?, images, labels, self.classes())?;
        self.set(role, data, None);
        Ok(())
    }

    /// Begins a run of `epochs` with the data that was set, or prolongs the present one if it has the same data. An
    /// interrupted one goes on to its `epochs`: they count from its beginning.
    pub async fn begin(&mut self, network: &mut Network, epochs: u32) -> Result<(), JsValue> {
        let data = self.data.clone().ok_or_else(|| Error::EmptyDataset { name: "train".into() })?;
        let need = self.need()?;
        if let Backend::Cpu(_) = self.backend {
            let TrainingFootprint { weights, gradients, optimizer, activations, .. } = need;
            let parts =
                format!("weights {weights}, gradients {gradients}, optimizer {optimizer}, activations {activations}");
            check_room("a training step", &parts, need.total())?;
        }
        let done = match &self.run {
            Some(run) if run.data() == &data => run.epoch(),
            _ => {
                self.run = Some(self.new_run(network, data, epochs).await?);
                0
            }
        };
        let run = self.running()?;
        run.set_recompute(need.recompute);
        run.prepare().await?;
        network.resume = None;
        self.end = done.saturating_add(epochs);
        if let Some(preprocess) = &self.preprocess {
            network.lent.meta.preprocess = Some(preprocess.clone());
        }
        Ok(())
    }

    /// One step, or nothing when the run is over.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub async fn step(&mut self, learning_rate: f32, batch_size: usize) -> Result<JsValue, JsValue> {
        self.config.learning_rate = learning_rate;
        self.config.batch_size = batch_size;
        let end = self.end;
        let run = self.running()?;
        if run.epoch() >= end {
            return Ok(JsValue::UNDEFINED);
        }
        run.set_learning_rate(learning_rate)?;
        run.set_batch_size(batch_size)?;
        let Report { step, epoch, loss, accuracy, learning_rate, samples } = run.step().await?;
        let epoch_done = run.epoch() > epoch;
        Ok(to_js(&Step { step, epoch: epoch + 1, loss, accuracy, learning_rate, samples, epoch_done }))
    }

    /// Loss and top-1 on the validation data.
    #[wasm_bindgen(unchecked_return_type = "{ loss: number, top1: number }")]
    pub async fn evaluate(&self) -> Result<JsValue, JsValue> {
        match (&self.run, &self.validation) {
            (Some(run), Some(data)) => Ok(to_js(&run.evaluate(data).await?)),
            _ => Err(Error::EmptyDataset { name: "validation".into() }.into()),
        }
    }

    /// Gives the network the present weights.
    pub async fn update(&self, network: &mut Network) -> Result<(), JsValue> {
        if let Some(run) = &self.run {
            network.update(run.params().await?).await?;
        }
        Ok(())
    }

    /// Everything to go on from here; `network` says what the file says beside weights.
    #[wasm_bindgen(unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub async fn checkpoint(&mut self, network: &Network) -> Result<JsValue, JsValue> {
        let meta: Meta = network.lent.meta.clone();
        Ok(bytes_to_js(&self.running()?.checkpoint_with(&meta).await?))
    }
}

impl Trainer {
    /// What a step takes, with all that the CPU can have.
    fn need(&self) -> Result<TrainingFootprint> {
        let limit = if let Backend::Cpu(_) = self.backend { room() } else { u64::MAX };
        let samples = self.data.as_ref().map_or(usize::MAX, |data| data.len());
        let config = Config { batch_size: self.config.batch_size.min(samples), ..self.config.clone() };
        config.footprint(limit, &self.graph, &self.pool)
    }

    fn classes(&self) -> usize {
        self.config.loss.classes(self.graph.classes())
    }

    fn set(&mut self, role: &str, data: Dataset, preprocess: Option<Preprocess>) {
        if role == "validation" {
            self.validation = Some(data);
        } else {
            self.data = Some(Arc::new(data));
            self.preprocess = preprocess;
        }
    }

    /// The interrupted run, if there is one, else a new one from the present weights.
    async fn new_run(&mut self, network: &Network, data: Arc<Dataset>, epochs: u32) -> Result<Run> {
        if let Some(checkpoint) = &self.resume {
            let run = Run::resume(checkpoint, data, &self.backend).await?;
            self.resume = None;
            return Ok(run);
        }
        self.config.epochs = epochs;
        let params = match &self.run {
            Some(run) => run.params().await?,
            None => network.model()?.params,
        };
        Run::new(&self.graph, &params, data, self.config.clone(), &self.backend).await
    }

    fn running(&mut self) -> Result<&mut Run> {
        self.run.as_mut().ok_or_else(|| Error::argument("trainer", "`fit` first", "no data"))
    }
}

/// `[C, H, W]` of `[N, C, H, W]`.
fn sample_shape(shape: &[usize]) -> Result<[usize; 3]> {
    match *shape {
        [_, c, h, w] => Ok([c, h, w]),
        _ => {
            let (expected, actual) = ("NxCxHxW".into(), dims(shape));
            Err(Error::Shape { tensor: "images".into(), expected, actual })
        }
    }
}

/// Images of `stored` in the middle of an input that is larger by the same even number on both sides.
fn preprocess(stored: [usize; 3], input: &[usize], mean: Vec<f32>, std: Vec<f32>) -> Result<Preprocess> {
    let [c, h, w] = stored;
    let channels = match c {
        1 => Channels::Gray,
        3 => Channels::Rgb,
        _ => return Err(Error::argument("shape", "1 or 3 channels for images of bytes", c)),
    };
    let pad = match *input {
        [_, ih, iw] if ih > h && ih - h == iw.wrapping_sub(w) && (ih - h) % 2 == 0 => (ih - h) / 2,
        _ => 0,
    };
    Ok(Preprocess { channels, size: Some([h, w]), pad, mean, std, ..Preprocess::default() })
}
