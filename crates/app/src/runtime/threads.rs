//! How many workers a process gets.

use std::thread::available_parallelism;

/// A `ZTUNNEL_WORKER_THREADS` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThreadsError {
    /// Neither a number nor a percentage.
    #[error("it is neither a number nor a percentage")]
    Form,
    /// A percentage outside of 0 (excluded) to 100.
    #[error("the percentage is not above 0 and at most 100")]
    Percentage,
    /// More threads than anyone could mean.
    #[error("it is more than {0}")]
    TooMany(usize),
}

/// More workers than this are a typing error.
const MOST: usize = 1024;

/// The processors that this process may use (affinity and cgroup quota counted), at least one.
pub fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The number of workers for Istio's setting `ZTUNNEL_WORKER_THREADS`: a number (`0` is one a core), a percentage of the
/// cores rounded up (`50%`), or, not set, a quarter of the cores rounded up and at least two.
///
/// # Errors
/// The setting is of another form or out of range.
pub fn worker_threads(setting: Option<&str>, cores: usize) -> Result<usize, ThreadsError> {
    let Some(setting) = setting.map(str::trim).filter(|setting| !setting.is_empty()) else {
        return Ok(cores.div_ceil(4).max(2));
    };
    if let Some(percentage) = setting.strip_suffix('%') {
        let percentage: f64 = percentage.trim().parse().map_err(|_| ThreadsError::Form)?;
        if !(percentage > 0.0 && percentage <= 100.0) {
            return Err(ThreadsError::Percentage);
        }
        // At most the number of cores, so the cast is exact.
        return Ok(((cores as f64 * percentage / 100.0).ceil() as usize).max(1));
    }
    match setting.parse().map_err(|_| ThreadsError::Form)? {
        0 => Ok(cores.max(1)),
        count if count <= MOST => Ok(count),
        _ => Err(ThreadsError::TooMany(MOST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istio_settings_are_understood() {
        for (setting, cores, expected) in [
            (None, 1, 2),
            (None, 8, 2),
            (None, 9, 3),
            (None, 64, 16),
            (Some(""), 64, 16),
            (Some("3"), 64, 3),
            (Some("0"), 6, 6),
            (Some("50%"), 7, 4),
            (Some("100%"), 7, 7),
            (Some("0.1%"), 7, 1),
        ] {
            assert_eq!(worker_threads(setting, cores), Ok(expected), "{setting:?} of {cores}");
        }
    }

    #[test]
    fn other_settings_are_refused() {
        assert_eq!(worker_threads(Some("two"), 4), Err(ThreadsError::Form));
        assert_eq!(worker_threads(Some("-1"), 4), Err(ThreadsError::Form));
        assert_eq!(worker_threads(Some("x%"), 4), Err(ThreadsError::Form));
        assert_eq!(worker_threads(Some("0%"), 4), Err(ThreadsError::Percentage));
        assert_eq!(worker_threads(Some("101%"), 4), Err(ThreadsError::Percentage));
        assert_eq!(worker_threads(Some("NaN%"), 4), Err(ThreadsError::Percentage));
        assert_eq!(worker_threads(Some("5000"), 4), Err(ThreadsError::TooMany(MOST)));
    }
}
