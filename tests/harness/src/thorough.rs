//! How much a test tries: a sample in the loop that developers live in, everything in CI.

/// Whether a test tries everything: `LINKSPAN_THOROUGH` is set.
pub fn thorough() -> bool {
    std::env::var_os("LINKSPAN_THOROUGH").is_some()
}

/// How often a test repeats something: `all` times where the run is thorough, `some` times otherwise.
pub fn times(all: usize, some: usize) -> usize {
    if thorough() { all } else { some }
}

/// Every `one_of`th of what may be tried, from the `at`th on; everything where the run is thorough.
pub fn sample<T>(
    all: impl Iterator<Item = T>,
    at: usize,
    one_of: usize,
) -> impl Iterator<Item = T> {
    let (skipped, step) = if thorough() {
        (0, 1)
    } else {
        (at % one_of, one_of)
    };
    all.skip(skipped).step_by(step)
}
