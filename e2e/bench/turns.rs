//! Two sides by turns.

/// What two sides did over all turns.
pub struct Turns {
    /// Median of what the first did, per second.
    pub first: f64,
    /// Median of what the second did, per second.
    pub second: f64,
    /// Median of the ratios, first to second, of each turn.
    pub ratio: f64,
}

/// Measures two sides `rounds` times, each first in half of them.
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

/// The value that this share of all values does not exceed.
pub fn percentile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values[at]
}
