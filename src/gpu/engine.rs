//! Inference.

use super::buffers::Buffers;
use super::control::Control;
use super::device::{Buffer, Device, Readback};
use super::input::check_batch;
use super::program::{Play, Program};
use super::weights::Layout;
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::plan::{Plan, Purpose, rewrite};
use crate::tensor::Tensor;

/// A network on the device, ready to classify.
pub struct Engine {
    graph: Graph,
    device: Device,
    layout: Layout,
    params: Vec<Buffer>,
    control: Buffer,
    nothing: Buffer,
    program: Program,
    readback: Readback,
}

impl Engine {
    /// Uploads the parameters, with batch normalisation folded into them, and prepares for single samples.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] for a tensor that the adapter cannot hold, [`crate::Error::Backend`] when it refuses
    /// something else, [`crate::Error::DeviceLost`].
    pub async fn new(graph: &Graph, params: &Params, device: &Device) -> Result<Engine> {
        let (graph, params) = rewrite::for_inference(graph, params.clone())?;
        let (graph, params) = (&graph, &params);
        let plan = Plan::new(graph, 1, Purpose::Inference);
        let layout = Layout::new(graph, &plan, device.max_floats());
        let make = || {
            let buffers = layout.buffers(device, "parameters")?;
            layout.upload(graph, params, device, &buffers);
            let control = Control::buffer(device, 0)?;
            let nothing = device.buffer("nothing", 16, wgpu::BufferUsages::STORAGE)?;
            let on = Buffers { params: &buffers, control: &control, nothing: &nothing, training: None };
            let program = Program::new(device, graph, &layout, &on, plan, Purpose::Inference)?;
            Ok((buffers, control, nothing, program))
        };
        let (params, control, nothing, program) = device.checked(make).await?;
        let (graph, device) = (graph.clone(), device.clone());
        Ok(Engine { graph, device, layout, params, control, nothing, program, readback: Readback::default() })
    }

    /// The main output for a batch `[N, C, H, W]`. Another N than before plans anew.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] and [`crate::Error::NotFinite`] for the batch; those of [`Engine::new`].
    pub async fn run(&mut self, x: &Tensor) -> Result<Tensor> {
        self.enter(x).await?;
        let batch = self.program.plan.batch;
        let encoder = self.program.encode(&self.device, Play::Forward);
        let data = self.readback.read(&self.device, encoder, &[self.program.output()]).await?;
        Tensor::new(self.graph.shape(self.graph.outputs()[0].value).batched(batch), data)
    }

    /// Brings a batch to where the first step reads it.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(crate) async fn begin(&mut self, x: &Tensor) -> Result<()> {
        self.enter(x).await?;
        self.device.queue().submit([self.program.encode_input(&self.device).finish()]);
        Ok(())
    }

    /// Runs step `i`, after those before it, and gives its output, in NHWC.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(crate) async fn step(&mut self, i: usize) -> Result<Vec<f32>> {
        let y = self.program.plan.steps[i].output;
        let encoder = self.program.encode_step(&self.device, i);
        let span = self.readback.read(&self.device, encoder, &[self.program.span(y)]).await?;
        Ok(y.gather(&span))
    }

    async fn enter(&mut self, x: &Tensor) -> Result<()> {
        let batch = check_batch(&self.graph, x)?;
        if batch != self.program.plan.batch {
            self.program = self.plan(batch).await?;
        }
        self.device.check()?;
        self.program.write_input(&self.device, x);
        Ok(())
    }

    /// Bytes of buffers on the device: parameters, activations, and the small rest.
    pub fn bytes(&self) -> usize {
        let buffers = self.params.iter().chain([&self.control, &self.nothing]);
        buffers.map(|b| b.size() as usize).sum::<usize>() + self.program.bytes()
    }

    /// Dispatches of one run.
    pub fn dispatches(&self) -> usize {
        self.program.dispatches(Play::Forward)
    }

    async fn plan(&self, batch: usize) -> Result<Program> {
        let make = || {
            let plan = Plan::new(&self.graph, batch, Purpose::Inference);
            let on = Buffers { params: &self.params, control: &self.control, nothing: &self.nothing, training: None };
            Program::new(&self.device, &self.graph, &self.layout, &on, plan, Purpose::Inference)
        };
        self.device.checked(make).await
    }
}
