//! Training: forward, losses, backward, update.

use std::fmt;
use std::sync::Arc;

use super::algorithm::{Algorithm, Prefer};
use super::gemm::weights::Weights;
use super::io::{check_finite, check_input, export, import};
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
use crate::plan::{Head, Optimizer, Plan, Purpose, StepReport, Update, View, check_clip_norm, clip_factor};
use crate::tensor::{Tensor, dims};

/// Plans that are kept: the full batch's and that of an epoch's last, smaller one.
const PLANS: usize = 2;

/// A network in training.
pub struct Trainer {
    graph: Graph,
    /// As they were given; [`Trainer::params`] replaces those in use.
    given: Params,
    pool: Arc<Pool>,
    loss: Loss,
    optimizer: Optimizer,
    seed: u32,
    /// The largest norm of all gradients together; 0 for none.
    clip_norm: f32,
    /// Of each sample's label; the rest is that of the sample before.
    share: f32,
    /// For each node, the factor on the learning rate; 0 is frozen.
    rates: Vec<f32>,
    /// Whether values are computed again rather than kept.
    recompute: bool,
    steps: u32,
    /// Of the step to come, the parts that are done, and the sums of their gradients.
    parts: u32,
    gathered: Vec<Option<Weights>>,
    weights: Vec<Option<Weights>>,
    gradients: Vec<Option<Weights>>,
    /// For each node with weights, as many as the optimizer has values per weight.
    state: Vec<Vec<Weights>>,
    ready: Vec<(Purpose, CompiledPlan)>,
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
        optimizer.validate()?;
        if let Loss::SoftmaxCrossEntropy { label_smoothing: e } = loss
            && !(0.0..1.0).contains(&e)
        {
            return Err(Error::argument("labelSmoothing", "at least 0 and below 1", e));
        }
        let rates = vec![1.0; graph.nodes().len()];
        // The engine changes weights, so all are floats.
        let params = params.dequantized();
        let weights = pack(graph, &params, &plan(graph, 1, STEP, &vec![false; rates.len()])?, PREFER);
        let zeros = |w: &Option<Weights>| w.as_ref().map(Weights::zeros);
        let mut trainer = Trainer {
            graph: graph.clone(),
            given: params,
            pool: pool.clone(),
            loss,
            optimizer,
            seed,
            clip_norm: 0.0,
            share: 1.0,
            rates,
            recompute: false,
            steps: 0,
            parts: 0,
            gathered: vec![],
            gradients: weights.iter().map(zeros).collect(),
            weights,
            state: vec![],
            ready: vec![],
        };
        trainer.clear_state();
        Ok(trainer)
    }

    /// One update on a batch `[N, ...input]` with a label for each sample.
    ///
    /// # Errors
    /// For the input [`Error::Shape`], [`Error::NotFinite`] and [`Error::Label`]; [`Error::Argument`] for the number of
    /// labels or the learning rate; [`Error::Diverged`] when the loss or a gradient is not finite. After an error the
    /// weights and the optimizer's state are as before.
    pub fn step(&mut self, x: &Tensor, labels: &[u32], learning_rate: f32) -> Result<StepReport> {
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(Error::argument("learningRate", "a finite number of at least 0", learning_rate));
        }
        let pool = self.pool.clone();
        let _awake = pool.awake();
        let report = self.descend(x, labels)?;
        let parts = std::mem::take(&mut self.parts);
        if parts > 1 {
            self.gradients.iter_mut().flatten().for_each(|g| g.scale(1.0 / parts as f32));
        }
        let t = self.steps.wrapping_add(1);
        let scale = self.clip_factor();
        for (i, state) in self.state.iter_mut().enumerate().filter(|(i, _)| self.rates[*i] != 0.0) {
            if let (Some(weights), Some(gradients)) = (&mut self.weights[i], &mut self.gradients[i]) {
                let learning_rate = learning_rate * self.rates[i];
                let formula = Update { optimizer: self.optimizer, learning_rate, t };
                update(&self.pool, &formula, scale, weights, gradients, state);
            }
        }
        self.steps = t;
        Ok(report)
    }

    /// A part of the batch of the step to come, whose update goes by the mean of the gradients of all parts. Running
    /// statistics follow the last part.
    ///
    /// # Errors
    /// Those of [`Trainer::step`]; the parts before are then forgotten.
    pub fn part(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        let report = self.descend(x, labels)?;
        self.gathered.clone_from(&self.gradients);
        Ok(report)
    }

    /// The gradients of a batch, added to those of the parts before it. On errors the next part is a first one.
    fn descend(&mut self, x: &Tensor, labels: &[u32]) -> Result<StepReport> {
        let (parts, gathered) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.gathered));
        let n = check_input(&self.graph, x)?;
        if labels.len() != n {
            return Err(Error::argument("labels", format!("{n}, one for each sample"), labels.len()));
        }
        for output in self.graph.outputs() {
            self.loss.check_labels(labels, self.graph.shape(output.value).elements())?;
        }
        let plan = self.planned(n, false)?;
        let report = self.forward_backward(plan, x, labels, micro_batch_step(self.steps, parts))?;
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
        let n = check_input(&self.graph, x)?;
        let shape = self.graph.shape(self.graph.outputs()[0].value).batched(n);
        if dy.shape != shape || dy.data.len() != shape.iter().product::<usize>() {
            return Err(Error::Shape { tensor: "dy".into(), expected: dims(&shape), actual: dims(&dy.shape) });
        }
        check_finite("dy", &dy.data)?;
        let plan = self.planned(n, true)?;
        let mut pass = Pass::new(self, plan, n, step);
        pass.forward(x);
        let y = export(&pass.frame, pass.plan.heads[0].view, shape);
        for view in &pass.plan.clear {
            pass.clear(*view);
        }
        for (i, head) in pass.plan.heads.iter().enumerate() {
            let grad = head.grad.expect("a training plan has gradients of its heads");
            if i == 0 { import(&pass.frame, dy, grad) } else { pass.clear(grad) }
        }
        pass.backward();
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
        self.optimizer
    }

    /// Goes on with other constants, or another formula. The state is kept if the formula is of the same kind.
    ///
    /// # Errors
    /// [`Error::Argument`] for constants outside their ranges.
    pub fn set_optimizer(&mut self, optimizer: Optimizer) -> Result<()> {
        optimizer.validate()?;
        let same = std::mem::discriminant(&optimizer) == std::mem::discriminant(&self.optimizer);
        self.optimizer = optimizer;
        if !same {
            self.clear_state();
        }
        Ok(())
    }

    /// Scales all gradients together so that their norm is at most this one from now on; 0 for no limit.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is none.
    pub fn set_clip_norm(&mut self, norm: f32) -> Result<()> {
        check_clip_norm(norm)?;
        self.clip_norm = norm;
        Ok(())
    }

    /// Factors on the learning rate from now on, one for each node of the graph. Those of factor 0 are frozen: they keep
    /// their weights and run as at inference, and backward ends where no layer below learns.
    ///
    /// # Panics
    /// Unless there are as many as nodes.
    pub fn set_rates(&mut self, rates: &[f32]) {
        assert_eq!(rates.len(), self.graph.nodes().len());
        self.rates = rates.to_vec();
        self.ready.clear();
    }

    /// From now on each sample of a batch has this share of its own label, and the rest of the label of the one before it
    /// (the first, of the last), as in mixup (Zhang et al., 2018). 1 by default.
    pub fn set_mixup_lambda(&mut self, share: f32) {
        self.share = share;
    }

    /// Takes the memory for steps on `n` samples, which they would otherwise take when they come.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn prepare(&mut self, n: usize) -> Result<()> {
        self.planned(n, false).map(drop)
    }

    /// Whether values are computed again for the backward half rather than kept, from now on: with the same results, in
    /// less memory and about a third more time.
    pub fn set_recompute(&mut self, recompute: bool) {
        self.recompute = recompute;
        self.ready.clear();
    }

    /// Whether values are computed again.
    pub fn recomputes(&self) -> bool {
        self.recompute
    }

    /// What the optimizer remembers: for each parameter its name with each of [`Optimizer::moments`] behind it.
    /// Together with [`Trainer::params`] and [`Trainer::steps`] it is all that [`Trainer::restore`] needs.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut tensors = vec![];
        for (k, moment) in self.optimizer.moments().iter().enumerate() {
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
        self.optimizer.check_state(&self.graph, state)?;
        for (k, moment) in self.optimizer.moments().iter().enumerate() {
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
        let weights = self.weights.iter().chain(&self.gradients).flatten().map(of);
        let state = self.state.iter().flatten().map(of);
        weights.chain(state).sum::<usize>() + self.ready.iter().map(|(_, r)| r.bytes()).sum::<usize>()
    }

    fn clear_state(&mut self) {
        let count = self.optimizer.moments().len();
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

    /// The index of a plan for this batch.
    fn planned(&mut self, n: usize, input_grad: bool) -> Result<usize> {
        let purpose = Purpose::Training { input_grad, recompute: self.recompute };
        if let Some(i) = self.ready.iter().position(|(p, r)| (*p, r.plan.batch) == (purpose, n)) {
            return Ok(i);
        }
        let ready =
            MemoryRequirement::of(&self.graph, n, purpose, &self.frozen(), &self.pool, PREFER, &Ranges::default())?
                .allocate();
        self.ready.truncate(PLANS - 1);
        self.ready.insert(0, (purpose, ready));
        Ok(0)
    }

    fn forward_backward(&mut self, plan: usize, x: &Tensor, labels: &[u32], draw: u32) -> Result<StepReport> {
        let (loss, step, share) = (self.loss, self.steps, self.share);
        let mut pass = Pass::new(self, plan, labels.len(), draw);
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

    fn frozen(&self) -> Vec<bool> {
        self.rates.iter().map(|&rate| rate == 0.0).collect()
    }

    /// The factor on all gradients.
    fn clip_factor(&self) -> f32 {
        if self.clip_norm == 0.0 {
            return 1.0;
        }
        let learning = self.gradients.iter().zip(&self.rates).filter(|(_, rate)| **rate != 0.0);
        clip_factor(learning.filter_map(|(g, _)| g.as_ref()).map(squares).sum(), self.clip_norm)
    }

    fn check_gradients(&self, loss: f32) -> Result<()> {
        for (node, gradients) in self.graph.nodes().iter().zip(&self.gradients) {
            if gradients.as_ref().is_some_and(|g| !(all_finite(&g.weight) && all_finite(&g.bias))) {
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

/// One forward and backward pass on a plan.
struct Pass<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    operations: &'a [Box<dyn Operation>],
    gradients: &'a mut [Option<Weights>],
    frame: ExecContext<'a>,
}

impl<'a> Pass<'a> {
    fn new(trainer: &'a mut Trainer, plan: usize, n: usize, step: u32) -> Self {
        let CompiledPlan { plan, operations, arena, scratch } = &mut trainer.ready[plan].1;
        let seed = trainer.seed;
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
