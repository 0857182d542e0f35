//! Training: forward, losses, backward, update.

use std::fmt;
use std::sync::Arc;

use super::algorithm::{Algorithm, Prefer};
use super::engine::Engine;
use super::gemm::weights::Weights;
use super::io::{export, import};
use super::loss::mixed;
use super::memory::FloatPtr;
use super::nchw::{from_chw, to_chw};
use super::operation::{DropoutMode, ExecContext, Operation};
use super::optimizer::{squares, update};
use super::pool::Pool;
use super::program::{CompiledPlan, MemoryRequirement, pack, plan};
use super::rows::{RowsMut, fill, reading};
use super::simd::activation::differentiate;
use super::simd::all_finite;
use crate::error::{Error, Result};
use crate::graph::{Graph, Params, Ranges};
use crate::layers::dropout::micro_batch_step;
use crate::layers::{Loss, predicted_class};
use crate::plan::{
    Head, Optimizer, Plan, Purpose, StepReport, TrainSettings, Update, View, are_answers, check_batch_size, clip_factor,
};
use crate::tensor::Tensor;

/// A network in training.
pub struct Trainer {
    graph: Graph,
    /// As they were given; [`Trainer::params`] replaces those in use.
    given: Params,
    pool: Arc<Pool>,
    settings: TrainSettings,
    steps: u32,
    /// Of the step to come, the parts that are done, and the sums of their gradients.
    parts: u32,
    gathered: Vec<Option<Weights>>,
    weights: Vec<Option<Weights>>,
    /// The weights before the last step, which computed a finite loss and finite gradients; empty before the first step.
    previous: Vec<Option<Weights>>,
    gradients: Vec<Option<Weights>>,
    /// For each node with weights, as many as the optimizer has values per weight.
    state: Vec<Vec<Weights>>,
    /// The plan of the last batch with its memory. An epoch's smaller last batch replaces it, so that memory holds one.
    ready: Option<(Purpose, CompiledPlan)>,
}

/// Gradients exist for this algorithm only.
const PREFER: Prefer = Prefer::Only(Algorithm::Direct);

const STEP: Purpose = Purpose::Training { input_grad: false, recompute: false };

impl Trainer {
    /// Starts from these weights with an empty optimizer state.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants of the optimizer or the loss outside their ranges, [`Error::TooLarge`] for the
    /// graph.
    pub fn new(
        graph: &Graph,
        params: &Params,
        loss: Loss,
        optimizer: Optimizer,
        seed: u32,
        pool: &Arc<Pool>,
    ) -> Result<Self> {
        let settings = TrainSettings::new(graph, loss, optimizer, seed)?;
        // The engine changes weights, so all are floats.
        let params = params.dequantized();
        let weights = pack(graph, &params, &plan(graph, 1, STEP, &settings.frozen())?, PREFER);
        let zeros = |w: &Option<Weights>| w.as_ref().map(Weights::zeros);
        let mut trainer = Trainer {
            graph: graph.clone(),
            given: params,
            pool: pool.clone(),
            settings,
            steps: 0,
            parts: 0,
            gathered: vec![],
            gradients: weights.iter().map(zeros).collect(),
            weights,
            previous: vec![],
            state: vec![],
            ready: None,
        };
        trainer.clear_state();
        Ok(trainer)
    }

    /// Trains for one step on a batch with one label for each sample.
    ///
    /// # Shapes
    /// `x` is `[N, ...input]` with N of at least 1; `labels` has N elements.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`] and [`Error::Label`] for the batch; [`Error::Argument`] for the number of
    /// labels and for a learning rate that is negative or not finite; [`Error::TooLarge`] for a batch that memory cannot
    /// hold. [`Error::Diverged`] when the loss, a gradient, a new weight, a running statistic or the optimizer's state is
    /// not finite. Of these weights the trainer then keeps the first with which the network answers the batch in finite
    /// numbers: the weights before this step, those before the last step, each also with the batch's own statistics in
    /// batch normalizations, and the weights that training began with. Where they are not the weights before this step,
    /// the optimizer's state starts anew. A batch that no weights answer changes nothing.
    pub fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let pool = self.pool.clone();
        let _awake = pool.awake();
        let result = self.descend(x, labels, learning_rate).and_then(|report| {
            self.update(learning_rate, report.loss)?;
            Ok(report)
        });
        if let Err(Error::Diverged { .. }) = result {
            self.recover(x);
        }
        result
    }

    /// Updates weights by the accumulated gradients of a step with this loss.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a new value is not finite. Weights are then as before, and the optimizer's state is empty.
    fn update(&mut self, learning_rate: f32, loss: f32) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        if parts > 1 {
            self.gradients.iter_mut().flatten().for_each(|g| g.scale(1.0 / parts as f32));
        }
        let t = self.steps.saturating_add(1);
        let scale = self.clip_factor();
        copy(&mut self.previous, &self.weights);
        for (i, state) in self.state.iter_mut().enumerate() {
            let rate = self.settings.rates[i];
            if let (Some(weights), Some(gradients)) = (&mut self.weights[i], &mut self.gradients[i])
                && rate != 0.0
            {
                let formula = Update { optimizer: self.settings.optimizer, learning_rate: learning_rate * rate, t };
                update(&self.pool, &formula, scale, weights, gradients, state);
            }
        }
        let finite = |i: &usize| self.weights[*i].iter().chain(&self.state[*i]).all(is_finite);
        if let Some(i) = (0..self.weights.len()).find(|i| !finite(i)) {
            self.weights = std::mem::take(&mut self.previous);
            self.clear_state();
            return Err(Error::Diverged {
                step: u64::from(self.steps),
                loss,
                layer: self.graph.nodes()[i].name.clone(),
            });
        }
        self.steps = t;
        Ok(())
    }

    /// Looks for weights with which the network answers `x` in finite numbers, after a step on `x` diverged; see
    /// [`Trainer::step`].
    fn recover(&mut self, x: &Tensor) {
        if self.answers(x) {
            return;
        }
        let kept = self.weights.clone();
        let plan = plan(&self.graph, 1, STEP, &vec![false; kept.len()]);
        let given = plan.map(|plan| pack(&self.graph, &self.given, &plan, PREFER)).unwrap_or_default();
        for candidate in [kept.clone(), std::mem::take(&mut self.previous), given] {
            if candidate.is_empty() {
                continue;
            }
            self.weights = candidate;
            if self.answers(x) || (self.adopt_statistics(x).is_ok() && self.answers(x)) {
                self.clear_state();
                return;
            }
        }
        self.weights = kept;
    }

    /// Returns whether inference with the present weights answers every sample of `x`. The samples run one by one, which
    /// takes little memory beside training's.
    fn answers(&self, x: &Tensor) -> bool {
        let Ok(mut engine) = Engine::new(&self.graph, &self.params(), &self.pool) else { return false };
        let shape = self.graph.input().batched(1);
        x.data.chunks_exact(self.graph.input().elements()).all(|sample| {
            let sample = Tensor { shape: shape.clone(), data: sample.to_vec() };
            engine.run(&sample).is_ok_and(|y| are_answers(&y.data))
        })
    }

    /// Sets the running statistics of batch normalizations that learn to the statistics of this batch.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for a batch that memory cannot hold.
    fn adopt_statistics(&mut self, x: &Tensor) -> Result<()> {
        let n = x.shape[0];
        self.planned(n, false)?;
        let mut pass = Pass::new(self, n, 0);
        pass.forward(x);
        pass.backward_from(None);
        let learning = self.weights.iter_mut().zip(&self.gradients).zip(&self.settings.rates);
        for ((weights, gradients), _) in learning.filter(|(_, rate)| **rate != 0.0) {
            if let (Some(weights), Some(gradients)) = (weights, gradients)
                && weights.momentum != 0.0
            {
                weights.statistics.clone_from(&gradients.statistics);
            }
        }
        Ok(())
    }

    /// Accumulates the gradients of a micro-batch. The coming [`Trainer::step`] updates by the mean gradient of all
    /// micro-batches, its own included. Running statistics follow the step's own micro-batch.
    ///
    /// # Errors
    /// The errors of [`Trainer::step`], after which the trainer has the weights that [`Trainer::step`] describes. Each
    /// error discards the accumulated gradients.
    pub fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        let result = self.descend(x, labels, 0.0);
        if let Err(Error::Diverged { .. }) = result {
            self.recover(x);
        }
        let report = result?;
        self.gathered.clone_from(&self.gradients);
        Ok(report)
    }

    /// Computes the gradients of a batch and adds the accumulated gradients. Errors discard the accumulated gradients.
    fn descend(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        let (parts, gathered) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.gathered));
        let n = self.graph.check_batch(x)?;
        self.settings.check_step(&self.graph, n, labels, learning_rate)?;
        self.planned(labels.len(), false)?;
        let report = self.forward_backward(x, labels, micro_batch_step(self.steps, parts))?;
        for (gradients, sum) in self.gradients.iter_mut().flatten().zip(gathered.iter().flatten()) {
            gradients.add(sum);
        }
        self.check_gradients(report.loss)?;
        self.parts = parts + 1;
        Ok(report)
    }

    /// The main output in training mode (dropout as in step number `step`), and the gradients with respect to the input
    /// and the parameters of a loss whose gradient with respect to that output is `dy`. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::NotFinite`] for `x` and `dy`.
    pub fn gradients(&mut self, x: &Tensor, dy: &Tensor, step: u32) -> Result<(Tensor, Tensor, Params)> {
        let n = self.graph.check_batch(x)?;
        let shape = self.graph.check_output_gradient(dy, n)?;
        self.planned(n, true)?;
        let mut pass = Pass::new(self, n, step);
        pass.forward(x);
        let y = export(&pass.frame, pass.plan.heads[0].view, shape);
        pass.backward_from(Some(dy));
        let view = pass.plan.input_grad.expect("this plan has a gradient of its input");
        let dx = export(&pass.frame, view, x.shape.clone());
        let dparams = self.tensors(&self.gradients, |t| Tensor::zeros(t.shape.clone()));
        Ok((y, dx, dparams))
    }

    /// The weights now.
    pub fn params(&self) -> Params {
        self.tensors(&self.weights, Tensor::clone)
    }

    /// Updates so far.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The formula of the update.
    pub fn optimizer(&self) -> Optimizer {
        self.settings.optimizer
    }

    /// Goes on with other constants, or another formula. The state is kept if the formula is of the same kind.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        if self.settings.set_optimizer(optimizer)? {
            self.clear_state();
        }
        Ok(())
    }

    /// Limits the norm of all gradients together to `norm` from now on, by scaling them; 0, the default, sets no limit.
    ///
    /// # Errors
    /// [`Error::Argument`] for a norm that is negative or not finite.
    pub fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        self.settings.set_clip_norm(norm)
    }

    /// Sets a factor on the learning rate for each node of the graph; all are 1 by default. Nodes with factor 0 are
    /// frozen: they keep their weights and run like at inference. Backward ends where no earlier layer learns.
    ///
    /// # Errors
    /// [`Error::Argument`] unless `rates` has one finite number of at least 0 for each node.
    pub fn set_rates(&mut self, rates: &[f32]) -> Result<()> {
        self.settings.set_rates(rates)?;
        self.ready = None;
        Ok(())
    }

    /// Sets the lambda of mixup (Zhang et al., 2018), from 0 to 1: the weight of each sample's own label. The previous
    /// sample's label has the rest; the first sample's previous one is the last. 1, the default, mixes no labels.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is not from 0 to 1.
    pub fn set_mixup_lambda(&mut self, lambda: f32) -> Result<()> {
        self.settings.set_mixup_lambda(lambda)
    }

    /// Allocates the memory for steps on `n` samples ahead of the first one.
    ///
    /// # Errors
    /// [`Error::Argument`] for a batch size that is not from 1 to 1,048,576, [`Error::TooLarge`] for one whose activations
    /// cannot be addressed.
    pub fn prepare(&mut self, n: usize) -> Result<()> {
        check_batch_size(n)?;
        self.planned(n, false)
    }

    /// Sets whether backward recomputes values instead of keeping them: equal results in less memory and about a third
    /// more time. Off by default.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.settings.recompute = recompute;
        self.ready = None;
    }

    /// Whether backward recomputes values instead of keeping them.
    pub fn recomputes(&self) -> bool {
        self.settings.recompute
    }

    /// What the optimizer remembers: for each parameter its name with each of [`Optimizer::moments`] behind it.
    /// Together with [`Trainer::params`] and [`Trainer::steps`] it is all that [`Trainer::restore`] needs.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut tensors = vec![];
        for (k, moment) in self.settings.optimizer.moments().iter().enumerate() {
            for (i, name, shape, part) in self.parameters() {
                let values = self.state[i].get(k).map(|w| w.unpack().swap_remove(part));
                let data = values.unwrap_or_else(|| vec![0.0; shape.iter().product()]);
                tensors.push((format!("{name}.{moment}"), Tensor { shape, data }));
            }
        }
        tensors
    }

    /// Continues where a trainer with the same graph, weights, optimizer and seed was after `steps` updates: the same
    /// batches then give the same bits.
    ///
    /// # Errors
    /// [`Error::Weights`] when `state` does not have exactly the tensors of [`Trainer::state`];
    /// [`Error::NotFinite`]. The trainer is then as before.
    pub fn restore(&mut self, state: &[(String, Tensor)], steps: u32) -> Result<()> {
        self.settings.optimizer.check_state(&self.graph, state)?;
        for (k, moment) in self.settings.optimizer.moments().iter().enumerate() {
            for (i, node) in self.graph.nodes().iter().enumerate() {
                let tensor = |part: &str| {
                    let name = format!("{}.{part}.{moment}", node.name);
                    state.iter().find(|(own, _)| *own == name).map(|(_, tensor)| tensor)
                };
                if let (Some(weights), Some(weight)) = (self.state[i].get_mut(k), tensor("weight")) {
                    weights.restore(weight, tensor("bias"));
                }
            }
        }
        self.steps = steps;
        Ok(())
    }

    /// Bytes of weights, gradients, optimizer state, activations and scratch memory.
    pub fn bytes(&self) -> usize {
        let of = |w: &Weights| w.bytes();
        let weights = self.weights.iter().chain(&self.previous).chain(&self.gradients).flatten().map(of);
        let state = self.state.iter().flatten().map(of);
        weights.chain(state).sum::<usize>() + self.ready.as_ref().map_or(0, |(_, ready)| ready.bytes())
    }

    fn clear_state(&mut self) {
        let count = self.settings.optimizer.moments().len();
        let zeros = |w: &Option<Weights>| w.as_ref().map_or(vec![], |w| vec![w.zeros(); count]);
        self.state = self.weights.iter().map(zeros).collect();
    }

    /// Every parameter: its node, full name, shape, and place among the node's.
    fn parameters(&self) -> Vec<(usize, String, Vec<usize>, usize)> {
        let mut all = vec![];
        for (i, node) in self.graph.nodes().iter().enumerate() {
            for (part, spec) in self.graph.node_params(node).into_iter().enumerate() {
                all.push((i, format!("{}.{}", node.name, spec.name), spec.shape, part));
            }
        }
        all
    }

    /// Packed tensors as callers know them; those of nodes that do not run are `otherwise`.
    fn tensors(&self, packed: &[Option<Weights>], otherwise: impl Fn(&Tensor) -> Tensor) -> Params {
        let mut params = self.given.clone();
        for (i, name, shape, part) in self.parameters() {
            let tensor = params.tensor_mut(&name);
            *tensor = match &packed[i] {
                Some(weights) => Tensor { shape, data: weights.unpack().swap_remove(part) },
                None => otherwise(tensor),
            };
        }
        params
    }

    /// Plans for a batch of `n` samples unless the present plan fits.
    fn planned(&mut self, n: usize, input_grad: bool) -> Result<()> {
        let purpose = Purpose::Training { input_grad, recompute: self.settings.recompute };
        if self.ready.as_ref().is_some_and(|(p, ready)| (*p, ready.plan.batch) == (purpose, n)) {
            return Ok(());
        }
        let frozen = self.settings.frozen();
        let requirement =
            MemoryRequirement::of(&self.graph, n, purpose, &frozen, &self.pool, PREFER, &Ranges::default())?;
        // The old memory goes first.
        self.ready = None;
        self.ready = Some((purpose, requirement.allocate()));
        Ok(())
    }

    fn forward_backward(&mut self, x: &Tensor, labels: &[u32], draw: u32) -> Result<StepReport> {
        let (loss, step, share) = (self.settings.loss, self.steps, self.settings.mixup_lambda);
        let mut pass = Pass::new(self, labels.len(), draw);
        pass.forward(x);
        for view in &pass.plan.clear {
            pass.clear(*view);
        }
        let mut report = StepReport { loss: 0.0, correct: 0 };
        let mut total = 0.0;
        for (i, head) in pass.plan.heads.iter().enumerate() {
            let (loss, correct) = pass.loss(loss, head, labels, share);
            total += loss;
            if i == 0 {
                report.correct = correct;
            }
        }
        report.loss = total as f32;
        if !report.loss.is_finite() {
            let layer = pass.first_not_finite(x).unwrap_or_else(|| "loss".into());
            return Err(Error::Diverged { step: u64::from(step), loss: report.loss, layer });
        }
        pass.backward();
        Ok(report)
    }

    /// The factor on all gradients.
    fn clip_factor(&self) -> f32 {
        if self.settings.clip_norm == 0.0 {
            return 1.0;
        }
        let learning = self.gradients.iter().zip(&self.settings.rates).filter(|(_, rate)| **rate != 0.0);
        clip_factor(learning.filter_map(|(g, _)| g.as_ref()).map(squares).sum(), self.settings.clip_norm)
    }

    fn check_gradients(&self, loss: f32) -> Result<()> {
        for (node, gradients) in self.graph.nodes().iter().zip(&self.gradients) {
            if gradients.as_ref().is_some_and(|g| !is_finite(g)) {
                return Err(Error::Diverged { step: u64::from(self.steps), loss, layer: node.name.clone() });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Trainer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let graph = self.graph.name();
        f.debug_struct("Trainer").field("graph", &graph).field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// Copies weights into memory that earlier ones took, if there is some.
fn copy(to: &mut Vec<Option<Weights>>, from: &[Option<Weights>]) {
    if to.is_empty() {
        to.extend_from_slice(from);
        return;
    }
    for (to, from) in to.iter_mut().flatten().zip(from.iter().flatten()) {
        to.weight.copy_from_slice(&from.weight);
        to.bias.copy_from_slice(&from.bias);
        to.statistics.iter_mut().zip(&from.statistics).for_each(|(to, from)| to.copy_from_slice(from));
    }
}

/// Returns whether weights, biases and statistics are finite; also for gradients and moments.
fn is_finite(values: &Weights) -> bool {
    [&values.weight, &values.bias].into_iter().chain(&values.statistics).all(|floats| all_finite(floats))
}

/// One forward and backward pass on a plan.
struct Pass<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    operations: &'a [Box<dyn Operation>],
    gradients: &'a mut [Option<Weights>],
    frame: ExecContext<'a>,
}

impl<'a> Pass<'a> {
    fn new(trainer: &'a mut Trainer, n: usize, step: u32) -> Self {
        let (_, ready) = trainer.ready.as_mut().expect("planned before");
        let CompiledPlan { plan, operations, arena, scratch } = ready;
        let seed = trainer.settings.seed;
        let frame = ExecContext {
            arena: FloatPtr::new(arena),
            scratch: FloatPtr::new(scratch),
            n,
            pool: &trainer.pool,
            weights: &trainer.weights,
            mode: DropoutMode::Training { seed, step },
        };
        Pass { graph: &trainer.graph, plan, operations, gradients: &mut trainer.gradients, frame }
    }

    fn forward(&self, x: &Tensor) {
        import(&self.frame, x, self.plan.input);
        self.operations[..self.plan.forward].iter().for_each(|o| o.forward(&self.frame));
    }

    fn backward(&mut self) {
        for back in &self.plan.backward {
            back.recompute.iter().for_each(|&i| self.operations[i].forward(&self.frame));
            back.clear.iter().for_each(|&view| self.clear(view));
            let step = &self.plan.steps[back.step];
            if let Some(activation) = step.activation {
                let (y, dy) = (self.frame.map(step.output), self.frame.map(back.dy));
                differentiate(self.frame.pool, activation, &y, &dy, &dy, false);
            }
            let gradients = self.gradients[step.node].as_mut().filter(|_| !step.frozen);
            self.operations[back.step].backward(&self.frame, back, gradients);
        }
    }

    /// Runs the backward half from the gradient `dy` of the main output, or from zeros.
    fn backward_from(&mut self, dy: Option<&Tensor>) {
        for view in &self.plan.clear {
            self.clear(*view);
        }
        for (i, head) in self.plan.heads.iter().enumerate() {
            let grad = head.grad.expect("a training plan has gradients of its heads");
            match dy {
                Some(dy) if i == 0 => import(&self.frame, dy, grad),
                _ => self.clear(grad),
            }
        }
        self.backward();
    }

    fn clear(&self, view: View) {
        fill(self.frame.pool, &mut self.frame.map(view), 0.0);
    }

    /// The weighted mean loss of a head and how many samples it got right; writes the loss's gradient.
    fn loss(&self, loss: Loss, head: &Head, labels: &[u32], share: f32) -> (f64, u32) {
        let (map, grad) = (self.frame.map(head.view), head.grad.map(|g| self.frame.map(g)));
        let mut grad = grad.expect("a training plan has gradients of its heads");
        let ([rows], mut to) = (reading([&map]), RowsMut::all(&mut grad));
        let weight = f64::from(head.loss_weight);
        let scale = weight / labels.len() as f64;
        let mut logits = vec![0.0; self.graph.shape(head.value).elements()];
        let (mut total, mut correct) = (0.0, 0);
        for (s, &label) in labels.iter().enumerate() {
            to_chw(rows, s, &mut logits);
            correct += u32::from(predicted_class(&logits) == label as usize);
            let before = labels[s.checked_sub(1).unwrap_or(labels.len() - 1)];
            total += mixed(loss, &mut logits, [label, before], share, scale);
            from_chw(&logits, &mut to, s, false);
        }
        (total * scale, correct)
    }

    /// The first node whose output is not finite. Forward runs again: not every value is still there.
    fn first_not_finite(&self, x: &Tensor) -> Option<String> {
        import(&self.frame, x, self.plan.input);
        let bad = |i: &usize| {
            self.operations[*i].forward(&self.frame);
            let map = self.frame.map(self.plan.steps[*i].output);
            let [rows] = reading([&map]);
            (0..map.pixels).any(|p| !all_finite(rows.row(p)))
        };
        let step = &self.plan.steps[(0..self.plan.forward).find(bad)?];
        Some(self.graph.nodes()[step.node].name.clone())
    }
}
