//! What all measurements share.

/// Any error ends the benchmark.
pub(crate) type BoxError = Box<dyn std::error::Error>;

/// Returns the median, or NaN of no values.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
