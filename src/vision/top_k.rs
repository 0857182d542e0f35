//! From a network's output to ranked classes.

use crate::graph::OutputKind;

/// Returns the `k` most probable classes for one sample's output, with their probabilities in descending order; among
/// equals the lower class comes first. A single number is binary: it gives the probability of class 1.
///
/// The probabilities of logits are their softmax, or for a single logit its logistic function. Outputs that are
/// probabilities are taken as they are; independent ones do not sum to 1.
///
/// # Examples
/// ```
/// use convoke::graph::OutputKind;
/// use convoke::vision::top_k;
/// let top = top_k(&[0.0, 2.0, 1.0], OutputKind::Logits, 2);
/// assert_eq!((top[0].0, top[1].0), (1, 2));
/// assert_eq!(top_k(&[0.0], OutputKind::Logits, 2), [(0, 0.5), (1, 0.5)]);
/// assert_eq!(top_k(&[0.25, 0.75], OutputKind::Probabilities, 1), [(1, 0.75)]);
/// ```
pub fn top_k(output: &[f32], kind: OutputKind, k: usize) -> Vec<(usize, f32)> {
    let probabilities = match (kind, output) {
        (OutputKind::Logits, [z]) => binary(1.0 / (1.0 + (-z).exp())),
        (OutputKind::Logits, _) => softmax(output),
        (_, [p]) => binary(*p),
        _ => output.to_vec(),
    };
    let mut ranked: Vec<(usize, f32)> = probabilities.into_iter().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.truncate(k);
    ranked
}

/// Returns the probabilities of classes 0 and 1.
fn binary(p: f32) -> Vec<f32> {
    vec![1.0 - p, p]
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f32> = logits.iter().map(|z| (z - max).exp()).collect();
    let sum: f32 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_ranks_and_sums_to_one() {
        let top = top_k(&[0.0, 1000.0, 999.0, 1000.0], OutputKind::Logits, 9);
        assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 3, 2, 0]);
        assert!((top.iter().map(|t| t.1).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(top_k(&[0.0, 1.0, 2.0], OutputKind::Logits, 1).len(), 1);
    }

    #[test]
    fn one_logit_is_two_classes() {
        assert_eq!(top_k(&[3.0], OutputKind::Logits, 5)[0].0, 1);
        assert_eq!(top_k(&[-3.0], OutputKind::Logits, 1)[0].0, 0);
    }

    #[test]
    fn probabilities_are_taken_as_they_are() {
        use OutputKind::{IndependentProbabilities, Probabilities};
        assert_eq!(top_k(&[0.234, 0.523, 0.243], Probabilities, 2), [(1, 0.523), (2, 0.243)]);
        assert_eq!(top_k(&[0.9, 0.8], IndependentProbabilities, 2), [(0, 0.9), (1, 0.8)]);
        assert_eq!(top_k(&[0.25], IndependentProbabilities, 2), [(0, 0.75), (1, 0.25)]);
    }
}
