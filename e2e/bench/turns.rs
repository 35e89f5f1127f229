//! Compares two sides that are measured alternately.

/// Results of two sides over all rounds.
pub struct Turns {
    /// Median rate of the first side, per second.
    pub first: f64,
    /// Median rate of the second side, per second.
    pub second: f64,
    /// Median over all rounds of the ratio of the first side to the second.
    pub ratio: f64,
}

/// Measures two sides `rounds` times; each side starts in half of the rounds.
pub fn by_turns(rounds: usize, mut first: impl FnMut() -> f64, mut second: impl FnMut() -> f64) -> Turns {
    let pairs: Vec<(f64, f64)> = (0..rounds)
        .map(|round| {
            if round % 2 == 0 {
                let one = first();
                (one, second())
            } else {
                let two = second();
                (first(), two)
            }
        })
        .collect();
    Turns {
        first: percentile(pairs.iter().map(|(one, _)| *one), 0.5),
        second: percentile(pairs.iter().map(|(_, two)| *two), 0.5),
        ratio: percentile(pairs.iter().map(|(one, two)| one / two), 0.5),
    }
}

/// The value that a share of all values does not exceed.
pub fn percentile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values[at]
}
