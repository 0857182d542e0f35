//! A run as bytes: weights, optimizer state, position, configuration. A resumed run continues as if never interrupted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::trainer::{Position, engine};
use super::{Config, Dataset, Trainer, metrics};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::format::{Container, Meta, Model, Stored, check_version, json, write};
use crate::graph::{Graph, Params};
use crate::tensor::Tensor;

/// The version of checkpoints that this build reads and writes.
const CHECKPOINT_VERSION: &str = "1";

/// A fingerprint of a data set.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    name: String,
    samples: usize,
    labels: String,
}

impl Fingerprint {
    fn of(data: &Dataset) -> Self {
        let mut hash = Sha256::new();
        data.labels().iter().for_each(|l| hash.update(l.to_le_bytes()));
        let labels = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Fingerprint { name: data.name().into(), samples: data.len(), labels }
    }
}

impl Trainer {
    /// Returns the bytes from which [`Trainer::resume`] continues this run.
    ///
    /// # Errors
    /// Errors of the backend.
    pub async fn checkpoint(&self) -> Result<Vec<u8>> {
        self.checkpoint_with(&Meta::default()).await
    }

    /// Returns the bytes of a checkpoint with this metadata of the network, for [`Checkpoint`].
    ///
    /// # Errors
    /// Errors of the backend.
    pub async fn checkpoint_with(&self, meta: &Meta) -> Result<Vec<u8>> {
        let (params, state) = (self.params().await?, self.engine.state().await?);
        let params: Vec<_> = params.iter().collect();
        let mut tensors = vec![];
        for (name, tensor) in &params {
            tensors.push((format!("params/{name}"), Stored::f32(&tensor.shape, &tensor.data)));
        }
        for (name, tensor) in &state {
            tensors.push((format!("state/{name}"), Stored::f32(&tensor.shape, &tensor.data)));
        }
        let metadata = [
            ("convoke-checkpoint", CHECKPOINT_VERSION.to_string()),
            ("graph", self.graph.to_json()),
            ("config", json(&self.config)),
            ("position", json(&self.position)),
            ("data", json(&Fingerprint::of(&self.data))),
            ("meta", json(meta)),
        ];
        write(tensors, metadata.into_iter().map(|(k, v)| (k.to_string(), v)).collect())
    }

    /// Continues the run that [`Trainer::checkpoint`] wrote, with equal data. On the CPU the further steps equal the
    /// steps of an uninterrupted run bit for bit.
    ///
    /// # Errors
    /// Errors of [`crate::format::Model::from_bytes`]; [`Error::Format`] when the data set is another one.
    pub async fn resume(bytes: &[u8], data: Arc<Dataset>, backend: &Backend) -> Result<Self> {
        let file = Container::read(&bytes)?;
        check_version(file.required("convoke-checkpoint")?, "checkpoint", CHECKPOINT_VERSION)?;
        file.require_hash()?;
        let graph = Graph::from_json(file.required("graph")?)?;
        let config: Config = file.json("config")?;
        config.validate()?;
        let (was, is): (Fingerprint, _) = (file.json("data")?, Fingerprint::of(&data));
        if was != is {
            let text = |f: &Fingerprint| format!("{} of `{}` (labels {:.12})", f.samples, f.name, f.labels);
            return Err(Error::format("data set of the checkpoint", text(&was), text(&is)));
        }
        metrics::check_fits(&data, &graph, config.loss)?;
        let position: Position = file.json("position")?;
        if position.done > data.len() {
            return Err(Error::format("position", format!("at most {} samples done", data.len()), position.done));
        }
        let params = Params::new(&graph, tensors(&file, "params/")?)?;
        let mut engine = engine(&graph, &params, &config, backend).await?;
        engine.restore(&tensors::<_, Vec<_>>(&file, "state/")?, position.step as u32)?;
        Ok(Trainer::at(graph, data, config, backend.clone(), engine, position))
    }
}

/// The part of a checkpoint that needs no training data: the network at that time, and its training configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The network with its weights.
    pub model: Model,
    /// The configuration of the run.
    pub config: Config,
}

impl Checkpoint {
    /// Reads a checkpoint from these bytes; `None` for another kind of file.
    ///
    /// # Errors
    /// Errors of [`Trainer::resume`], without errors of data and backend.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>> {
        Self::of(&Container::read(&bytes)?)
    }

    /// Reads a checkpoint from this file; `None` for another kind of file.
    ///
    /// # Errors
    /// Errors of [`Trainer::resume`], without errors of data and backend.
    pub(crate) fn of(file: &Container) -> Result<Option<Self>> {
        let Ok(version) = file.required("convoke-checkpoint") else { return Ok(None) };
        check_version(version, "checkpoint", CHECKPOINT_VERSION)?;
        file.require_hash()?;
        let graph = Graph::from_json(file.required("graph")?)?;
        let params = Params::new(&graph, tensors(file, "params/")?)?;
        let model = Model { graph, params, meta: file.json("meta")? };
        Ok(Some(Checkpoint { model, config: file.json("config")? }))
    }
}

/// Returns the tensors whose names begin with `prefix`, with the prefix removed from the names.
fn tensors<T: From<Tensor>, C: FromIterator<(String, T)>>(file: &Container, prefix: &str) -> Result<C> {
    let names = file.names();
    let named = names.iter().filter_map(|name| Some((name, name.strip_prefix(prefix)?)));
    named.map(|(full, name)| Ok((name.to_string(), file.floats(full)?.into()))).collect()
}
