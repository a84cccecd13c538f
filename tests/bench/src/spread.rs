//! Ratios of medians, with their spread.

use linkspan_harness::dice::Dice;

/// Repetitions of the draw.
const DRAWS: usize = 400;

/// A ratio of medians, with the interval that has 90 % of the ratios of samples drawn again from the same rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The ratio of a median to the sum of others; `None` where a round is missing or the sum is zero.
pub(crate) fn ratio(over: &[f64], under: &[&[f64]]) -> Option<Ratio> {
    if over.is_empty() || under.iter().any(|rounds| rounds.is_empty()) {
        return None;
    }
    let of = |over: f64, under: f64| (under > 0.0).then(|| over / under);
    let value = of(
        median(over.to_vec()),
        under.iter().map(|rounds| median(rounds.to_vec())).sum(),
    )?;
    let mut dice = Dice::new(1);
    let mut draw = |rounds: &[f64]| {
        let drawn = rounds.iter().filter_map(|_| dice.one_of(rounds));
        median(drawn.copied().collect())
    };
    let drawn =
        (0..DRAWS).filter_map(|_| of(draw(over), under.iter().map(|some| draw(some)).sum()));
    let mut drawn: Vec<f64> = drawn.collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| drawn.get(drawn.len() * percent / 100).copied();
    Some(Ratio {
        value,
        low: at(5)?,
        high: at(95)?,
    })
}

/// The value within which half of the rounds are, as a percentile of 50 says it.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = values.len().div_ceil(2).max(1) - 1;
    values.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_medians() {
        let told = ratio(&[4.0, 6.0, 100.0], &[&[1.0, 1.0], &[2.0, 2.0, 50.0]]).unwrap();
        assert!((told.value - 2.0).abs() < f64::EPSILON, "{told:?}");
        assert!(told.low <= 2.0 && told.high >= 2.0, "{told:?}");
    }

    #[test]
    fn rounds_that_are_alike_have_no_spread() {
        let told = ratio(&[3.0; 9], &[&[2.0; 5]]).unwrap();
        let all = [told.value, told.low, told.high];
        assert!(
            all.iter().all(|value| (value - 1.5).abs() < f64::EPSILON),
            "{told:?}"
        );
    }

    #[test]
    fn nothing_measured_has_no_ratio() {
        assert_eq!(ratio(&[], &[&[1.0]]), None);
        assert_eq!(ratio(&[1.0], &[&[1.0], &[]]), None);
        assert_eq!(ratio(&[1.0], &[&[0.0]]), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_the_lower_one() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
