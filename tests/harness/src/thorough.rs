//! How much a test tries: a small sample in the loop that developers live in, a larger one in CI, everything on request.

/// `LINKSPAN_THOROUGH=N`: a test tries one of N things, and everything with 1.
fn asked() -> Option<usize> {
    let asked = std::env::var("LINKSPAN_THOROUGH").ok()?;
    Some(asked.parse().unwrap_or(1).max(1))
}

/// How often a test repeats something: `some` times, and more, up to `all`, where the run is thorough.
pub fn times(all: usize, some: usize) -> usize {
    asked().map_or(some, |one_of| some.max(all / one_of))
}

/// Every `one_of`th of what may be tried, from the `at`th on; more where the run is thorough.
pub fn sample<T>(
    all: impl Iterator<Item = T>,
    at: usize,
    one_of: usize,
) -> impl Iterator<Item = T> {
    let one_of = asked().map_or(one_of, |asked| asked.min(one_of));
    all.skip(at % one_of).step_by(one_of)
}
