//! The report: what a message costs each way, and how the ways compare.

use crate::figures::{ascending, at};

/// The cost of one message, in microseconds of CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    pub(crate) envoy: f64,
    pub(crate) service: f64,
}

/// The part of a cost that a comparison is about.
#[derive(Clone, Copy, Debug)]
enum Part {
    Envoy,
    Service,
    Both,
}

/// A comparison of two costs.
#[derive(Clone, Copy, Debug)]
enum Comparison {
    Difference,
    /// A ratio, and the bound on it if it has one.
    Ratio(Option<f64>),
}

/// A line of the report on two ways.
#[derive(Debug)]
struct Line {
    name: &'static str,
    this: (&'static str, Part),
    that: (&'static str, Part),
    comparison: Comparison,
}

/// The bound on the cost of a schema in Postern, in times that of the service that judges by ajv.
const TARGET: f64 = 0.5;

const LINES: [Line; 9] = [
    Line {
        name: "Postern's reading and judging, in Envoy: schema - frames",
        this: ("schema", Part::Envoy),
        that: ("frames", Part::Envoy),
        comparison: Comparison::Difference,
    },
    Line {
        name: "Node's parsing and judging, in Node: ws+ajv - ws",
        this: ("ws+ajv", Part::Service),
        that: ("ws", Part::Service),
        comparison: Comparison::Difference,
    },
    Line {
        name: "ajv's own share of it: ws+ajv - ws+parse",
        this: ("ws+ajv", Part::Service),
        that: ("ws+parse", Part::Service),
        comparison: Comparison::Difference,
    },
    Line {
        name: "beside frames only, Envoy: schema / frames",
        this: ("schema", Part::Envoy),
        that: ("frames", Part::Envoy),
        comparison: Comparison::Ratio(None),
    },
    Line {
        name: "Envoy and service: schema / ws+ajv",
        this: ("schema", Part::Both),
        that: ("ws+ajv", Part::Both),
        comparison: Comparison::Ratio(Some(TARGET)),
    },
    Line {
        name: "the same without any filter: plain / ws+ajv",
        this: ("plain", Part::Both),
        that: ("ws+ajv", Part::Both),
        comparison: Comparison::Ratio(None),
    },
    Line {
        name: "Envoy alone of the first: schema / ws+ajv",
        this: ("schema", Part::Envoy),
        that: ("ws+ajv", Part::Both),
        comparison: Comparison::Ratio(None),
    },
    Line {
        name: "Envoy alone / Node alone: schema / ws+ajv",
        this: ("schema", Part::Envoy),
        that: ("ws+ajv", Part::Service),
        comparison: Comparison::Ratio(None),
    },
    Line {
        name: "Node in both, Envoy and service: schema, ws+parse / ws+ajv",
        this: ("schema, ws+parse", Part::Both),
        that: ("ws+ajv", Part::Both),
        comparison: Comparison::Ratio(None),
    },
];

/// Prints what is measured, and of which ways.
pub(crate) fn heading(listener: &str, rounds: usize, node: Option<&str>) {
    println!(
        "microseconds of CPU per text message of 1 KiB, there and back, {listener}; medians of {rounds} rounds\n\
         Envoy: without Postern, with it and rules for frames only (frames), or a schema besides (schema)\n\
         service: echoes, and does nothing else (plain), or is {}:\n\
         echoes (ws), or parses before (ws+parse), or parses and judges by ajv before (ws+ajv)",
        node.unwrap_or("of Node, which is missing")
    );
}

/// The costs each way, by its name, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    ways: Vec<(&'static str, Vec<Cost>)>,
}

impl Figures {
    /// Adds the cost of a round.
    pub(crate) fn add(&mut self, way: &'static str, cost: Cost) {
        match self.ways.iter_mut().find(|(name, _)| *name == way) {
            Some((_, costs)) => costs.push(cost),
            None => self.ways.push((way, vec![cost])),
        }
    }

    /// Prints a row for each way, and below them the lines that compare two.
    pub(crate) fn print(&self, workload: &str) {
        println!("{workload:<60}{:>9}{:>9}{:>9}  quartiles", "Envoy", "service", "both");
        for (way, costs) in &self.ways {
            let of = |part| ascending(costs.iter().map(|cost| cost.of(part)).collect());
            let [envoy, service, both] =
                [Part::Envoy, Part::Service, Part::Both].map(|part| at(&of(part), 0.5));
            println!("  {way:<58}{envoy:>9.2}{service:>9.2}{both:>9.2}  {}", quartiles(&of(Part::Both), 2));
        }
        for line in &LINES {
            if let Some(values) = self.compared(line) {
                println!("  {}", line.shown(&values));
            }
        }
    }

    /// Returns the comparisons of neighbours in one round, ascending: what slows the machine down for a while
    /// slows both.
    fn compared(&self, line: &Line) -> Option<Vec<f64>> {
        let costs = |name| self.ways.iter().find(|(way, _)| *way == name).map(|(_, costs)| costs);
        let ((this, part), (that, other)) = (line.this, line.that);
        let rounds = costs(this)?.iter().zip(costs(that)?);
        let compare = |this: f64, that: f64| match line.comparison {
            Comparison::Difference => this - that,
            Comparison::Ratio(_) => this / that,
        };
        Some(ascending(rounds.map(|(this, that)| compare(this.of(part), that.of(other))).collect()))
    }
}

impl Cost {
    fn of(self, part: Part) -> f64 {
        match part {
            Part::Envoy => self.envoy,
            Part::Service => self.service,
            Part::Both => self.envoy + self.service,
        }
    }
}

impl Line {
    fn shown(&self, values: &[f64]) -> String {
        let median = at(values, 0.5);
        match self.comparison {
            Comparison::Difference => format!("{:<76}{median:>9.2}  {}", self.name, quartiles(values, 2)),
            Comparison::Ratio(target) => {
                let verdict = target.map_or(String::new(), |target| {
                    format!(", target {target}: {}", if median <= target { "met" } else { "MISSED" })
                });
                format!("{:<76}{median:>9.3}  {}{verdict}", self.name, quartiles(values, 3))
            }
        }
    }
}

fn quartiles(ascending: &[f64], digits: usize) -> String {
    format!("{:.digits$}-{:.digits$}", at(ascending, 0.25), at(ascending, 0.75))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_compared_by_neighbours_in_a_round_and_one_that_did_not_run_by_nothing() {
        let mut figures = Figures::default();
        for (ours, theirs) in [(10.0, 40.0), (30.0, 40.0), (60.0, 300.0)] {
            figures.add("schema", Cost { envoy: ours, service: 10.0 });
            figures.add("ws+ajv", Cost { envoy: 20.0, service: theirs - 20.0 });
        }
        let shown = |name: &str| {
            let line = LINES.iter().find(|line| line.name == name)?;
            figures.compared(line).map(|values| line.shown(&values))
        };
        let both = shown("Envoy and service: schema / ws+ajv").unwrap();
        assert!(both.ends_with("0.500  0.367-0.750, target 0.5: met"), "{both}");
        let envoy = shown("Envoy alone of the first: schema / ws+ajv").unwrap();
        assert!(envoy.ends_with("0.250  0.225-0.500"), "{envoy}");
        assert_eq!(shown("beside frames only, Envoy: schema / frames"), None);
    }
}
