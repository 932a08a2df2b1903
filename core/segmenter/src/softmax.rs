//! Logits to probabilities.

/// The softmax of `logits`, into `p`.
pub(crate) fn softmax(logits: &[f32], p: &mut [f32]) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, logit) in p.iter_mut().zip(logits) {
        *p = (logit - highest).exp();
        sum += *p;
    }
    for p in p {
        *p /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn probabilities_sum_to_one_however_large_the_logits() {
        let mut p = [0.0; 3];
        softmax(&[1000.0, 1000.0 + 3.0_f32.ln(), -1000.0], &mut p);
        for (p, expected) in p.into_iter().zip([0.25, 0.75, 0.0]) {
            assert!((p - expected).abs() < 1e-4, "{p} is not {expected}");
        }
    }
}
