//! Reads the rules of live signals from a file.

use std::{collections::BTreeSet, ops::RangeInclusive, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use events::Dimension;
use fields::Age;
use findings::Severity;
use serde::{Deserialize, Deserializer, de::Error as _};
use store::windows::Measure;

/// The rules that apply when the user gives no file.
pub const DEFAULT: &str = include_str!("../rules.toml");

#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Rule {
    /// A window that reaches a value.
    Activity(Activity),
    /// A sensor that sends nothing.
    Silence(Silence),
}

/// See `rules.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    pub name: String,
    pub title: String,
    pub severity: Severity,
    #[serde(deserialize_with = "dimension")]
    pub dimension: Dimension,
    #[serde(deserialize_with = "measure")]
    pub measure: Measure,
    pub at_least: i64,
    pub distinct_src_ips: Option<i64>,
    #[serde(deserialize_with = "length")]
    pub window: Duration,
    #[serde(default, deserialize_with = "some_length")]
    pub first_seen_within: Option<Duration>,
    pub times_usual: Option<f64>,
    #[serde(default = "week", deserialize_with = "length")]
    pub usual_over: Duration,
    #[serde(default = "hour", deserialize_with = "length")]
    pub cooldown: Duration,
}

/// See `rules.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    pub name: String,
    pub title: String,
    pub severity: Severity,
    #[serde(deserialize_with = "length")]
    pub window: Duration,
    pub usual: i64,
    #[serde(default = "week", deserialize_with = "length")]
    pub usual_over: Duration,
}

impl Rules {
    /// Reads the file, or the default rules.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            None => Self::read(DEFAULT).context("read the default rules"),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("read rules {}", path.display()))?;
                Self::read(&text).with_context(|| format!("read rules {}", path.display()))
            }
        }
    }

    pub fn read(text: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            rule: Vec<Rule>,
        }
        let File { rule: rules } = toml::from_str(text)?;
        let mut names = BTreeSet::new();
        for rule in &rules {
            rule.check().with_context(|| format!("rule {:?}", rule.name()))?;
            ensure!(names.insert(rule.name()), "two rules are named {:?}", rule.name());
        }
        Ok(Self(rules))
    }

    pub fn all(&self) -> &[Rule] {
        &self.0
    }

    pub fn activities(&self) -> impl Iterator<Item = &Activity> {
        self.0.iter().filter_map(|rule| if let Rule::Activity(rule) = rule { Some(rule) } else { None })
    }

    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.0.iter().filter_map(|rule| if let Rule::Silence(rule) = rule { Some(rule) } else { None })
    }
}

impl Rule {
    pub fn name(&self) -> &str {
        match self {
            Self::Activity(rule) => &rule.name,
            Self::Silence(rule) => &rule.name,
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let name = self.name();
        let fits = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        ensure!(fits, "a name is 1 to 64 characters from a-z, 0-9 and -");
        match self {
            Self::Activity(rule) => {
                ensure!(rule.at_least >= 1, "at_least must be 1 or more");
                ensure!(
                    rule.times_usual.is_none_or(|times| times.is_finite() && times > 0.0),
                    "times_usual must be greater than 0"
                );
                ensure!(
                    rule.first_seen_within.is_none_or(|within| within > rule.window),
                    "first_seen_within must be longer than the window"
                );
                ensure!(
                    rule.times_usual.is_none() || rule.usual_over >= rule.window,
                    "usual_over must not be shorter than the window"
                );
            }
            Self::Silence(rule) => {
                ensure!(rule.usual >= 1, "usual must be 1 or more");
                ensure!(rule.usual_over >= rule.window, "usual_over must not be shorter than the window");
            }
        }
        Ok(())
    }
}

fn dimension<'de, D: Deserializer<'de>>(from: D) -> Result<Dimension, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "no dimension {text:?}; one of {}",
            Dimension::ALL.map(Dimension::name).join(", ")
        ))
    })
}

fn measure<'de, D: Deserializer<'de>>(from: D) -> Result<Measure, D::Error> {
    let known = [
        Measure::Events,
        Measure::Sessions,
        Measure::LoginsFailed,
        Measure::LoginsSucceeded,
        Measure::Commands,
        Measure::Downloads,
        Measure::Bytes,
    ];
    let text = String::deserialize(from)?;
    let found = known.into_iter().find(|measure| measure.name() == text);
    found.ok_or_else(|| {
        D::Error::custom(format!("no measure {text:?}; one of {}", known.map(Measure::name).join(", ")))
    })
}

const WINDOW_RANGE: RangeInclusive<Age> = Age::minutes(1)..=Age::days(90);

fn length<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    Age::window(&text, &WINDOW_RANGE).map(Duration::from).map_err(D::Error::custom)
}

fn some_length<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    length(from).map(Some)
}

fn hour() -> Duration {
    Age::hours(1).into()
}

fn week() -> Duration {
    Age::days(7).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_rules_are_rules() {
        let rules = Rules::load(None).unwrap();
        assert_eq!((rules.activities().count(), rules.silences().count()), (4, 1));
    }

    #[test]
    fn an_error_names_the_wrong_value() {
        let rules: String =
            DEFAULT.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let refused =
            |from: &str, to: &str| format!("{:#}", Rules::read(&rules.replacen(from, to, 1)).unwrap_err());
        for (from, to, why) in [
            ("\"hassh\"", "\"hash\"", "no dimension \"hash\""),
            ("measure = \"events\"", "measure = \"event\"", "no measure \"event\""),
            ("window = \"1h\"", "window = \"1 hour\"", "expected a duration like"),
            ("window = \"1h\"", "window = \"91d\"", "from 1m to 90d"),
            ("window = \"1h\"", "window = \"90s\"", "in whole minutes"),
            ("first_seen_within = \"30d\"", "first_seen_within = \"30m\"", "longer than the window"),
            ("at_least = 1", "at_least = 0", "at_least"),
            ("\"new-hassh\"", "\"new hassh\"", "a name is"),
            ("\"new-hassh\"", "\"new-download\"", "two rules are named"),
            ("\"activity\"", "\"activities\"", "unknown variant"),
            ("severity = \"info\"", "severity = \"worst\"", "unknown variant"),
            ("window = \"1h\"", "windows = \"1h\"", "unknown field"),
        ] {
            let message = refused(from, to);
            assert!(message.contains(why), "{to}: {message}");
        }
    }
}
