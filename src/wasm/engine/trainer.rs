//! A trainer of a network's weights.

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::network::backend_named;
use super::{Network, memory};
use crate::error::Error;
use crate::json::in_decimal;
use crate::train::{Images, Report, Role, RunStep, Session};
use crate::wasm::values::{bytes_to_js, from_js, to_js};

/// Trains a network's weights; a run begins when the data comes.
#[wasm_bindgen]
pub struct Trainer {
    session: Session,
}

/// A step as the package reads it: [`Report`] with epochs counted from 1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepReport {
    step: u64,
    epoch: u32,
    #[serde(serialize_with = "in_decimal")]
    loss: f32,
    #[serde(serialize_with = "in_decimal")]
    accuracy: f32,
    #[serde(serialize_with = "in_decimal")]
    learning_rate: f32,
    samples: usize,
    epoch_done: bool,
}

impl From<RunStep> for StepReport {
    fn from(RunStep { report, epoch_done }: RunStep) -> Self {
        let Report { step, epoch, loss, accuracy, learning_rate, samples } = report;
        StepReport { step, epoch: epoch + 1, loss, accuracy, learning_rate, samples, epoch_done }
    }
}

#[wasm_bindgen]
impl Trainer {
    /// Makes a trainer of this network with these options of [`crate::train::Config`].
    pub async fn start(
        network: &Network,
        #[wasm_bindgen(unchecked_param_type = "object")] options: JsValue,
        backend: String,
    ) -> Result<Trainer, JsValue> {
        let runner = &network.runner;
        let backend = backend_named(&backend, runner.pool()).await?;
        let options = from_js("options", options)?;
        let (graph, pool) = (runner.graph().clone(), runner.pool().clone());
        Ok(Trainer { session: Session::new(graph, &options, runner.interrupted.as_ref(), backend, pool)? })
    }

    /// Bytes that a step takes on the CPU; a step on a GPU takes about as much.
    #[wasm_bindgen(getter, unchecked_return_type = "any")]
    pub fn memory(&self) -> Result<JsValue, JsValue> {
        Ok(to_js(&self.session.footprint(memory::available())?))
    }

    /// The step size before the schedule.
    #[wasm_bindgen(getter, js_name = learningRate)]
    pub fn learning_rate(&self) -> f32 {
        self.session.config().learning_rate
    }

    /// Samples in a step.
    #[wasm_bindgen(getter, js_name = batchSize)]
    pub fn batch_size(&self) -> usize {
        self.session.config().batch_size
    }

    /// The seed that decides order, augmentation and dropout.
    #[wasm_bindgen(getter)]
    pub fn seed(&self) -> u32 {
        self.session.config().seed
    }

    /// The number of epochs that the run has when it is over.
    #[wasm_bindgen(getter)]
    pub fn end(&self) -> u32 {
        self.session.end()
    }

    /// Bytes that the trainer keeps on the GPU.
    #[wasm_bindgen(js_name = deviceBytes)]
    pub fn device_bytes(&self) -> usize {
        self.session.device_bytes()
    }

    /// Sets the data of `train` or `validation`: bytes, which are padded to the network's input and normalized. Training
    /// data comes first.
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
        Ok(self.session.set_data(role_named(role)?, Images::Bytes { pixels: images, mean, std }, labels, &shape)?)
    }

    /// Sets the data of `train` or `validation`: floats, which are taken as they are. Training data comes first.
    #[wasm_bindgen(js_name = setFloats)]
    pub fn set_floats(
        &mut self,
        role: &str,
        images: Vec<f32>,
        labels: Vec<u32>,
        shape: Vec<usize>,
    ) -> Result<(), JsValue> {
        Ok(self.session.set_data(role_named(role)?, Images::Floats(images), labels, &shape)?)
    }

    /// Begins a run of `epochs` with the data that was set, or extends the present one if it has equal data. An interrupted
    /// run is continued: `epochs` count from its beginning. `patience` is the number of epochs without a lower validation
    /// loss after which the run ends.
    pub async fn begin(&mut self, network: &mut Network, epochs: u32, patience: Option<u32>) -> Result<(), JsValue> {
        let params = || Ok(network.runner.model()?.params);
        self.session.begin(params, epochs, patience, memory::available()).await?;
        network.runner.interrupted = None;
        if let Some(preprocess) = self.session.preprocess() {
            network.runner.meta_mut().preprocess = Some(preprocess.clone());
        }
        Ok(())
    }

    /// Takes one step; returns nothing when the run is over.
    #[wasm_bindgen(unchecked_return_type = "any")]
    pub async fn step(&mut self, learning_rate: f32, batch_size: usize) -> Result<JsValue, JsValue> {
        let step = self.session.step(learning_rate, batch_size).await?;
        Ok(step.map_or(JsValue::UNDEFINED, |step| to_js(&StepReport::from(step))))
    }

    /// Evaluates the validation data after the last step of an epoch; returns nothing where there is none.
    #[wasm_bindgen(js_name = endEpoch, unchecked_return_type = "any")]
    pub async fn end_epoch(&mut self) -> Result<JsValue, JsValue> {
        Ok(self.session.end_epoch().await?.map_or(JsValue::UNDEFINED, |evaluation| to_js(&evaluation)))
    }

    /// Gives the network the latest weights.
    pub async fn update(&self, network: &mut Network) -> Result<(), JsValue> {
        if let Some(params) = self.session.params().await? {
            network.runner.update(params).await?;
        }
        Ok(())
    }

    /// Gives the network the weights of the best epoch, where the run had patience; the next run begins from them.
    #[wasm_bindgen(js_name = restoreBest)]
    pub async fn restore_best(&mut self, network: &mut Network) -> Result<(), JsValue> {
        if let Some(best) = self.session.take_best() {
            network.runner.update(best).await?;
        }
        Ok(())
    }

    /// The bytes from which the run can be continued, with the network's metadata.
    #[wasm_bindgen(unchecked_return_type = "Uint8Array<ArrayBuffer>")]
    pub async fn checkpoint(&mut self, network: &Network) -> Result<JsValue, JsValue> {
        Ok(bytes_to_js(&self.session.checkpoint(network.runner.meta()).await?))
    }
}

fn role_named(role: &str) -> Result<Role, Error> {
    match role {
        "train" => Ok(Role::Train),
        "validation" => Ok(Role::Validation),
        other => Err(Error::argument("role", "train or validation", other)),
    }
}
