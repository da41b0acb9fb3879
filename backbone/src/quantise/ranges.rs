//! On which scale the values of a map lie best.

use super::statistics::Spread;
use crate::network::Activation;
use crate::quantised::Scale;

/// How the range of a map's bytes is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// From the lowest value to the highest.
    MinMax,
    /// All but one in ten thousand at either end.
    Percentile,
    /// Where the squared error is least: few large values are cut where the others gain by it.
    #[default]
    Mse,
}

/// The share of values that may lie outside at either end.
const OUTSIDE: f64 = 1e-4;
/// By how much the range is made smaller at most, in how many steps, at either end.
const LEAST: f32 = 0.3;
const TRIES: usize = 36;

/// The scale for a map behind `activation`.
pub(super) fn scale(spread: &Spread, activation: Activation, method: Method) -> Scale {
    let (low, high) = match activation {
        Activation::Relu6 => (0.0, spread.high.clamp(0.0, 6.0)),
        Activation::Linear => (spread.low.min(0.0), spread.high.max(0.0)),
    };
    let (low, high) = match method {
        Method::MinMax => (low, high),
        Method::Percentile => {
            let (first, last) = percentiles(spread);
            (low.max(first.min(0.0)), high.min(last.max(0.0)))
        }
        Method::Mse => least_error(spread, low, high),
    };
    // A ReLU6 that nothing passed still needs a step, and none may hold more than 6.
    Scale::holding(low, if high > low { high } else { low + 1e-3 })
}

/// The values below and above which a share of [`OUTSIDE`] lies.
fn percentiles(spread: &Spread) -> (f32, f32) {
    let total: u64 = spread.cells.iter().sum();
    let most = (total as f64 * OUTSIDE) as u64;
    let cells: Vec<_> = spread.middles().collect();
    let first = edge(cells.iter().copied(), most).unwrap_or(spread.low);
    let last = edge(cells.iter().rev().copied(), most).unwrap_or(spread.high);
    (first, last)
}

/// The first cell with more than `most` values before its end.
fn edge(mut cells: impl Iterator<Item = (f32, u64)>, most: u64) -> Option<f32> {
    let mut seen = 0;
    let found = cells.find(|(_, n)| {
        seen += n;
        seen > most
    });
    found.map(|(middle, _)| middle)
}

/// The range with the least squared error: first the two ends together, then each by itself.
fn least_error(spread: &Spread, low: f32, high: f32) -> (f32, f32) {
    let cells: Vec<(f32, f64)> =
        spread.middles().filter(|(_, n)| *n > 0).map(|(middle, n)| (middle, n as f64)).collect();
    let error = |low: f32, high: f32| -> f64 {
        let scale = Scale::holding(low, high);
        let error = |value: f32| {
            // Inside of a byte the cells see the error; it is that of the middle of each.
            f64::from(value - scale.value(scale.byte(value)))
        };
        cells.iter().map(|&(value, n)| n * error(value).powi(2)).sum()
    };
    let factors = || (0..TRIES).map(|i| 1.0 - (1.0 - LEAST) * i as f32 / TRIES as f32);
    let best = |candidates: &mut dyn Iterator<Item = (f32, f32)>| {
        let tried = candidates.map(|(low, high)| (error(low, high), (low, high)));
        tried.min_by(|a, b| a.0.total_cmp(&b.0)).map_or((low, high), |(_, range)| range)
    };
    let (low, high) = best(&mut factors().map(|f| (low * f, high * f)));
    let (low, high) = best(&mut factors().map(|f| (low * f, high)));
    best(&mut factors().map(|f| (low, high * f)))
}

#[cfg(test)]
mod tests {
    use super::super::statistics::Extremes;
    use super::*;

    fn spread(values: &[f32]) -> Spread {
        let mut extremes = Extremes::new(1);
        extremes.add(values);
        let mut spread = Spread::new(&extremes);
        spread.add(values);
        spread
    }

    /// Many values up to 1, one of 100.
    fn outlier() -> Spread {
        let mut values: Vec<f32> = (0..100_000).map(|i| i as f32 / 1e5).collect();
        values.push(100.0);
        spread(&values)
    }

    #[test]
    fn methods_differ_by_what_they_do_with_an_outlier() {
        let high = |method| {
            let scale = scale(&outlier(), Activation::Linear, method);
            scale.value(255)
        };
        assert!((high(Method::MinMax) - 100.0).abs() < 1e-3);
        assert!(high(Method::Percentile) < 1.1, "{}", high(Method::Percentile));
        let mse = high(Method::Mse);
        assert!((0.9..100.0).contains(&mse), "{mse}");
    }

    #[test]
    fn a_relu6_holds_no_more_than_six() {
        for method in [Method::MinMax, Method::Percentile, Method::Mse] {
            let scale = scale(&outlier(), Activation::Relu6, method);
            assert!(scale.zero_point == 0 && scale.value(255) <= 6.0001, "{scale:?}");
        }
        let nothing = spread(&[0.0; 8]);
        assert!(scale(&nothing, Activation::Relu6, Method::Mse).is_sound());
        assert!(scale(&nothing, Activation::Linear, Method::Mse).is_sound());
    }

    #[test]
    fn both_signs_are_held() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 - 250.0) / 100.0).collect();
        for method in [Method::MinMax, Method::Percentile, Method::Mse] {
            let scale = scale(&spread(&values), Activation::Linear, method);
            let worst = values.iter().map(|&v| (v - scale.value(scale.byte(v))).abs()).fold(0.0, f32::max);
            assert!(worst < 0.5, "{method:?}: {worst}");
        }
    }
}
