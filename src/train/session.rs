//! A trainer whose data comes later than its options, and which may train again: the state behind the package's `Trainer`.

use std::sync::Arc;

use super::{Config, Dataset, Evaluation, Run, RunStep, Trainer};
use crate::cpu::{Pool, TrainingFootprint};
use crate::engine::Backend;
use crate::error::{Error, Result};
use crate::format::Meta;
use crate::graph::{Graph, Params};
use crate::options::Changes;
use crate::tensor::dims;
use crate::vision::{Channels, Preprocess};

/// A run that was interrupted, as its checkpoint holds it.
#[derive(Clone)]
pub struct Interrupted {
    /// The checkpoint's bytes.
    pub checkpoint: Vec<u8>,
    /// The configuration of the run.
    pub config: Config,
}

/// A data set's part in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Weights are learnt from it.
    Train,
    /// It is evaluated at the end of each epoch.
    Validation,
}

/// Labelled images as a caller has them.
pub enum Images {
    /// Bytes, to be padded to the network's input and normalized: `(byte / 255 - mean) / std`.
    Bytes {
        /// The pixels, `[N, C, H, W]`.
        pixels: Vec<u8>,
        /// Subtracted: one number for all channels or one for each. Empty for 0.
        mean: Vec<f32>,
        /// Divides afterwards: one number for all channels or one for each. Empty for 1.
        std: Vec<f32>,
    },
    /// Inputs of the network, `[N, C, H, W]`.
    Floats(Vec<f32>),
}

/// Trains one network, in as many runs as are asked for.
pub struct Session {
    graph: Graph,
    backend: Backend,
    config: Config,
    /// The threads of the CPU engine.
    pool: Arc<Pool>,
    data: Option<Arc<Dataset>>,
    validation: Option<Dataset>,
    /// Prepares images for the network that learns from `data`.
    preprocess: Option<Preprocess>,
    run: Option<Run>,
    /// The checkpoint of an interrupted run, until that run is continued.
    checkpoint: Option<Vec<u8>>,
}

impl Session {
    /// Prepares to train `graph` with these options. The others are the interrupted run's, where there is one, or have
    /// their defaults; a seed that nobody gave is drawn.
    ///
    /// # Errors
    /// [`Error::Argument`] for options that are unknown, out of their ranges, or may not differ from the interrupted run's.
    pub fn new(
        graph: Graph,
        options: &Changes,
        interrupted: Option<&Interrupted>,
        backend: Backend,
        pool: Arc<Pool>,
    ) -> Result<Self> {
        let config = match interrupted {
            Some(Interrupted { config: was, .. }) => {
                let config = was.with(options)?;
                config.check_continues(was)?;
                config
            }
            None => Config::seeded(options)?,
        };
        config.validate()?;
        let checkpoint = interrupted.map(|run| run.checkpoint.clone());
        let (data, validation, preprocess, run) = (None, None, None, None);
        Ok(Session { graph, backend, config, pool, data, validation, preprocess, run, checkpoint })
    }

    /// The options, with those that were changed since.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The epoch at whose beginning the run ends, counted from 0; 0 before the first run.
    pub fn end(&self) -> u32 {
        self.run.as_ref().map_or(0, Run::end)
    }

    /// Bytes that the run keeps on the GPU.
    pub fn device_bytes(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.trainer().device_bytes())
    }

    /// Prepares images for a network that was trained on the data set before; `None` for images of floats.
    pub fn preprocess(&self) -> Option<&Preprocess> {
        self.preprocess.as_ref()
    }

    /// Sets a data set for the next run. `shape` is `[N, C, H, W]`. Training data comes first: it removes the validation
    /// data of the run before.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Label`], [`Error::NotFinite`] or [`Error::EmptyDataset`] for data that is wrong,
    /// [`Error::Argument`] for bytes with a number of channels other than 1 or 3.
    pub fn set_data(&mut self, role: Role, images: Images, labels: Vec<u32>, shape: &[usize]) -> Result<()> {
        let [_, c, h, w] = *shape else {
            return Err(Error::Shape { tensor: "images".into(), expected: "NxCxHxW".into(), actual: dims(shape) });
        };
        let (stored, classes) = ([c, h, w], self.config.loss.classes(self.graph.classes()));
        let name = match role {
            Role::Train => "train",
            Role::Validation => "validation",
        };
        let (data, preprocess) = match images {
            Images::Bytes { pixels, mean, std } => {
                let preprocess = centered(stored, self.graph.input().dims(), mean, std)?;
                (Dataset::from_bytes(name, stored, pixels, labels, classes, &preprocess)?, Some(preprocess))
            }
            Images::Floats(values) => (Dataset::from_floats(name, stored, values, labels, classes)?, None),
        };
        match role {
            Role::Train => {
                (self.data, self.preprocess, self.validation) = (Some(Arc::new(data)), preprocess, None);
            }
            Role::Validation => self.validation = Some(data),
        }
        Ok(())
    }

    /// Bytes that a step takes; on a GPU about as many. Activations are recomputed where a step of the CPU engine would
    /// otherwise take more than `memory` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for sizes that no machine has.
    pub fn footprint(&self, memory: u64) -> Result<TrainingFootprint> {
        let need = self.needed(memory)?;
        let recompute = self.run.as_ref().map_or(need.recompute, |run| run.trainer().recomputes());
        Ok(TrainingFootprint { recompute, ..need })
    }

    /// Begins a run of `epochs` epochs with the data that was set, from the weights that `params` gives; or extends the
    /// present run where its data is equal. An interrupted run is continued: its epochs count from its beginning.
    ///
    /// # Errors
    /// [`Error::EmptyDataset`] before data was set, [`Error::TooLarge`] for a step that takes more than `memory` bytes,
    /// [`Error::Format`] for data that is not the interrupted run's, and the backend's own errors.
    pub async fn begin(
        &mut self,
        params: impl FnOnce() -> Result<Params>,
        epochs: u32,
        patience: Option<u32>,
        memory: u64,
    ) -> Result<()> {
        let data = self.data.clone().ok_or_else(|| Error::EmptyDataset { name: "train".into() })?;
        let recompute = self.check_step_fits(memory)?;
        match &mut self.run {
            Some(run) if run.trainer().data() == &data => run.extend(epochs, patience),
            _ => {
                let trainer = self.new_trainer(params, data, epochs).await?;
                self.run = Some(Run::new(trainer, epochs, patience));
            }
        }
        let trainer = self.running()?.trainer_mut();
        trainer.set_recompute(recompute);
        trainer.prepare().await
    }

    /// Takes one step with this learning rate, before the schedule, and batch size; `None` when the run is over.
    ///
    /// # Errors
    /// [`Error::Argument`] before the first run and for values out of their ranges; [`Error::Diverged`]; the backend's own
    /// errors.
    pub async fn step(&mut self, learning_rate: f32, batch_size: usize) -> Result<Option<RunStep>> {
        self.config.learning_rate = learning_rate;
        self.config.batch_size = batch_size;
        let run = self.running()?;
        if run.is_over() {
            return Ok(None);
        }
        run.trainer_mut().set_learning_rate(learning_rate)?;
        run.trainer_mut().set_batch_size(batch_size)?;
        run.step().await
    }

    /// Evaluates the validation data after the last step of an epoch; `None` where there is none.
    ///
    /// # Errors
    /// The backend's own errors, and [`Error::Shape`] or [`Error::Label`] for data that does not fit the network.
    pub async fn end_epoch(&mut self) -> Result<Option<Evaluation>> {
        match (&mut self.run, &self.validation) {
            (Some(run), Some(data)) => run.evaluate_epoch(data).await.map(Some),
            _ => Ok(None),
        }
    }

    /// The latest weights; `None` before the first run.
    ///
    /// # Errors
    /// The backend's own errors.
    pub async fn params(&self) -> Result<Option<Params>> {
        match &self.run {
            Some(run) => run.trainer().params().await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes the weights of the best epoch, where the run had patience. The next run then begins anew.
    pub fn take_best(&mut self) -> Option<Params> {
        let best = self.run.as_mut()?.take_best()?;
        self.run = None;
        Some(best)
    }

    /// The bytes from which the run can be continued, with this metadata of the network.
    ///
    /// # Errors
    /// [`Error::Argument`] before the first run, and the backend's own errors.
    pub async fn checkpoint(&mut self, meta: &Meta) -> Result<Vec<u8>> {
        self.running()?.trainer().checkpoint_with(meta).await
    }

    fn is_on_cpu(&self) -> bool {
        matches!(self.backend, Backend::Cpu(_))
    }

    fn needed(&self, memory: u64) -> Result<TrainingFootprint> {
        let limit = if self.is_on_cpu() { memory } else { u64::MAX };
        let samples = self.data.as_ref().map_or(usize::MAX, |data| data.len());
        let config = Config { batch_size: self.config.batch_size.min(samples), ..self.config.clone() };
        config.footprint(limit, &self.graph, &self.pool)
    }

    /// Refuses a step that does not fit. Returns whether steps recompute activations.
    fn check_step_fits(&self, memory: u64) -> Result<bool> {
        let need = self.needed(memory)?;
        if self.is_on_cpu() {
            let TrainingFootprint { weights, gradients, optimizer, activations, .. } = need;
            let parts =
                format!("weights {weights}, gradients {gradients}, optimizer {optimizer}, activations {activations}");
            check_memory("a training step", &parts, need.total(), memory)?;
        }
        Ok(need.recompute)
    }

    /// The interrupted run's trainer, if there is one, otherwise a new one.
    async fn new_trainer(
        &mut self,
        params: impl FnOnce() -> Result<Params>,
        data: Arc<Dataset>,
        epochs: u32,
    ) -> Result<Trainer> {
        if let Some(checkpoint) = &self.checkpoint {
            let trainer = Trainer::resume(checkpoint, data, &self.backend).await?;
            self.checkpoint = None;
            return Ok(trainer);
        }
        self.config.epochs = epochs;
        let params = match &self.run {
            Some(run) => run.trainer().params().await?,
            None => params()?,
        };
        Trainer::new(&self.graph, &params, data, self.config.clone(), &self.backend).await
    }

    fn running(&mut self) -> Result<&mut Run> {
        self.run.as_mut().ok_or_else(|| Error::argument("trainer", "`fit` first", "no data"))
    }
}

/// Preprocessing for images of `stored`, `[C, H, W]`, that lie in the middle of a larger input.
fn centered(stored: [usize; 3], input: &[usize], mean: Vec<f32>, std: Vec<f32>) -> Result<Preprocess> {
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

/// Refuses `needed` bytes of memory for `name` where there are fewer than that; `parts` says what takes them.
///
/// # Errors
/// [`Error::TooLarge`].
pub(crate) fn check_memory(name: &str, parts: &str, needed: u64, available: u64) -> Result<()> {
    if needed <= available {
        return Ok(());
    }
    let what = format!("bytes of memory for `{name}` ({parts})");
    Err(Error::TooLarge { what, actual: needed, limit: available })
}
