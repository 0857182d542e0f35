//! Losses on the logits of a head, in double precision: logits are few.

use crate::layers::Loss;

/// Returns the loss of one sample, and replaces its logits by the gradient of the loss, times `scale`.
pub(super) fn forward_backward(loss: Loss, z: &mut [f32], label: u32, scale: f64) -> f64 {
    match loss {
        Loss::SoftmaxCrossEntropy { .. } => cross_entropy(loss, z, label, scale),
        Loss::BinaryCrossEntropy => binary(loss, z, label, scale),
    }
}

/// Returns the loss of a mixed-up sample, `share` of which has the first label and the rest the second; the gradient
/// replaces its logits.
pub(super) fn mixed(loss: Loss, z: &mut [f32], [label, other]: [u32; 2], share: f32, scale: f64) -> f64 {
    if share == 1.0 {
        return forward_backward(loss, z, label, scale);
    }
    let (share, mut rest) = (f64::from(share), z.to_vec());
    let total = share * forward_backward(loss, z, label, scale * share);
    let total = total + (1.0 - share) * forward_backward(loss, &mut rest, other, scale * (1.0 - share));
    z.iter_mut().zip(rest).for_each(|(z, rest)| *z += rest);
    total
}

fn cross_entropy(loss: Loss, z: &mut [f32], label: u32, scale: f64) -> f64 {
    // NaN becomes the maximum, so that the loss becomes NaN.
    let max = z.iter().fold(f64::NEG_INFINITY, |m, &z| if f64::from(z) <= m { m } else { f64::from(z) });
    let log_sum = max + z.iter().map(|&z| (f64::from(z) - max).exp()).sum::<f64>().ln();
    let k = z.len();
    let mut total = 0.0;
    for (i, z) in z.iter_mut().enumerate() {
        let (t, logit) = (loss.target(label, i, k), f64::from(*z));
        // 0 times the infinite loss of an impossible class would be NaN.
        total += if t == 0.0 { 0.0 } else { t * (log_sum - logit) };
        *z = (((logit - log_sum).exp() - t) * scale) as f32;
    }
    total
}

fn binary(loss: Loss, z: &mut [f32], label: u32, scale: f64) -> f64 {
    let k = z.len();
    let mut total = 0.0;
    for (i, z) in z.iter_mut().enumerate() {
        let (t, logit) = (loss.target(label, i, k), f64::from(*z));
        // max(z, 0) - z t + log(1 + exp(-|z|)) equals the definition, without overflow.
        total += if logit > 0.0 { logit } else { 0.0 } - logit * t + (-logit.abs()).exp().ln_1p();
        *z = ((1.0 / (1.0 + (-logit).exp()) - t) * scale) as f32;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::predicted_class;
    use crate::tensor::Tensor;

    #[test]
    fn agrees_with_the_reference() {
        let logits = [0.3f32, -1.5, 4.0, 80.0, -90.0, 1e-3];
        let losses =
            [Loss::CROSS_ENTROPY, Loss::SoftmaxCrossEntropy { label_smoothing: 0.1 }, Loss::BinaryCrossEntropy];
        for loss in losses {
            for label in 0..6 {
                let mut z = logits;
                let got = forward_backward(loss, &mut z, label, 1.0);
                let reference = Tensor::new([1, 6], logits.to_vec()).unwrap().to_f64();
                let (want, gradient) = loss.forward_backward(&reference, &[label]);
                assert!((got - want).abs() <= 1e-9 * want.abs(), "{got} instead of {want}");
                z.iter().zip(&gradient.data).for_each(|(a, b)| assert!((f64::from(*a) - b).abs() < 1e-7));
            }
        }
        assert_eq!(predicted_class(&logits), 3);
    }

    #[test]
    fn not_a_number_is_seen() {
        assert!(forward_backward(Loss::CROSS_ENTROPY, &mut [f32::NAN, 0.0], 1, 1.0).is_nan());
        assert!(forward_backward(Loss::BinaryCrossEntropy, &mut [f32::NAN, 0.0], 1, 1.0).is_nan());
    }
}
