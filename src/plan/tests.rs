use super::build::Plan;
use super::purpose::Purpose;
use super::step::Step;
use super::view::View;
use crate::graph::{Builder, Graph, Value};
use crate::layers::{
    Activation, ActivationLayer, Conv2d, Dropout, FakeQuantize, Flatten, Layer, Linear, MaxPool2d, Padding, Relu,
    Sigmoid, Softmax,
};
use crate::zoo;

const TRAINING: Purpose = Purpose::Training { input_grad: false, recompute: false };

fn kinds(graph: &Graph, plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|s| graph.nodes()[s.node].layer.kind()).collect()
}

fn lenet() -> Graph {
    zoo::network("lenet5", zoo::Options::default()).unwrap()
}

fn conv(c: usize) -> Conv2d {
    Conv2d::new(c, 3).padding(Padding::all(1))
}

#[test]
fn activations_are_fused_and_flatten_costs_nothing() {
    let graph = lenet();
    let plan = Plan::new(&graph, 1, Purpose::Inference);
    assert_eq!(kinds(&graph, &plan), ["conv2d", "max_pool2d", "conv2d", "max_pool2d", "linear", "linear", "linear"]);
    assert!([0, 2, 4, 5].iter().all(|&i| plan.steps[i].activation == Some(Activation::Relu)));
    // The first linear layer reads the pooled map where it lies.
    let view = plan.steps[4].inputs[0];
    assert_eq!((view.c, view.h, view.w), (16, 5, 5));
}

#[test]
fn backward_ends_where_nothing_below_learns() {
    let graph = lenet();
    let node = |name: &str| graph.nodes().iter().position(|n| n.name == name).unwrap();
    let back = |plan: &Plan| plan.backward.iter().map(|b| plan.steps[b.step].node).collect::<Vec<_>>();
    let whole = Plan::new(&graph, 8, TRAINING);
    assert_eq!(back(&whole).len(), 7);
    let head = node("fc3");
    let frozen: Vec<bool> = (0..graph.nodes().len()).map(|i| i != head).collect();
    let plan = Plan::with_frozen(&graph, 8, TRAINING, &frozen);
    assert_eq!(back(&plan), [head]);
    assert_eq!(plan.backward[0].dx, [None]);
    assert!(2 * plan.arena < whole.arena, "{} floats instead of {}", plan.arena, whole.arena);
    // One that learns further below brings back all that lies on the way.
    let frozen: Vec<bool> = (0..graph.nodes().len()).map(|i| i != node("conv2")).collect();
    let plan = Plan::with_frozen(&graph, 8, TRAINING, &frozen);
    assert_eq!(back(&plan).last(), Some(&node("conv2")));
    assert_eq!(plan.backward.len(), 5);
    assert!(plan.steps.iter().all(|step| step.frozen == (step.node != node("conv2"))));
}

#[test]
fn dropout_runs_only_in_training() {
    let mut b = Builder::new("d", [3, 4, 4]);
    let x = b.add("drop", Dropout { p: 0.5 }, Value::INPUT);
    let x = b.add("conv", conv(2), x);
    let graph = b.finish(x).unwrap();
    assert_eq!(kinds(&graph, &Plan::new(&graph, 1, Purpose::Inference)), ["conv2d"]);
    assert_eq!(kinds(&graph, &Plan::new(&graph, 1, TRAINING)), ["dropout", "conv2d"]);
}

#[test]
fn a_sum_is_computed_by_the_convolution_that_it_waits_for() {
    let mut b = Builder::new("residual", [4, 6, 6]);
    let a = b.add("a", conv(4), Value::INPUT);
    let c = b.add("c", conv(4), a);
    let y = b.sum("add", &[c, a]);
    let y = b.add("relu", Relu {}, y);
    let graph = b.finish(y).unwrap();
    let plan = Plan::new(&graph, 1, Purpose::Inference);
    assert_eq!(kinds(&graph, &plan), ["conv2d", "conv2d"]);
    assert_eq!(plan.steps[1].inputs, [a, a].map(|v| plan.view(v).unwrap()));
    assert_eq!(plan.steps[1].activation, Some(Activation::Relu));
    assert_eq!(plan.view(c), None, "only the sum is written");
    assert_eq!(kinds(&graph, &Plan::new(&graph, 1, TRAINING)), ["conv2d", "conv2d", "add"]);
}

#[test]
fn what_is_rounded_before_a_sum_is_rounded_by_the_convolution() {
    let fake = |zero_point| FakeQuantize { scale: 0.5, zero_point };
    let mut b = Builder::new("rounded", [4, 6, 6]);
    let a = b.add("a", conv(4), Value::INPUT);
    let a = b.add("a-rounded", fake(0), a);
    let c = b.add("c", conv(4), a);
    let c = b.add("c-rounded", fake(9), c);
    let y = b.sum("add", &[c, a]);
    let y = b.add("sum-rounded", fake(3), y);
    let graph = b.finish(y).unwrap();
    let plan = Plan::new(&graph, 1, Purpose::Inference);
    assert_eq!(kinds(&graph, &plan), ["conv2d", "conv2d"]);
    let Step { inputs, requantize, activation, output, .. } = &plan.steps[1];
    assert_eq!((inputs.len(), *output), (2, plan.view(y).unwrap()));
    assert_eq!((*requantize, *activation), (Some(fake(9).activation()), Some(fake(3).activation())));
    let [first, second] = plan.steps[1].split_residual_add().unwrap();
    assert_eq!((first.inputs, first.activation), (vec![inputs[0]], *requantize));
    assert_eq!((second.inputs, second.activation), (vec![*output, inputs[1]], *activation));

    let mut b = Builder::new("too-late", [4, 6, 6]);
    let c = b.add("c", conv(4), Value::INPUT);
    let late = b.add("late", conv(4), Value::INPUT);
    let c = b.add("c-rounded", fake(9), c);
    let y = b.sum("add", &[c, late]);
    let graph = b.finish(y).unwrap();
    assert_eq!(kinds(&graph, &Plan::new(&graph, 1, Purpose::Inference)), ["conv2d", "conv2d", "add"]);
}

#[test]
fn a_sum_stays_when_its_convolution_has_another_reader_or_its_inputs_are_one() {
    let mut b = Builder::new("read-twice", [4, 6, 6]);
    let a = b.add("a", conv(4), Value::INPUT);
    let sum = b.sum("add", &[a, Value::INPUT]);
    let product = b.product("mul", sum, a);
    let twice = b.add("c", conv(4), product);
    let y = b.sum("double", &[twice, twice]);
    let graph = b.finish(y).unwrap();
    let plan = Plan::new(&graph, 1, Purpose::Inference);
    assert_eq!(kinds(&graph, &plan), ["conv2d", "add", "mul", "conv2d", "add"]);
}

#[test]
fn nodes_without_a_reader_do_not_run() {
    let mut b = Builder::new("dead", [3, 4, 4]);
    let y = b.add("conv", conv(2), Value::INPUT);
    b.add("dead", conv(9), y);
    let graph = b.finish(y).unwrap();
    assert_eq!(Plan::new(&graph, 1, Purpose::Inference).steps.len(), 1);
}

#[test]
fn a_flatten_whose_order_is_seen_is_a_step() {
    let mut b = Builder::new("seen", [3, 4, 4]);
    let x = b.add("flatten", Flatten {}, Value::INPUT);
    let x = b.add("softmax", Softmax {}, x);
    let graph = b.finish(x).unwrap();
    assert_eq!(kinds(&graph, &Plan::new(&graph, 1, Purpose::Inference)), ["flatten", "softmax"]);
}

#[test]
fn branches_are_written_straight_into_their_concatenation() {
    let mut b = Builder::new("inception", [4, 8, 8]);
    let left = b.add("left", conv(5), Value::INPUT);
    let left = b.add("relu", Relu {}, left);
    let right = b.add("right", conv(3), Value::INPUT);
    let cat = b.concat("cat", &[left, right]);
    let y = b.add("next", conv(2), cat);
    let graph = b.finish(y).unwrap();
    for purpose in [Purpose::Inference, TRAINING] {
        let plan = Plan::new(&graph, 2, purpose);
        assert_eq!(kinds(&graph, &plan), ["conv2d", "conv2d", "conv2d"]);
        let [left, right, whole] = [left, right, cat].map(|v| plan.view(v).unwrap());
        assert_eq!((left.offset, left.pixel_stride, left.c), (whole.offset, 8, 5));
        assert_eq!((right.offset, right.pixel_stride, right.c), (whole.offset + 5, 8, 3));
    }
}

#[test]
fn dense_blocks_share_one_buffer() {
    let mut b = Builder::new("dense", [3, 6, 6]);
    let stem = b.add("stem", conv(4), Value::INPUT);
    let mut x = stem;
    for i in 0..3 {
        let new = b.add(format!("grow{i}"), conv(3), x);
        x = b.concat(format!("cat{i}"), &[x, new]);
    }
    let y = b.add("end", Conv2d::new(2, 1), x);
    let graph = b.finish(y).unwrap();
    let plan = Plan::new(&graph, 1, Purpose::Inference);
    assert_eq!(kinds(&graph, &plan), ["conv2d"; 5]);
    let (stem, whole) = (plan.view(stem).unwrap(), plan.view(x).unwrap());
    assert_eq!((stem.offset, stem.pixel_stride, whole.c), (whole.offset, 13, 13));
}

#[test]
fn the_first_gradient_overwrites_and_the_others_add() {
    let mut b = Builder::new("residual", [4, 5, 5]);
    let a = b.add("a", conv(4), Value::INPUT);
    let z = b.add("z", conv(4), a);
    let y = b.sum("sum", &[z, a]);
    let graph = b.finish(y).unwrap();
    let plan = Plan::new(&graph, 1, TRAINING);
    let writes: Vec<Vec<Option<bool>>> =
        plan.backward.iter().map(|s| s.dx.iter().map(|w| w.map(|w| w.accumulate)).collect()).collect();
    // sum writes z and a; z's backward adds to a; a's input is the network's, which needs no gradient.
    assert_eq!(writes, [vec![Some(false), Some(false)], vec![Some(true)], vec![None]]);
}

#[test]
fn a_shared_buffer_is_cleared_when_a_part_is_written_before_the_whole() {
    let mut b = Builder::new("early", [4, 5, 5]);
    let a = b.add("a", conv(4), Value::INPUT);
    let c = b.add("c", conv(4), Value::INPUT);
    let cat = b.concat("cat", &[a, c]);
    let head = b.add("head", Conv2d::new(4, 1), cat);
    let late = b.sum("late", &[head, a]);
    let graph = b.finish(late).unwrap();
    let plan = Plan::new(&graph, 1, TRAINING);
    let last = &plan.backward[0];
    assert_eq!(last.clear.len(), 1);
    assert_eq!((last.clear[0].c, last.clear[0].pixel_stride), (8, 8));
    assert_eq!(last.dx[1].map(|w| w.accumulate), Some(true));
}

#[test]
fn auxiliary_heads_run_only_in_training() {
    let mut b = Builder::new("aux", [3, 4, 4]);
    let x = b.add("stem", conv(4), Value::INPUT);
    let aux = b.add("aux", conv(2), x);
    b.auxiliary(aux, 0.3);
    let y = b.add("main", conv(2), x);
    let graph = b.finish(y).unwrap();
    assert_eq!(Plan::new(&graph, 1, Purpose::Inference).steps.len(), 2);
    let plan = Plan::new(&graph, 1, TRAINING);
    assert_eq!(plan.steps.len(), 3);
    assert_eq!(plan.heads.iter().map(|h| h.loss_weight).collect::<Vec<_>>(), [1.0, 0.3]);
}

/// Every value that a step reads still lies where its step wrote it: no later step has overwritten it in between.
#[test]
fn memory_is_not_reused_while_it_is_needed() {
    let mut b = Builder::new("mixed", [3, 16, 16]);
    let stem = b.add("stem", conv(8), Value::INPUT);
    let mut x = stem;
    for i in 0..4 {
        let y = b.add(format!("conv{i}"), conv(8), x);
        let y = b.add(format!("relu{i}"), Relu {}, y);
        x = b.sum(format!("sum{i}"), &[x, y]);
    }
    let x = b.sum("long", &[x, stem]);
    let x = b.add("pool", MaxPool2d::new(2, 2), x);
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("fc", Linear::new(4), x);
    let graph = b.finish(x).unwrap();
    let plan = Plan::new(&graph, 2, Purpose::Inference);
    let mut owner = vec![None; plan.arena];
    let range = |p: &View| p.offset..p.offset + p.span(2);
    owner[range(&plan.input)].fill(Some(plan.input));
    for step in &plan.steps {
        for input in &step.inputs {
            assert!(owner[range(input)].iter().all(|o| *o == Some(*input)), "{}", graph.nodes()[step.node].name);
        }
        owner[range(&step.output)].fill(Some(step.output));
    }
    assert!(plan.arena < graph.values().map(|v| 2 * graph.shape(v).elements()).sum::<usize>() / 2);
    assert!(plan.arena as f64 <= 1.2 * plan.largest_live as f64);
}

/// The memory of a network exceeds its largest set of live values by at most a fifth.
#[test]
fn networks_take_little_more_memory_than_they_must() {
    for name in zoo::names() {
        let graph = zoo::network(&name, zoo::Options::default()).unwrap();
        let Plan { arena, largest_live, .. } = Plan::new(&graph, 1, Purpose::Inference);
        assert!(arena as f64 <= 1.2 * largest_live as f64, "{name}: {arena} for {largest_live}");
    }
}

#[test]
fn every_step_of_a_training_plan_has_a_backward() {
    let graph = lenet();
    let plan = Plan::new(&graph, 4, TRAINING);
    let order: Vec<usize> = plan.backward.iter().map(|b| b.step).collect();
    assert_eq!(order, (0..plan.steps.len()).rev().collect::<Vec<_>>());
    assert!(plan.input_grad.is_none());
    assert!(Plan::new(&graph, 4, Purpose::Training { input_grad: true, recompute: false }).input_grad.is_some());
    assert!(matches!(graph.nodes()[plan.steps[0].node].layer, Layer::Conv2d(_)));
}

const RECOMPUTING: Purpose = Purpose::Training { input_grad: false, recompute: true };

/// VGG is not among them: what its first layers need at once is about as much as what all others keep.
#[test]
fn recomputing_values_saves_memory() {
    let ratio = |name: &str| {
        let graph = zoo::network(name, zoo::Options::default()).unwrap();
        let [kept, recomputing] = [TRAINING, RECOMPUTING].map(|purpose| Plan::new(&graph, 2, purpose));
        assert!(!kept.recomputes() && recomputing.recomputes(), "{name}");
        assert_eq!(recomputing.steps[..recomputing.forward].len(), kept.steps.len());
        // Each step runs at most twice.
        let mut repeated: Vec<usize> = recomputing.backward.iter().flat_map(|back| back.recompute.clone()).collect();
        let all = repeated.len();
        repeated.sort_unstable();
        repeated.dedup();
        assert!(repeated.len() == all && all < kept.steps.len(), "{name}");
        kept.arena as f64 / recomputing.arena as f64
    };
    for (name, least) in [("resnet152", 4.0), ("resnet50", 3.0), ("densenet121", 2.5), ("googlenet", 1.9)] {
        let ratio = ratio(name);
        assert!(ratio >= least, "{name}: {ratio}");
    }
}

/// Both halves of a training plan read each value before another overwrites it.
#[test]
fn values_and_gradients_stay_as_long_as_they_are_needed() {
    let mut b = Builder::new("residual", [3, 16, 16]);
    let mut x = b.add("stem", conv(8), Value::INPUT);
    for i in 0..9 {
        let y = b.add(format!("conv{i}"), conv(8), x);
        let y = b.add(format!("sigmoid{i}"), Sigmoid {}, y);
        x = b.sum(format!("sum{i}"), &[x, y]);
    }
    let x = b.add("flatten", Flatten {}, x);
    let x = b.add("fc", Linear::new(4), x);
    let graph = b.finish(x).unwrap();
    for purpose in [TRAINING, RECOMPUTING] {
        let plan = Plan::new(&graph, 2, purpose);
        // What each float holds: the place of the value or gradient, and the node whose value it is.
        let mut holds = vec![None; plan.arena];
        let range = |p: &View| p.offset..p.offset + p.span(2);
        holds[range(&plan.input)].fill(Some((plan.input, usize::MAX)));
        let run = |i: usize, holds: &mut Vec<Option<(View, usize)>>| {
            let step = &plan.steps[i];
            for input in &step.inputs {
                assert!(holds[range(input)].iter().all(|h| h.is_some_and(|h| h.0 == *input)));
            }
            holds[range(&step.output)].fill(Some((step.output, step.node)));
        };
        (0..plan.forward).for_each(|i| run(i, &mut holds));
        let head = plan.heads[0].grad.unwrap();
        holds[range(&head)].fill(Some((head, usize::MAX)));
        for back in &plan.backward {
            back.recompute.iter().for_each(|&i| run(i, &mut holds));
            let step = &plan.steps[back.step];
            for view in step.inputs.iter().chain([&back.dy]) {
                assert!(holds[range(view)].iter().all(|h| h.is_some_and(|h| h.0 == *view)), "{purpose:?}");
            }
            assert!(holds[range(&step.output)].iter().all(|h| *h == Some((step.output, step.node))), "{purpose:?}");
            for write in back.dx.iter().flatten() {
                let there = holds[range(&write.view)].iter().all(|h| h.is_some_and(|h| h.0 == write.view));
                assert!(there || !write.accumulate, "{purpose:?}");
                holds[range(&write.view)].fill(Some((write.view, usize::MAX)));
            }
        }
    }
}
