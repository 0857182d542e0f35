//! Inference.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::algorithm::{Algorithm, Prefer};
use super::conv::packing::Unpacked;
use super::gemm::weights::Weights;
use super::io::{export, import};
use super::memory::{FloatPtr, stretches};
use super::operation::{DropoutMode, ExecContext, Operation};
use super::pool::Pool;
use super::program::{CompiledPlan, MemoryRequirement, nothing_frozen};
use crate::error::Result;
use crate::graph::{Graph, Params, Ranges, ReadParam};
use crate::layers::Layer;
use crate::plan::{Plan, Purpose, Step, rewrite};
use crate::tensor::Tensor;

/// Values that are read from a file before they are packed: enough for all threads, and little beside the packed ones.
pub(super) const READ_AT_ONCE: usize = 2 << 20;

/// A network ready to classify.
pub struct Engine {
    pub(super) graph: Graph,
    pool: Arc<Pool>,
    pub(super) weights: Vec<Option<Weights>>,
    /// Nodes whose tensors nobody else holds.
    borrowed: Vec<usize>,
    pub(super) ready: CompiledPlan,
    pub(super) prefer: Prefer,
    ranges: Ranges,
}

/// A step of the plan, and how it is computed.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// The layer's name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Of a layer with weights.
    pub algorithm: Option<Algorithm>,
    /// Multiply-accumulates for one sample, as the layer defines them.
    pub macs: u64,
}

impl Engine {
    /// Packs the weights and plans for single samples.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] when one sample does not fit the memory that can be addressed.
    pub fn new(graph: &Graph, params: &Params, pool: &Arc<Pool>) -> Result<Self> {
        Self::with(graph, params, pool, Prefer::default())
    }

    /// The same, with a say in which algorithms are chosen.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn with(graph: &Graph, params: &Params, pool: &Arc<Pool>, prefer: Prefer) -> Result<Self> {
        Self::borrowing(graph, &mut params.clone(), pool, prefer)
    }

    /// The same; takes those tensors out of `params` that its kernels read as they are, only in another order, until
    /// [`Engine::give_back`]: nothing is held twice.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn borrowing(graph: &Graph, params: &mut Params, pool: &Arc<Pool>, prefer: Prefer) -> Result<Self> {
        let none = |name: &str| panic!("`{name}` is in no file");
        Self::reading(graph, params, pool, prefer, &none)
    }

    /// The same; tensors that are in a file are read a few at a time, so that of the file's form of the weights there is
    /// never more than these.
    ///
    /// # Errors
    /// As [`Engine::new`], those of `read`, and [`crate::Error::NotFinite`].
    pub(crate) fn reading(
        graph: &Graph,
        params: &mut Params,
        pool: &Arc<Pool>,
        prefer: Prefer,
        read: &ReadParam,
    ) -> Result<Self> {
        let ranges = params.ranges().clone();
        let (graph, own) = rewrite::for_inference(graph, params.clone())?;
        let own = own.calibrated(&graph, &ranges);
        let mut engine = Self::without_weights(graph, pool, prefer, ranges)?;
        let unpacked = |step: &Step| Mutex::new(Unpacked::of(&engine.graph, &own, step, prefer));
        let steps = &engine.ready.plan.steps;
        let waiting: Vec<_> = steps.iter().map(unpacked).collect();
        for (step, unpacked) in steps.iter().zip(&waiting) {
            let names: Vec<_> = engine.graph.param_names(step.node).collect();
            let unchanged = |name: &String| params.holds(name, own.param(name));
            if lock(unpacked).as_ref().is_some_and(Unpacked::is_reordered) && names.iter().all(unchanged) {
                names.iter().for_each(|name| params.release(name));
                engine.borrowed.push(step.node);
            }
        }
        drop(own);
        // Tensors that nobody else has go when they are packed; the largest first, so that others find room.
        let room = |i: usize| lock(&waiting[i]).as_ref().map_or(0, Unpacked::room) as u64;
        let mut order: Vec<_> = (0..waiting.len()).map(|i| (u64::MAX - room(i), i)).collect();
        order.sort_unstable();
        let packed: Vec<_> = waiting.iter().map(|_| Mutex::new(None)).collect();
        let pack = |i: usize| *lock(&packed[i]) = lock(&waiting[i]).take().map(Unpacked::pack);
        let mut left = &order[..];
        while !left.is_empty() {
            let mut floats = 0;
            let mut count = 0;
            while count < left.len() && floats < READ_AT_ONCE {
                let i = left[count].1;
                if let Some(unpacked) = &mut *lock(&waiting[i])
                    && unpacked.filed() > 0
                {
                    floats += unpacked.filed();
                    unpacked.read(&engine.graph.nodes()[steps[i].node].name, read)?;
                }
                count += 1;
            }
            let (now, later) = left.split_at(count);
            pool.run(count, &|i| pack(now[i].1));
            left = later;
        }
        for (step, packed) in steps.iter().zip(packed) {
            engine.weights[step.node] = lock(&packed).take().transpose()?;
        }
        Ok(engine)
    }

    /// Puts the tensors back that were taken out of `params`; the engine needs its own of them as before.
    pub fn give_back(&self, params: &mut Params) {
        for &node in &self.borrowed {
            let weights = self.weights[node].as_ref().expect("what was borrowed was packed");
            let shapes = self.graph.node_params(&self.graph.nodes()[node]).into_iter().map(|p| p.shape).collect();
            for (name, tensor) in self.graph.param_names(node).zip(weights.give_back(shapes)) {
                params.put_back(name, tensor);
            }
        }
    }

    /// Ready but for the weights.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub(super) fn without_weights(graph: Graph, pool: &Arc<Pool>, prefer: Prefer, ranges: Ranges) -> Result<Self> {
        let ready =
            MemoryRequirement::of(&graph, 1, Purpose::Inference, &nothing_frozen(&graph), pool, prefer, &ranges)?
                .allocate();
        let weights = vec![None; graph.nodes().len()];
        Ok(Engine { graph, pool: pool.clone(), weights, borrowed: vec![], ready, prefer, ranges })
    }

    /// What a run does, in order.
    pub fn steps(&self) -> Vec<StepInfo> {
        let costs = self.graph.costs();
        let info = |step: &Step| StepInfo {
            name: costs[step.node].name.clone(),
            kind: costs[step.node].kind,
            algorithm: self.weights[step.node].as_ref().map(|w| w.layout.algorithm),
            macs: costs[step.node].macs,
        };
        self.ready.plan.steps.iter().map(info).collect()
    }

    /// What the innermost loop of each of [`Engine::steps`] with weights computes at once, for one sample: pixels and channels;
    /// of Winograd's algorithm, the rows and columns of outputs whose inputs are transformed together.
    pub fn tiles(&self) -> Vec<Option<[usize; 2]>> {
        let tile = |step: &Step| {
            let layout = &self.weights[step.node].as_ref()?.layout;
            Some(layout.tile(step.output.h * step.output.w))
        };
        self.ready.plan.steps.iter().map(tile).collect()
    }

    /// The main output for a batch `[N, ...input]` in NCHW. Memory for activations is kept from run to run while N stays
    /// the same.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] and [`crate::Error::NotFinite`] for the input, [`crate::Error::TooLarge`] for the batch.
    pub fn run(&mut self, x: &Tensor) -> Result<Tensor> {
        self.run_watched(x, &mut |_| {})
    }

    /// The same; calls `done(i)` when step `i` of [`Engine::steps`] is done, so that callers with a clock can time them.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn run_watched(&mut self, x: &Tensor, done: &mut dyn FnMut(usize)) -> Result<Tensor> {
        let pool = self.pool.clone();
        let _awake = pool.awake();
        self.begin(x)?;
        let head = self.ready.plan.heads[0];
        let shape = self.graph.shape(head.value).batched(self.ready.plan.batch);
        let (frame, _, operations) = self.parts();
        for (i, operation) in operations.iter().enumerate() {
            operation.forward(&frame);
            done(i);
        }
        Ok(export(&frame, head.view, shape))
    }

    /// Runs a batch and shows what each convolution and linear layer reads: the layer's name and some of its inputs, until
    /// it has seen all of them.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn observe(&mut self, x: &Tensor, see: &mut dyn FnMut(&str, &[f32])) -> Result<()> {
        self.begin(x)?;
        let nodes = self.graph.nodes().to_vec();
        let (frame, plan, operations) = self.parts();
        for (step, operation) in plan.steps.iter().zip(operations) {
            let node = &nodes[step.node];
            if matches!(node.layer, Layer::Conv2d(_) | Layer::Linear(_)) {
                let map = frame.map(step.inputs[0]);
                stretches(map.dense(), map.view.c, 0..map.pixels, |pixel, floats| {
                    // SAFETY: these floats are of the map, and nothing writes to it now.
                    see(&node.name, unsafe { std::slice::from_raw_parts(map.at(pixel), floats) });
                });
            }
            operation.forward(&frame);
        }
        Ok(())
    }

    /// Brings a batch to where the first step reads it.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub(crate) fn begin(&mut self, x: &Tensor) -> Result<()> {
        let n = self.graph.check_batch(x)?;
        if self.ready.plan.batch != n {
            let frozen = nothing_frozen(&self.graph);
            self.ready = MemoryRequirement::of(
                &self.graph,
                n,
                Purpose::Inference,
                &frozen,
                &self.pool,
                self.prefer,
                &self.ranges,
            )?
            .allocate();
        }
        let (frame, plan, _) = self.parts();
        import(&frame, x, plan.input);
        Ok(())
    }

    /// Runs step `i`, after those before it, and gives its output, in NHWC.
    pub(crate) fn step(&mut self, i: usize) -> Vec<f32> {
        let (frame, _, operations) = self.parts();
        operations[i].forward(&frame);
        let CompiledPlan { plan, arena, .. } = &self.ready;
        let y = plan.steps[i].output;
        y.gather(&arena[y.offset..][..y.span(plan.batch)])
    }

    /// What its steps run on, their plan, and they.
    fn parts(&mut self) -> (ExecContext<'_>, &Plan, &[Box<dyn Operation>]) {
        let CompiledPlan { plan, operations, arena, scratch } = &mut self.ready;
        let frame = ExecContext {
            arena: FloatPtr::new(arena),
            scratch: FloatPtr::new(scratch),
            n: plan.batch,
            pool: &self.pool,
            weights: &self.weights,
            mode: DropoutMode::Inference,
        };
        (frame, plan, operations)
    }

    /// Bytes of packed weights, activations and scratch memory.
    pub fn bytes(&self) -> usize {
        self.ready.bytes() + self.weights.iter().flatten().map(Weights::bytes).sum::<usize>()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Engine")
            .field("graph", &self.graph.name())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// No task panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::graph::{Init, Param};
    use crate::tensor::quantized;
    use crate::zoo;

    /// Every weight under another name in a file, vectors as they are.
    fn filed(graph: &Graph, params: &Params) -> Params {
        let tensors = params.params().map(|(name, param)| {
            let shape = param.shape().to_vec();
            let weight = Param::Deferred { name: format!("file.{name}"), quantized: param.is_quantized(), shape };
            (name.to_string(), if param.shape().len() > 1 { Arc::new(weight) } else { param.clone() })
        });
        Params::new(graph, tensors.collect()).unwrap()
    }

    /// Windows of several layers, batch normalisation that is folded in, linear layers in floats and in codes.
    #[test]
    fn weights_in_a_file_are_read_when_they_are_packed() {
        for name in ["lenet5", "resnet20", "googlenet-cifar", "resnet18"] {
            let graph = zoo::network(name, zoo::Options::default()).unwrap();
            let floats = Params::init(&graph, Init::He, 3);
            let code = |(name, param): (&str, &Arc<Param>)| {
                let (shape, codes) = (param.shape().to_vec(), || quantized::quantize(&param.values()));
                let coded = (shape.len() > 1).then(|| Param::Quantized { quantized: codes(), shape });
                (name.to_string(), coded.map_or_else(|| param.clone(), Arc::new))
            };
            let codes = Params::new(&graph, floats.params().map(code).collect()).unwrap();
            let x = Tensor { data: vec![0.5; graph.input().elements()], shape: graph.input().batched(1) };
            for params in [floats, codes] {
                let own = |name: &str| params.param(name.strip_prefix("file.").expect("its name in the file"));
                let (mut left, pool) = (filed(&graph, &params), Pool::new(2));
                let read = |name: &str| Ok((**own(name)).clone());
                let mut engine = Engine::reading(&graph, &mut left, &pool, Prefer::Speed, &read).unwrap();
                let mut whole = Engine::new(&graph, &params, &pool).unwrap();
                assert_eq!(engine.run(&x).unwrap(), whole.run(&x).unwrap(), "{name}");

                let broken = |name: &str| {
                    let mut param = (**own(name)).clone();
                    param.values_mut().data[2] = f32::NAN;
                    Ok(param)
                };
                let error = Engine::reading(&graph, &mut filed(&graph, &params), &pool, Prefer::Speed, &broken);
                let error = error.unwrap_err().to_string();
                assert!(error.contains(".weight"), "{error}");
                let other = |_: &str| Ok(Param::Floats(Tensor::zeros([5, 5])));
                let error = Engine::reading(&graph, &mut filed(&graph, &params), &pool, Prefer::Speed, &other);
                assert!(error.unwrap_err().to_string().contains("5x5"));
                let gone = |_: &str| Err(Error::format("file", "its values", "no such tensor"));
                let error = Engine::reading(&graph, &mut filed(&graph, &params), &pool, Prefer::Speed, &gone);
                assert!(error.unwrap_err().to_string().contains("no such tensor"));
            }
        }
    }
}
