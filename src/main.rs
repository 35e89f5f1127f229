//! The program: parses the command line, sets up logging, and runs a subcommand.

use std::io::IsTerminal;
use std::process::ExitCode;

use centrex::commands::switch::{SwitchCommand, SwitchOrder};
use centrex::util::pipe::Pipe;
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Faster than the system's allocator, and returns memory after a bulk load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Multi-tenant FreeSWITCH from custom resources.
#[derive(Parser)]
#[command(name = "centrex", version, about)]
struct Cli {
    /// What is logged: error, warn, info, debug or trace, also by module (centrex::store=debug)
    #[arg(long, env = "CENTREX_LOG", global = true, default_value = "info", value_name = "FILTER")]
    log: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything in one process, from a folder of manifests
    Standalone(Box<centrex::commands::standalone::StandaloneArgs>),
    /// Resources of a cluster, compiled into Postgres; statuses; admission
    Operator(centrex::commands::operator::OperatorArgs),
    /// The sidecar of one FreeSWITCH: answers it from memory, and keeps it as it should be
    Switch(SwitchCommand),
    /// The files of phones, over HTTPS
    Api(Box<centrex::commands::api::ApiArgs>),
    /// What a phone gets
    #[command(subcommand)]
    Phone(centrex::commands::phone::PhoneCommand),
    /// Compile manifests offline and print what is wrong with them
    Check(centrex::commands::check::CheckArgs),
    /// Say how a call would be routed, rule by rule, and what a proposed change does to it
    Trace(centrex::commands::trace::TraceArgs),
    /// Print the CRDs, write them to a directory, or compare them with it
    Crds(centrex::commands::crds::CrdsArgs),
    /// Bring a database up to date
    Migrate(centrex::commands::migrate::MigrateArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = log(&cli.log) {
        eprintln!("error: --log {}: {error}; allowed is a level, or MODULE=LEVEL, …", cli.log);
        return ExitCode::from(2);
    }
    let outcome = match cli.command {
        Command::Check(args) => {
            return centrex::commands::check::run(
                &args,
                &mut Pipe(std::io::stdout()),
                &mut std::io::stderr(),
            )
            .into();
        }
        Command::Trace(args) => {
            let (mut out, mut errors) = (Pipe(std::io::stdout()), std::io::stderr());
            match block_on(async {
                anyhow::Ok(centrex::commands::trace::run(&args, &mut out, &mut errors).await)
            }) {
                Ok(code) => return code.into(),
                Err(error) => Err(error),
            }
        }
        Command::Crds(args) => centrex::commands::crds::run(&args).map_err(anyhow::Error::from),
        Command::Standalone(args) => block_on(centrex::commands::standalone::run(*args)),
        Command::Operator(args) => block_on(centrex::commands::operator::run(args)),
        Command::Switch(SwitchCommand::Run(args)) => block_on(centrex::commands::switch::run(*args)),
        Command::Switch(SwitchCommand::Order(SwitchOrder::Drain(args))) => {
            block_on(centrex::commands::switch::drain(args))
        }
        Command::Switch(SwitchCommand::Order(SwitchOrder::Resume(args))) => {
            block_on(centrex::commands::switch::resume(args))
        }
        Command::Api(args) => block_on(centrex::commands::api::run(*args)),
        Command::Phone(command) => block_on(centrex::commands::phone::run(command)),
        Command::Migrate(args) => block_on(centrex::commands::migrate::run(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn block_on<T, E>(work: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(work)?)
}

/// Structured logs on standard error: text on a terminal, JSON otherwise.
fn log(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    // The event socket's crate logs every connection and every dropped event: Centrex logs what matters.
    // kube's client logs every failed request, and kube-runtime every retry of a watch: the operator logs an
    // outage once.
    let quiet = "freeswitch_esl_tokio=error,kube_client::client=error,kube_client::client::builder=off,kube_runtime=error";
    let filter = EnvFilter::builder().parse(format!("{quiet},{filter}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.init();
    } else {
        subscriber.json().init();
    }
    Ok(())
}
