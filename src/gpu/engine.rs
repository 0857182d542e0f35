//! Inference on the device.

use super::buffers::SharedBuffers;
use super::control::Control;
use super::device::{Buffer, Device, Readback};
use super::program::{Program, RunMode};
use super::weights::ParamLayout;
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::plan::{Plan, Purpose, rewrite};
use crate::tensor::Tensor;

/// A network on the device, for inference. Weights are uploaded once; each run uploads a batch and downloads the main
/// output.
///
/// # Examples
/// ```no_run
/// use convoke::gpu::{Device, Engine};
/// use convoke::graph::{Init, Params};
/// use convoke::tensor::Tensor;
/// use convoke::zoo;
///
/// # async fn run() -> convoke::Result<()> {
/// let graph = zoo::lenet5(zoo::Options::default())?;
/// let params = Params::init(&graph, Init::He, 1);
/// let device = Device::request().await?;
/// let mut engine = Engine::new(&graph, &params, &device).await?;
/// let logits = engine.run(&Tensor::zeros(graph.input().batched(1))).await?;
/// assert_eq!(logits.shape, [1, 10]);
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    graph: Graph,
    device: Device,
    layout: ParamLayout,
    params: Vec<Buffer>,
    control: Buffer,
    dummy: Buffer,
    program: Program,
    readback: Readback,
}

impl Engine {
    /// Uploads the parameters, with batch normalization folded into convolutions, and prepares for single samples.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] for a tensor that the adapter cannot hold, [`crate::Error::Backend`] for any other
    /// refusal of the adapter, [`crate::Error::DeviceLost`].
    pub async fn new(graph: &Graph, params: &Params, device: &Device) -> Result<Engine> {
        let (graph, params) = rewrite::for_inference(graph, params.clone())?;
        let (graph, params) = (&graph, &params);
        let plan = Plan::new(graph, 1, Purpose::Inference);
        let layout = ParamLayout::new(graph, &plan, device.max_floats());
        let make = || {
            let buffers = layout.make_buffers(device, "parameters")?;
            layout.upload(graph, params, device, &buffers);
            let control = Control::buffer(device, 0)?;
            let dummy = device.buffer("dummy", 16, wgpu::BufferUsages::STORAGE)?;
            let shared = SharedBuffers { params: &buffers, control: &control, dummy: &dummy, training: None };
            let program = Program::new(device, graph, &layout, &shared, plan, Purpose::Inference)?;
            Ok((buffers, control, dummy, program))
        };
        let (params, control, dummy, program) = device.checked(make).await?;
        let (graph, device) = (graph.clone(), device.clone());
        Ok(Engine { graph, device, layout, params, control, dummy, program, readback: Readback::default() })
    }

    /// Computes the main output for a batch. Planning is repeated when the batch size changes.
    ///
    /// # Shapes
    /// `x` is NCHW with N of at least 1; the output is NCHW or `[N, features]`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] and [`crate::Error::NotFinite`] for the batch, [`crate::Error::TooLarge`] for
    /// activations that the adapter cannot hold, [`crate::Error::Backend`] and [`crate::Error::DeviceLost`].
    pub async fn run(&mut self, x: &Tensor) -> Result<Tensor> {
        self.write_input(x).await?;
        let batch = self.program.plan.batch;
        let encoder = self.program.encode(&self.device, RunMode::Forward);
        let data = self.readback.read(&self.device, encoder, &[self.program.output()]).await?;
        Tensor::new(self.graph.shape(self.graph.outputs()[0].value).batched(batch), data)
    }

    /// Uploads a batch to where the first step reads it.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] and [`crate::Error::NotFinite`] for the batch, [`crate::Error::TooLarge`],
    /// [`crate::Error::Backend`] and [`crate::Error::DeviceLost`].
    pub(crate) async fn begin(&mut self, x: &Tensor) -> Result<()> {
        self.write_input(x).await?;
        self.device.queue().submit([self.program.encode_input(&self.device).finish()]);
        Ok(())
    }

    /// Runs step `i`, for which all earlier steps must have run, and returns its output in NHWC order.
    ///
    /// # Errors
    /// [`crate::Error::Backend`] and [`crate::Error::DeviceLost`].
    pub(crate) async fn step(&mut self, i: usize) -> Result<Vec<f32>> {
        let y = self.program.plan.steps[i].output;
        let encoder = self.program.encode_step(&self.device, i);
        let span = self.readback.read(&self.device, encoder, &[self.program.span(y)]).await?;
        Ok(y.gather(&span))
    }

    async fn write_input(&mut self, x: &Tensor) -> Result<()> {
        let batch = self.graph.check_batch(x)?;
        if batch != self.program.plan.batch {
            self.program = self.plan(batch).await?;
        }
        self.device.check()?;
        self.program.write_input(&self.device, x);
        Ok(())
    }

    /// Bytes of buffers on the device: parameters, activations, uniforms and control.
    pub fn bytes(&self) -> usize {
        let buffers = self.params.iter().chain([&self.control, &self.dummy]);
        buffers.map(|b| b.size() as usize).sum::<usize>() + self.program.bytes()
    }

    /// The number of dispatches of one run.
    pub fn dispatches(&self) -> usize {
        self.program.dispatches(RunMode::Forward)
    }

    async fn plan(&self, batch: usize) -> Result<Program> {
        let make = || {
            let plan = Plan::new(&self.graph, batch, Purpose::Inference);
            let shared =
                SharedBuffers { params: &self.params, control: &self.control, dummy: &self.dummy, training: None };
            Program::new(&self.device, &self.graph, &self.layout, &shared, plan, Purpose::Inference)
        };
        self.device.checked(make).await
    }
}
