//! The process shell: logs, metrics, health, tasks, signals and stop.
//!
//! **Invariant**: every task is spawned here, and its end is noticed. A role that stops leaves nothing
//! running.

mod clock;
mod descriptors;
mod duty;
mod health;
mod http;
mod metrics;
mod output;
mod quote;
mod safe;
mod secret;
mod tasks;
mod trace;

use std::{future::Future, process::ExitCode, time::Duration};

pub use clock::now;
pub use descriptors::{descriptor_limit, is_descriptor_shortage, raise_descriptor_limit};
pub use duty::Duty;
pub use health::{Health, HealthArgs};
pub use http::{Connection, Crowd, Listener, Peer, serve_http};
pub use output::{finish, write_bytes, write_line};
pub use quote::quoted;
pub use safe::{ascii, safe, safe_lines, safe_up_to};
pub use secret::adopt_secret_files;
pub use tasks::{Task, Tasks};
pub use tokio_util::sync::CancellationToken;
pub use trace::{Span, export_traces, span, trace_of_event, traces_event};

/// After the first signal, the process exits after this time in any case.
const STOP_LIMIT: Duration = Duration::from_secs(25);

/// Time limit for the export of the last spans.
const TRACES_LIMIT: Duration = Duration::from_secs(3);

/// How the program logs.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct LogArgs {
    /// Log filter, e.g. `info`, `debug`, `loader=debug,info`
    #[arg(long, env = "COWRIESTREAM_LOG", default_value = "info", value_name = "FILTER", global = true)]
    pub log_level: String,
    /// One JSON object per log line instead of text
    #[arg(long, env = "COWRIESTREAM_LOG_JSON", global = true)]
    pub log_json: bool,
}

/// Starts logging to standard error, with filters as in `RUST_LOG`. Libraries that are not named log from
/// `warn`.
pub fn log(args: &LogArgs) -> anyhow::Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_new(format!("async_nats=error,sqlx=warn,{}", args.log_level))
            .map_err(|error| {
                anyhow::anyhow!(
                    "COWRIESTREAM_LOG={:?}: {error}; expected e.g. info or loader=debug,info",
                    args.log_level
                )
            })?;
    // If standard error cannot be written, there is nowhere to report it.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started =
        if args.log_json { subscriber.json().try_init() } else { subscriber.with_ansi(ansi).try_init() };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))
}

/// Runs a role until it is done, a task fails, or a signal stops it (within 25 s; a second signal stops at
/// once). Prints an error as one line with the chain of its causes.
pub async fn run<F, R>(role: F) -> ExitCode
where
    F: FnOnce(Tasks) -> R,
    R: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let tasks = Tasks::default();
    let stop = tasks.stop();
    let ended = tasks.start(role(tasks.clone())).result();
    let outcome = tokio::select! {
        outcome = ended => outcome.and_then(|outcome| outcome),
        // Nothing waits any more: tasks that still run are dropped with the runtime.
        why = signals(stop) => return failed(&why),
    };
    let outcome = outcome.and(tasks.end(STOP_LIMIT).await);
    trace::end_traces(TRACES_LIMIT).await;
    match outcome.and_then(|()| finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Prints an error on standard error. Returns 1, or the exit code of an [`Exit`].
pub fn failed(error: &anyhow::Error) -> ExitCode {
    complain(&format!("error: {}", safe_lines(&format!("{error:#}"))));
    ExitCode::from(error.downcast_ref::<Exit>().map_or(1, |exit| exit.code))
}

/// An error that ends the program with an exit code other than 1.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    pub message: String,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

/// Runs a command that only reads and prints. The first signal ends it, with the exit code that shells use
/// for an interrupt.
pub async fn interruptible(
    tasks: &Tasks,
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let stop = tasks.stop();
    tokio::select! {
        biased;
        outcome = command => outcome,
        () = stop.cancelled() => Err(Exit { code: 130, message: "interrupted".into() }.into()),
    }
}

/// The exit code after help, the version or an argument error was printed: `code`, or that of a failure if it
/// could not be printed.
pub fn explained(code: i32, printed: std::io::Result<()>) -> ExitCode {
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            failed(&anyhow::anyhow!("write: {error}"))
        }
        _ => ExitCode::from(u8::try_from(code).unwrap_or(1)),
    }
}

/// Prints a line on standard error. If that cannot be written, there is nowhere to report it.
pub fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The first signal cancels `stop`. Returns after the second signal or the time limit, with the reason.
async fn signals(stop: CancellationToken) -> anyhow::Error {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                return anyhow::Error::from(error).context("listen for signals");
            }
        };
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    };
    next().await;
    tracing::info!("stopping; a second signal stops at once");
    stop.cancel();
    tokio::select! {
        () = next() => anyhow::anyhow!("stopped at once by a second signal"),
        () = tokio::time::sleep(STOP_LIMIT) => anyhow::anyhow!("did not stop within {STOP_LIMIT:?}"),
    }
}

/// Prints a line on standard output. A reader that closes the pipe (`| head`) is not an error: the rest is
/// not printed. Any other failure is stored, and [`run`] ends with it.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::write_line(format_args!($($text)*)) };
}
