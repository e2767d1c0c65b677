//! `tail`: live events in the terminal.
//!
//! **Invariant**: attackers wrote the events. Their text reaches the terminal only through `boot::safe`, and
//! `--json` only as printable ASCII.

mod describe;
mod filter;
mod json;
mod line;

use std::io::{BufWriter, ErrorKind, IsTerminal, Write};

use anyhow::Context as _;
use boot::CancellationToken;
use bus::{Beginning, Bus, Followed, Following, Subjects};
use events::SensorId;
use filter::Wanted;
pub use filter::{EventPattern, Net};
use line::Look;

use crate::{since::Since, target::Target};

/// An event that happened after `--since` also arrived at the broker after it, unless the clock of its sensor
/// is ahead. That is tolerated up to this difference.
const CLOCKS_DIFFER_US: i64 = 10 * 60 * 1_000_000;

/// `cowriestream tail`
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "Examples:
  cowriestream tail
  cowriestream tail --event 'login.*' --event command.input --ip 198.51.100.0/24
  cowriestream tail --since 2h --session 7a93f0ee5273 --no-follow
  cowriestream tail --since 10m --json | jq -r 'select(.event.input) | [.sensor, .event.src_ip, .event.input] | @tsv'")]
pub struct Args {
    /// Also print past events that the stream still has: since this long ago (90s, 30m, 24h, 7d, 4w), or since
    /// this time
    #[arg(long, value_name = "AGE|TIME")]
    since: Option<Since>,
    /// Only of this sensor; may be given several times
    #[arg(long = "sensor", value_name = "NAME")]
    sensors: Vec<SensorId>,
    /// Only these events, with or without `cowrie.`; `*` matches any text. May be given several times
    #[arg(long = "event", value_name = "EVENT|PATTERN")]
    events: Vec<EventPattern>,
    /// Only from this address or network
    #[arg(long, value_name = "ADDRESS|CIDR")]
    ip: Option<Net>,
    /// Only of this session; the first characters of its id suffice
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Stop after N events
    #[arg(long, short = 'n', value_name = "N")]
    limit: Option<u64>,
    /// Print JSON, one object per line: {"sensor": NAME, "event": the repaired line}; ASCII only
    #[arg(long)]
    json: bool,
    /// Stop at the end of the stream; without --since, print everything that it has
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    target: Target,
}

/// Prints until it is stopped, has printed enough, or the output is closed.
pub async fn run(args: Args, stop: CancellationToken) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.target.bus()?, "tail").await?;
    let since = args.since.map(Since::before_now);
    let beginning = match (since, args.no_follow) {
        (Some(since), _) => Beginning::Arrived(since - CLOCKS_DIFFER_US),
        (None, true) => Beginning::Oldest,
        (None, false) => Beginning::Now,
    };
    let subjects = Subjects { sensors: args.sensors.clone(), events: filter::subjects(&args.events) };
    let mut following = Following::begin(&bus, &subjects, beginning).await?;
    let form = if args.json {
        Form::Json
    } else {
        Form::Text(Look {
            sensor: args.sensors.len() != 1,
            date: args.since.is_some() || args.no_follow,
            color: color(),
        })
    };
    let wanted = Wanted { since, events: args.events, ip: args.ip, session: args.session };
    let mut printer = Printer {
        wanted,
        form,
        left: args.limit.unwrap_or(u64::MAX),
        out: BufWriter::new(std::io::stdout()),
    };
    while printer.left > 0 && !(args.no_follow && following.at_end()) {
        let some = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            some = following.next() => some,
        };
        if !printer.print(&some)? {
            break;
        }
    }
    Ok(())
}

/// Prints all events live, for a user who started the sensor with `up --honeypot`.
pub struct Live {
    following: Following,
    look: Look,
}

impl Live {
    /// Starts with events that arrive from now on.
    pub async fn begin(bus: &Bus, with_sensor: bool) -> anyhow::Result<Self> {
        let following = Following::begin(bus, &Subjects::default(), Beginning::Now).await?;
        Ok(Self { following, look: Look { sensor: with_sensor, date: false, color: color() } })
    }

    /// Prints until stop.
    pub async fn print(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut printer = Printer {
            wanted: Wanted::default(),
            form: Form::Text(self.look),
            left: u64::MAX,
            out: BufWriter::new(std::io::stdout()),
        };
        loop {
            let some = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                some = self.following.next() => some,
            };
            let shown = printer.print(&some).unwrap_or_else(|error| {
                tracing::warn!(error = format!("{error:#}"), "could not print the live events");
                false
            });
            if !shown {
                tracing::warn!("the reader of the live events closed the output; everything else goes on");
                stop.cancelled().await;
                return Ok(());
            }
        }
    }
}

/// Whether to use colours: on a terminal, unless `NO_COLOR` is set.
fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

enum Form {
    Json,
    Text(Look),
}

struct Printer<W: Write> {
    wanted: Wanted,
    form: Form,
    /// Number of events that may still be printed.
    left: u64,
    out: W,
}

impl<W: Write> Printer<W> {
    /// Prints the wanted events; false when the output is closed.
    fn print(&mut self, some: &[Followed]) -> anyhow::Result<bool> {
        // A terminal may be stopped, or the reader of a pipe slow. Nothing else may wait for them.
        match tokio::task::block_in_place(|| self.write(some)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error).context("write to standard output"),
        }
    }

    fn write(&mut self, some: &[Followed]) -> std::io::Result<()> {
        for followed in some {
            if self.left == 0 {
                break;
            }
            let seen = line::Seen::read(&followed.sensor, &followed.line);
            if !self.wanted.holds(&seen) {
                continue;
            }
            self.left -= 1;
            let text = match &self.form {
                Form::Json => json::object(&followed.sensor, &followed.line),
                Form::Text(look) => seen.text(look),
            };
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }
}
