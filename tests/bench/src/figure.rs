//! A figure, its limit and its bar.

use serde::Serialize;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The scenario.
    pub scenario: &'static str,
    /// What was measured, in a few words.
    pub name: String,
    /// How much of it.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// The most, or the least, that could have come of it.
    pub limit: Option<f64>,
    /// What it has to keep to: the ratio to the limit where there is one, else the value.
    pub bar: Option<Bar>,
    /// It depends on how fast or how large the machine is, so the short form takes no notice of its bar.
    pub absolute: bool,
}

/// What a figure has to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bar {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

impl Figure {
    /// A figure without limit and bar.
    pub fn new(scenario: &'static str, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { scenario, name: name.into(), value, unit, limit: None, bar: None, absolute: false }
    }

    /// Its limit: a bar is on the ratio then.
    pub fn of(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// At least so much.
    pub fn at_least(self, bar: f64) -> Self {
        Self { bar: Some(Bar::AtLeast(bar)), ..self }
    }

    /// At most so much.
    pub fn at_most(self, bar: f64) -> Self {
        Self { bar: Some(Bar::AtMost(bar)), ..self }
    }

    /// In seconds or megabytes: another machine has another.
    pub fn absolute(self) -> Self {
        Self { absolute: true, ..self }
    }

    /// The part of the limit.
    pub fn ratio(&self) -> Option<f64> {
        self.limit.map(|limit| if limit == 0.0 { f64::INFINITY } else { self.value / limit })
    }

    /// Whether the bar is kept; none where there is none.
    pub fn passes(&self) -> Option<bool> {
        let judged = self.ratio().unwrap_or(self.value);
        self.bar.map(|bar| match bar {
            Bar::AtLeast(least) => judged >= least,
            Bar::AtMost(most) => judged <= most,
        })
    }
}

/// The value below which that share of all lies. Sorts them.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_on_the_ratio_where_there_is_a_limit() {
        let figure = Figure::new("s", "n", 60.0, "1/s");
        assert_eq!(figure.clone().passes(), None);
        assert_eq!(figure.clone().at_least(61.0).passes(), Some(false));
        assert_eq!(figure.clone().of(100.0).at_least(0.6).passes(), Some(true));
        assert_eq!(figure.of(0.0).at_most(1.0).passes(), Some(false));
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 50.0);
        assert_eq!(percentile(&mut values, 0.99), 99.0);
        assert_eq!(percentile(&mut [7.0], 0.99), 7.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
    }
}
