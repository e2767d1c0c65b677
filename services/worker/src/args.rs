//! The flags of a worker.

use std::path::PathBuf;

/// The settings of a worker.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Its name, for preferences and exclusive queues; default: the name of the host
    #[arg(long = "name", env = "COWRIESTREAM_WORKER_NAME", value_name = "NAME")]
    pub worker_name: Option<String>,
    /// Queues to serve, separated by commas
    #[arg(long, env = "COWRIESTREAM_WORKER_QUEUES", value_delimiter = ',', value_name = "QUEUE")]
    pub queues: Vec<String>,
    /// Jobs at the same time; default: the number of cores
    #[arg(
        long,
        env = "COWRIESTREAM_WORKER_CONCURRENCY",
        value_parser = clap::value_parser!(u32).range(1..=256),
        value_name = "N"
    )]
    pub concurrency: Option<u32>,
    /// Queues and concurrency of a kind of worker
    #[arg(long, env = "COWRIESTREAM_WORKER_PROFILE", value_name = "PROFILE")]
    pub profile: Option<Profile>,
    /// worker-config.yaml; the worker uses the entry with its --name, or with the name of this host
    #[arg(long, env = "COWRIESTREAM_WORKER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The accelerator, if it is not detected: e.g. nvidia_cuda, apple_neural_engine, none
    #[arg(long, env = "COWRIESTREAM_WORKER_ACCELERATOR", value_name = "NAME")]
    pub accelerator: Option<String>,
    /// Memory for all jobs together, in GiB; default: three quarters of the memory of the machine or of the
    /// control group
    #[arg(long, env = "COWRIESTREAM_WORKER_MEMORY_GB", value_name = "GIB")]
    pub memory_gb: Option<f64>,
    /// Cores to offer; default: those of the machine
    #[arg(long, env = "COWRIESTREAM_WORKER_CPU_CORES", value_name = "N")]
    pub cpu_cores: Option<u32>,
    /// Seconds that running jobs have to end when the worker stops; then it hands them back
    #[arg(
        long,
        env = "COWRIESTREAM_WORKER_DRAIN_SECONDS",
        default_value_t = 15,
        value_parser = clap::value_parser!(u64).range(0..=20),
        value_name = "SECONDS"
    )]
    pub drain_seconds: u64,
    /// Seconds before the second attempt; doubled for each further one, up to ten minutes, plus or minus half
    #[arg(
        long,
        env = "COWRIESTREAM_WORKER_RETRY_SECONDS",
        default_value_t = 5.0,
        value_parser = retry_seconds,
        value_name = "SECONDS"
    )]
    pub retry_seconds: f64,
}

/// Queues and concurrency of a kind of worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Profile {
    /// Every queue, four jobs
    #[value(name = "general")]
    General,
    /// longtail, snowshoe, botnet; eight jobs
    #[value(name = "ml_accelerated", alias = "ml-accelerated")]
    MlAccelerated,
    /// enrichment, reports; sixteen jobs
    #[value(name = "io_bound", alias = "io-bound")]
    IoBound,
}

/// The queues of the job types.
pub(crate) const QUEUES: [&str; 5] = ["longtail", "snowshoe", "botnet", "enrichment", "reports"];

impl Profile {
    pub(crate) fn queues(self) -> &'static [&'static str] {
        match self {
            Self::General => &QUEUES,
            Self::MlAccelerated => &["longtail", "snowshoe", "botnet"],
            Self::IoBound => &["enrichment", "reports"],
        }
    }

    pub(crate) fn concurrency(self) -> u32 {
        match self {
            Self::General => 4,
            Self::MlAccelerated => 8,
            Self::IoBound => 16,
        }
    }
}

/// Reads `--retry-seconds`.
fn retry_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=600.0).contains(&seconds) { Ok(seconds) } else { Err("expected 0 to 600 seconds".to_owned()) }
}
