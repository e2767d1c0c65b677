//! The program `cowriestream`.

use std::process::ExitCode;

use access::Access;
use boot::{Health, Tasks, interruptible};
use bus::Bus;
use clap::Parser as _;
use cowriestream::{
    analyse, backfill,
    cli::{
        Cli, Command, CoordinatorArgs, LoaderArgs, McpApiArgs, Native, ProcessorArgs, WorkerArgs,
        WorkerCommand,
    },
    dead_letters, findings, jobs, keys, load, native, ready, rules, status, tail, up, verify,
};
use store::Store;

#[tokio::main]
async fn main() -> ExitCode {
    boot::raise_descriptor_limit();
    let cli = match boot::adopt_secret_files() {
        Ok(()) => Cli::try_parse(),
        Err(error) => return verified(Err(error)),
    };
    let cli = match cli {
        Ok(cli) => cli,
        Err(help) => return boot::explained(help.exit_code(), help.print()),
    };
    let prepared = boot::log(&cli.log)
        .map(|()| cli)
        .and_then(|cli| boot::export_traces(cli.command.role()).map(|()| cli));
    match prepared {
        Ok(Cli { command: Command::Verify(args), .. }) => verified(verify::run(args).await),
        Ok(cli) => boot::run(|tasks| run(cli.command, tasks)).await,
        Err(error) => verified(Err(error)),
    }
}

/// 0 when everything agrees, 1 when not, 2 when it could not be found out.
fn verified(outcome: anyhow::Result<bool>) -> ExitCode {
    match outcome.and_then(|agrees| boot::finish().map(|()| agrees)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            boot::failed(&error);
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command, tasks: Tasks) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => up::run(*args, tasks).await,
        Command::Loader(args) => run_loader(*args, tasks).await,
        Command::Processor(args) => run_processor(*args, tasks).await,
        Command::Coordinator(args) => run_coordinator(*args, tasks).await,
        Command::McpApi(args) => run_mcp_api(*args, tasks).await,
        Command::Worker(args) => worker(*args, tasks).await,
        Command::Attempt => worker::attempt(tasks).await,
        Command::Jobs(args) => interruptible(&tasks, jobs::jobs(args)).await,
        Command::Queues(args) => interruptible(&tasks, jobs::queues(args)).await,
        Command::Workers(args) => interruptible(&tasks, jobs::workers(args)).await,
        Command::Keys(args) => interruptible(&tasks, keys::run(args)).await,
        Command::Schedules(args) => interruptible(&tasks, jobs::schedules(args)).await,
        Command::Analyse(args) => analyse::run(*args, tasks).await,
        Command::Findings(args) => interruptible(&tasks, findings::run(args)).await,
        Command::Load(args) => load::run(*args, tasks).await,
        Command::Backfill(args) => backfill::run(args, tasks.stop()).await,
        Command::Provision(args) => {
            Bus::connect(&args.target.bus()?, "provision").await?.provision(&args.topology).await
        }
        Command::Migrate(target) => Store::connect(&target.store()?).await?.migrate().await,
        Command::Verify(_) => Ok(()),
        Command::Tail(args) => tail::run(*args, tasks.stop()).await,
        Command::Status(args) => interruptible(&tasks, status::run(args)).await,
        Command::Rules(args) => rules::run(&args),
        Command::DeadLetters(command) => interruptible(&tasks, dead_letters::run(command)).await,
    }
}

async fn run_loader(args: LoaderArgs, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "loader").await?;
    let health = Health::default();
    let connected = bus.clone();
    health.needs("broker", move || connected.connected());
    health.serve(&args.health, &tasks).await?;
    let loader = loader::Loader::start(&args.loader, &bus, &tasks).await?;
    loader.report_to(&health);
    let statistics = loader.statistics.clone();
    let finished = loader.finish().await?;
    if args.loader.once {
        anyhow::ensure!(finished, "stopped before everything was committed");
        boot::say!("{}", serde_json::to_string(&loader::Loader::summary(&statistics))?);
        loader::Loader::check_files(&statistics)?;
    }
    Ok(())
}

async fn run_processor(args: ProcessorArgs, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "processor").await?;
    let store = Store::connect(&args.store).await?;
    store.check_schema().await?;
    bus.provision(&args.topology).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    let stop = tasks.stop();
    let parts = processor::Parts { bus, store, topology: args.topology, health, tasks };
    processor::start(&args.processor, parts).await?;
    stop.cancelled().await;
    Ok(())
}

async fn run_coordinator(args: CoordinatorArgs, tasks: Tasks) -> anyhow::Result<()> {
    let bus = Bus::connect(&args.bus, "coordinator").await?;
    let store = Store::connect(&args.store).await?;
    store.check_schema().await?;
    bus.provision(&args.topology).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    let stop = tasks.stop();
    let access = Access::start(&args.access, &store, args.redis_url.as_deref(), &tasks)?;
    let parts = coordinator::Parts {
        bus,
        store,
        access,
        redis_url: args.redis_url,
        topology: args.topology,
        health,
        tasks,
    };
    let listening = coordinator::start(&args.coordinator, parts).await?;
    tracing::info!(rest = %listening.rest, grpc = %listening.grpc, "coordinator ready");
    stop.cancelled().await;
    Ok(())
}

async fn run_mcp_api(args: McpApiArgs, tasks: Tasks) -> anyhow::Result<()> {
    let store = Store::connect(&args.store).await?;
    let health = Health::default();
    ready::probe_database(&health, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    let stop = tasks.stop();
    let access = Access::start(&args.access, &store, args.redis_url.as_deref(), &tasks)?;
    let parts = mcp_api::Parts { store, access, health, tasks };
    let listening = mcp_api::start(&args.mcp_api, parts).await?;
    tracing::info!(rest = %listening, "mcp-api ready");
    stop.cancelled().await;
    Ok(())
}

async fn worker(args: WorkerCommand, tasks: Tasks) -> anyhow::Result<()> {
    match args.native {
        None => run_worker(args.here, tasks).await,
        Some(Native::Start { run_dir, worker }) => {
            native::start(&run_dir, &worker::name(&worker.worker)?).await
        }
        Some(Native::Stop { run_dir, name, now }) => native::stop(&run_dir, name.as_deref(), now).await,
        Some(Native::Status { run_dir, json }) => native::status(&run_dir, json),
    }
}

async fn run_worker(args: WorkerArgs, tasks: Tasks) -> anyhow::Result<()> {
    worker::name(&args.worker)?;
    native::hold()?;
    let bus = Bus::connect(&args.bus, "worker").await?;
    let store = Store::connect(&args.store).await?;
    let health = Health::default();
    ready::probe_servers(&health, &bus, &store, &tasks);
    health.serve(&args.health, &tasks).await?;
    let stop = tasks.stop();
    let spec = worker::start(&args.worker, worker::Parts { bus, store, health, tasks }).await?;
    tracing::info!(name = spec.name, concurrency = spec.concurrency, "worker ready");
    native::ready()?;
    stop.cancelled().await;
    Ok(())
}
