//! How far an engine's results are from exact ones, layer by layer, on the machine it runs on.

use std::sync::Arc;

use serde::Serialize;

use crate::cpu::{Algorithm, Pool, ReferenceRunner, StepInfo};
use crate::engine::Engine;
use crate::error::Result;
use crate::graph::{Graph, Params};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Scales below this are taken as this: a layer whose outputs are all but zero has no relative error.
const SMALLEST_SCALE: f32 = 1e-3;

/// How far the outputs of one step of a run are from exact ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerError {
    /// The layer that the step begins with.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// How the engine computed it; of layers with weights, on the CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<&'static str>,
    /// The largest difference, as a share of the largest exact value. [`f32::MAX`] when a value is not a number.
    pub error: f32,
}

/// Runs one random input on `engine`, which was made from `graph` and `params`, and beside it on the CPU with nothing but
/// sums of products, a step at a time; `done(i, steps)` is called after step `i`. Errors add up from layer to layer.
///
/// # Errors
/// Those of the engine.
pub async fn self_test(
    graph: &Graph,
    params: &Params,
    pool: &Arc<Pool>,
    engine: &mut Engine,
    done: &mut dyn FnMut(usize, usize),
) -> Result<Vec<LayerError>> {
    let mut exact = ReferenceRunner::new(graph, params, pool)?;
    let steps = match engine {
        Engine::Cpu(engine) => engine.steps(),
        #[cfg(feature = "gpu")]
        Engine::Gpu(_) => exact.steps(), // Without weights at hand they name no algorithm.
    };
    let x = input(graph)?;
    exact.begin(&x)?;
    engine.begin(&x).await?;
    let mut errors = vec![];
    let count = steps.len();
    for (i, StepInfo { name, kind, algorithm, .. }) in steps.into_iter().enumerate() {
        let (want, got) = (exact.step(i), engine.step(i).await?);
        let (algorithm, error) = (algorithm.map(Algorithm::name), scaled_error(&got, &want));
        errors.push(LayerError { name, kind, algorithm, error });
        done(i, count);
    }
    Ok(errors)
}

/// Uniform in [-1, 1), the same everywhere.
fn input(graph: &Graph) -> Result<Tensor> {
    let shape = graph.input().batched(1);
    let mut rng = Rng::new(1, 0);
    let data = (0..graph.input().elements()).map(|_| rng.range(-1.0, 1.0)).collect();
    Tensor::new(shape, data)
}

fn scaled_error(got: &[f32], want: &[f32]) -> f32 {
    let scale = want.iter().fold(SMALLEST_SCALE, |scale, v| scale.max(v.abs()));
    let errors = got.iter().zip(want).map(|(a, b)| (a - b).abs() / scale);
    // A maximum would pass over what is not a number.
    errors.fold(0.0, |worst, e| if e.is_finite() { worst.max(e) } else { f32::MAX })
}
