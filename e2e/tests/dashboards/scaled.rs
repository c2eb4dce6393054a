//! Rules and queries in which time passes faster, and nothing else is another: each range, offset and `for` is divided.

use std::time::Duration;

use postern_e2e::Value;

const FACTOR: &str = "POSTERN_DASHBOARDS_FACTOR";

/// The factor of an ordinary run: an hour is a minute.
const ORDINARY: u32 = 60;

/// The interval at which Prometheus is thought to scrape, and judge its rules.
const INTERVAL: Duration = Duration::from_secs(30);

/// The factor by which time passes faster.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale(u32);

impl Scale {
    pub(crate) fn of_variable() -> Self {
        let factor = std::env::var(FACTOR).ok().map(|text| text.parse().expect("a whole number of times"));
        Self(factor.unwrap_or(ORDINARY))
    }

    pub(crate) fn of(self, time: Duration) -> Duration {
        time / self.0
    }

    /// Returns the interval of scrapes and of rules, not so short that an Envoy on a busy machine could not keep up.
    pub(crate) fn interval(self) -> Duration {
        self.of(INTERVAL).max(Duration::from_millis(200))
    }

    /// Returns the range that Grafana puts in the place of `$__rate_interval`: four scrapes.
    pub(crate) fn rate_interval(self) -> String {
        written(4 * self.interval().max(self.of(Duration::from_secs(75))))
    }

    /// Returns the file of rules with all of its times divided.
    pub(crate) fn rules(self, file: &str) -> Value {
        let mut rules: Value = serde_saphyr::from_str(file).expect("rules in YAML");
        for group in rules["groups"].as_array_mut().expect("groups") {
            for rule in group["rules"].as_array_mut().expect("rules") {
                rule["expr"] = self.expression(rule["expr"].as_str().expect("an expression")).into();
                if let Some(time) = rule["for"].as_str().map(|time| self.time(time)) {
                    rule["for"] = time.into();
                }
            }
        }
        rules
    }

    /// Divides the ranges (`[5m]`) and offsets (`offset 5m`) of an expression.
    fn expression(self, expression: &str) -> String {
        let mut scaled = String::new();
        for (number, piece) in expression.replace("offset ", "offset [").split('[').enumerate() {
            let Some((time, rest)) =
                piece.split_once(|c: char| !c.is_ascii_alphanumeric()).filter(|_| number > 0)
            else {
                assert!(number == 0, "a time ends the expression {expression}");
                scaled.push_str(piece);
                continue;
            };
            let opening = if scaled.ends_with("offset ") { "" } else { "[" };
            let end = &piece[time.len()..piece.len() - rest.len()];
            scaled.push_str(&format!("{opening}{}{end}{rest}", self.time(time)));
        }
        scaled
    }

    fn time(self, time: &str) -> String {
        let (number, unit) = time.split_at(time.len() - 1);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            _ => panic!("{time} is no time"),
        };
        written(self.of(Duration::from_secs(number.parse::<u64>().expect("a number") * seconds)))
    }
}

/// Returns a time as Prometheus reads it.
pub(crate) fn written(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

#[test]
fn ranges_and_offsets_are_scaled_and_nothing_else_of_an_expression_is() {
    let expression =
        r#"sum(rate(m{a="5m"}[5m])) > 5 * (rate(m[1h] offset 5m) unless n offset 10m) and x > 20"#;
    let scaled = r#"sum(rate(m{a="5m"}[5000ms])) > 5 * (rate(m[60000ms] offset 5000ms) unless n offset 10000ms) and x > 20"#;
    assert_eq!(Scale(60).expression(expression), scaled);
}
