//! The figures of one workload, and the table of all.

use crate::workload::Workload;

/// The cost of one message in each round, in microseconds of Envoy's CPU.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    bare: Vec<f64>,
    guarded: Vec<f64>,
}

impl Figures {
    /// Adds one round: Envoy alone and, right behind it, with Postern.
    pub(crate) fn add(&mut self, bare: f64, guarded: f64) {
        self.bare.push(bare);
        self.guarded.push(guarded);
    }

    /// Returns the ratios of neighbours, ascending: what slows the machine down for a while slows both.
    fn ratios(&self) -> Vec<f64> {
        ascending(self.guarded.iter().zip(&self.bare).map(|(guarded, bare)| guarded / bare).collect())
    }

    /// Returns the ratio that three of four rounds keep below: of two Envoys that are alike, how far the run's figures are to be
    /// believed.
    pub(crate) fn noise(&self) -> f64 {
        at(&self.ratios(), 0.75).max(1.0)
    }

    /// Returns one line of the table, on what `filter` costs. `target` is met up to the run's `noise`.
    pub(crate) fn row(
        &self,
        listener: &str,
        workload: &Workload,
        filter: &str,
        (target, noise): (Option<f64>, f64),
    ) -> String {
        let ratios = self.ratios();
        let ratio = at(&ratios, 0.5);
        let verdict = |target: f64| match ratio {
            ratio if ratio <= target => "met",
            ratio if ratio <= target * noise => "met but for noise",
            _ => "MISSED",
        };
        let (target, verdict) =
            target.map_or(("-".to_owned(), ""), |target| (format!("{target:.2}"), verdict(target)));
        let quantile = |values: &[f64], quantile| at(&ascending(values.to_vec()), quantile);
        // The cheapest rounds are the ones that other work on the machine has disturbed least.
        let calm = quantile(&self.guarded, 0.1) / quantile(&self.bare, 0.1);
        format!(
            "{listener:<9}  {:<30}{filter:<8}{:>9.2}{:>9.2}{ratio:>8.3}  {:.3}-{:.3}{calm:>8.3}{target:>8}  {verdict}",
            workload.name,
            quantile(&self.bare, 0.5),
            quantile(&self.guarded, 0.5),
            at(&ratios, 0.25),
            at(&ratios, 0.75),
        )
        .trim_end()
        .to_owned()
    }
}

/// The heading of the rows.
pub(crate) const HEADING: &str = "listener   workload                      filter       bare  guarded   ratio  \
                                  quartiles      calm  target";

pub(crate) fn ascending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the value at a quantile, between neighbours if the quantile falls between them.
pub(crate) fn at(ascending: &[f64], quantile: f64) -> f64 {
    let position = quantile * ascending.len().saturating_sub(1) as f64;
    let value = |index: f64| ascending.get(index as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (value(position.floor()), value(position.ceil()));
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::ALL;

    #[test]
    fn a_row_shows_the_median_of_the_ratios_of_neighbours() {
        let mut figures = Figures::default();
        for (bare, guarded) in [(10.0, 11.0), (100.0, 130.0), (20.0, 24.0)] {
            figures.add(bare, guarded);
        }
        for (target, noise, end) in [
            (Some(1.1), 1.05, &["1.10", "MISSED"][..]),
            (Some(1.1), 1.1, &["1.10", "met", "but", "for", "noise"]),
            (Some(1.2), 1.0, &["1.20", "met"]),
            (None, 1.0, &["-"]),
        ] {
            let row = figures.row("plain", &ALL[0], "Postern", (target, noise));
            let cells: Vec<&str> = row.split_whitespace().collect();
            let expected = [&["20.00", "24.00", "1.200", "1.150-1.250", "1.133"], end].concat();
            assert_eq!(&cells[cells.len() - expected.len()..], expected);
        }
    }

    #[test]
    fn the_noise_of_a_run_is_what_three_of_four_rounds_keep_below() {
        let mut figures = Figures::default();
        for guarded in [9.0, 10.0, 10.4, 10.8, 10.2] {
            figures.add(10.0, guarded);
        }
        assert!((figures.noise() - 1.04).abs() < 1e-9, "{}", figures.noise());
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!([at(&[1.0, 2.0], 0.5), at(&[1.0, 2.0, 4.0], 0.5), at(&[3.0], 0.25)], [1.5, 2.0, 3.0]);
        assert!(at(&[], 0.5).is_nan());
    }
}
