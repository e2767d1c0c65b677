//! `rules`: the rules of live signals.

use std::path::PathBuf;

use processor::rules::{DEFAULT, Rule, Rules};

/// `cowriestream rules`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream rules > rules.toml      the default set, to be changed
  cowriestream rules rules.toml        are these rules?
  COWRIESTREAM_RULES=rules.toml cowriestream up")]
pub struct Args {
    /// Check this file, and name its rules
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Prints.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Some(file) = &args.file else {
        boot::say!("{}", DEFAULT.trim_end());
        return Ok(());
    };
    let rules = Rules::load(Some(file))?;
    for rule in rules.all() {
        let of = match rule {
            Rule::Activity(rule) => format!("{} of a {}", rule.measure.name(), rule.dimension.name()),
            Rule::Silence(_) => "silence of a sensor".to_owned(),
        };
        boot::say!("{:<30} {of}", rule.name());
    }
    boot::say!("{} rules", rules.all().len());
    Ok(())
}
