//! The demo: scenes of a token's life, each with claims that are checked as they are made.
//!
//! | module | what it gives |
//! | --- | --- |
//! | `scenes` | the scenes against the simulator |
//! | `real` | the scenes against a real account |
//! | `stage` | control plane, operator, and the hands of a person and of a consumer |
//! | `tally` | what became of every token that was made |
//! | `show` | the screen, and the ledger of claims |
//! | `manifests` | the files of `deploy/` |
//! | `kubectl` | kubectl |

mod kubectl;
mod manifests;
mod real;
mod scenes;
mod show;
mod stage;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;

use self::scenes::Tfc;
use self::show::Show;
use self::stage::Stage;
use crate::Error;
use crate::simulator::{Simulator, TokenValue, standard_world};

/// The namespace and the ServiceAccount of `deploy/operator.yaml`.
const OPERATOR_NAMESPACE: &str = "tfc-token-operator";

/// What to show, and with what.
#[derive(Debug)]
pub struct Options {
    /// The operator's binary.
    pub operator: PathBuf,
    /// The folder of the control plane's programs.
    pub testbed: PathBuf,
    /// The folder `deploy/`.
    pub deploy: PathBuf,
    /// Leave everything running until Ctrl-C.
    pub keep: bool,
    /// A real account instead of the simulator.
    pub account: Option<RealAccount>,
}

/// An account of a real TFC.
#[derive(Debug)]
pub struct RealAccount {
    address: String,
    token: TokenValue,
}

impl RealAccount {
    /// The account at `address` (a URL) that `token` authenticates.
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Self {
        Self { address: address.into(), token: TokenValue::new(token) }
    }
}

/// Runs the demo. Failure where anything differed from what it claims; 130 where Ctrl-C ended it before its end.
pub async fn run(options: Options) -> ExitCode {
    crate::install_tls_provider();
    let result = match &options.account {
        Some(account) => real::run(&options, account).await,
        None => tokio::select! {
            // Where it waits for Ctrl-C itself, its own result goes first.
            biased;
            result = against_simulator(&options) => result,
            // The processes end as the future is dropped.
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        },
    };
    result.unwrap_or_else(|error| {
        eprintln!("\nThe demo could not go on: {error}");
        ExitCode::FAILURE
    })
}

async fn against_simulator(options: &Options) -> Result<ExitCode, Error> {
    let tfc = Tfc::start()?;
    let show = Show::new();
    show.say(format!("a simulator of HCP Terraform's token API at {}", tfc.simulator.address()));
    let mut stage = Stage::set(show, options, tfc.simulator.address()).await?;
    let speed = scenes::play_all(&mut stage, &tfc).await;

    stage.show.heading("Summary");
    stage.show.list_claims();
    println!("\n  Tokens");
    tally::tally(&stage, &tfc).await?.print();
    match speed {
        Some(speed) => println!("\n  {speed}"),
        None => println!("\n  apply -> Secret: not measured, the scene did not come to its end"),
    }
    end(&mut stage, options.keep, &tfc).await
}

async fn end(stage: &mut Stage, keep: bool, tfc: &Tfc) -> Result<ExitCode, Error> {
    stage.show.verdict();
    if !stage.show.all_held() {
        save_log(stage)?;
    }
    let code = if stage.show.all_held() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if keep {
        scenes::samples::put_up(stage, tfc).await?;
        keep_up(stage, "tfc-platform", "robot").await?;
    }
    Ok(code)
}

/// Keeps the operator's whole log where the demo's folder does not take it along.
fn save_log(stage: &Stage) -> Result<(), Error> {
    let path = std::env::temp_dir().join(format!("tfc-demo-operator-{}.log", std::process::id()));
    let failed = format!("could not write {}", path.display());
    std::fs::write(&path, stage.operator_logs()?).map_err(Error::while_trying(failed))?;
    println!("The operator's whole log is kept: {}", path.display());
    Ok(())
}

/// Waits for Ctrl-C, with everything running. The hints are about one role.
async fn keep_up(stage: &Stage, namespace: &str, role: &str) -> Result<(), Error> {
    stage.show.heading("It is all still running. In another terminal:");
    println!("  export KUBECONFIG={}", stage.kubeconfig().display());
    for line in [
        "kubectl get tfc -A".to_owned(),
        format!("kubectl -n {namespace} describe tfcrole {role}"),
        format!("kubectl -n {namespace} get secret {role} -o jsonpath='{{.data.token_id}}' | base64 -d"),
        format!("kubectl -n {namespace} annotate --overwrite tfcrole {role} terraformcloud.dev/rotate=\"$(date)\""),
        format!("kubectl -n {namespace} delete tfcrole {role}"),
        "kubectl explain tfcrole.spec".to_owned(),
    ] {
        println!("  {line}");
    }
    println!("The operator's own credential is good for an hour. Ctrl-C ends everything and removes it.");
    tokio::signal::ctrl_c().await.map_err(Error::while_trying("could not wait for Ctrl-C"))
}

impl Tfc {
    fn start() -> Result<Self, Error> {
        let mut standard = standard_world();
        let ids = standard.ids;
        // The config's account owns both organizations, so that the scenes of the slots have one to themselves.
        for user in standard.world.users.iter_mut().filter(|user| user.id == ids.ci) {
            user.owner_of.push(ids.globex.to_owned());
        }
        let simulator =
            Simulator::start(standard.world).map_err(Error::while_trying("could not start the simulator"))?;
        Ok(Self { simulator, ids })
    }
}
