//! From logits to ranked classes.

/// Returns the `k` most probable classes for one sample's logits, with probabilities that sum to 1 over all classes, in
/// descending order; among equals the lower class comes first. A single logit is binary: its logistic function is the
/// probability of class 1.
///
/// # Examples
/// ```
/// use convoke::vision::top_k;
/// let top = top_k(&[0.0, 2.0, 1.0], 2);
/// assert_eq!((top[0].0, top[1].0), (1, 2));
/// assert_eq!(top_k(&[0.0], 2), [(0, 0.5), (1, 0.5)]);
/// ```
pub fn top_k(logits: &[f32], k: usize) -> Vec<(usize, f32)> {
    let probabilities = match logits {
        [z] => {
            let p = 1.0 / (1.0 + (-z).exp());
            vec![1.0 - p, p]
        }
        _ => softmax(logits),
    };
    let mut ranked: Vec<(usize, f32)> = probabilities.into_iter().enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.truncate(k);
    ranked
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
        let top = top_k(&[0.0, 1000.0, 999.0, 1000.0], 9);
        assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 3, 2, 0]);
        assert!((top.iter().map(|t| t.1).sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(top_k(&[0.0, 1.0, 2.0], 1).len(), 1);
    }

    #[test]
    fn one_logit_is_two_classes() {
        assert_eq!(top_k(&[3.0], 5)[0].0, 1);
        assert_eq!(top_k(&[-3.0], 1)[0].0, 0);
    }
}
