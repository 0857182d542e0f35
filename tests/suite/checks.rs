//! Checks of one engine against the references, natively and in browsers.

use convoke::layers::Loss;
use convoke::plan::Optimizer;

use super::networks::Network;
use super::subject::Subject;
use super::training::{LEARNING_RATE, LOSS, OPTIMIZER, STEPS, batch, compare_losses, lenet};
use super::{Case, STEP};

/// Compares an inference of a case.
pub async fn forward(case: &Case, subject: &Subject) -> Result<(), String> {
    let (params, x) = case.given();
    let run = async { subject.engine(&case.graph, &params).await?.run(&x).await };
    let y = run.await.map_err(|error: convoke::Error| format!("{error}\n  case: {}", case.name))?;
    case.check("inference", &y, case.inferred(), subject.tolerance)
}

/// Compares a training-mode pass of a case: its output, and the gradients of its input and its parameters.
pub async fn backward(case: &Case, subject: &Subject) -> Result<(), String> {
    let problem = case.problem();
    let run = async {
        let (loss, optimizer) = (Loss::CROSS_ENTROPY, Optimizer::sgd(0.0));
        let mut trainer = subject.trainer(&case.graph, &problem.params, loss, optimizer).await?;
        trainer.gradients(&problem.x, &problem.dy, STEP).await
    };
    let (y, dx, dparams) = run.await.map_err(|error| format!("{error}\n  case: {}", case.name))?;
    case.check("y", &y, &problem.y, subject.tolerance)?;
    case.check("dx", &dx, &problem.dx, subject.tolerance)?;
    problem.dparams.iter().try_for_each(|(name, want)| {
        case.check(&format!("gradient of {name}"), &dparams.tensor(name), want, subject.tolerance)
    })
}

/// Compares the logits of a full-size network with ONNX Runtime's, to a tolerance relative to the largest.
pub async fn parity(name: &str, subject: &Subject, tolerance: f32) -> Result<(), String> {
    let network = Network::new(name);
    let run = async { subject.engine(network.graph(), &network.params).await?.run(&network.x).await };
    let logits = run.await.map_err(|error: convoke::Error| format!("{error}\n  network: {name}"))?;
    network.check(&logits, tolerance)
}

/// Compares the losses of LeNet-5's fifty steps with the references' ones.
pub async fn lenet_losses(subject: &Subject) -> Result<(), String> {
    let (graph, params) = lenet();
    let trainer = subject.trainer(&graph, &params, LOSS, OPTIMIZER).await;
    let mut trainer = trainer.map_err(|error| error.to_string())?;
    let mut losses = vec![];
    for step in 0..STEPS {
        let (x, labels) = batch(step);
        let report = trainer.step(&x, &labels, LEARNING_RATE).await.map_err(|error| error.to_string())?;
        losses.push(report.loss);
    }
    compare_losses(&losses)
}
