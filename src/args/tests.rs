use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;
use crate::log::LogFormat;

fn run(flags: &[&str]) -> Result<RunArgs, clap::Error> {
    let args = Args::try_parse_from(["tfc-token-operator", "run"].iter().chain(flags))?;
    match args.command {
        Command::Run(run) => Ok(*run),
        other => unreachable!("{other:?} is not run"),
    }
}

fn settings(flags: &[&str]) -> Settings {
    run(flags).expect("flags that parse").settings().expect("flags that go together")
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let secs = Duration::from_secs;
    let got = settings(&[]);
    assert_eq!(got.scope.namespaces, Vec::<String>::new());
    let timing = Timing { lease_duration: secs(15), renew_deadline: secs(10), retry_period: secs(2) };
    assert_eq!(got.leader_election, Some(timing));
    assert_eq!(got.metrics_bind_address, ":8080".parse().expect("an address"));
    assert_eq!(got.health_probe_bind_address, ":8081".parse().expect("an address"));
    assert_eq!(got.max_concurrent_reconciles.get(), 32);
    assert_eq!(got.scope.installation_id, None);
    assert!(got.scope.allowed_addresses.permits("any.example.com"));
    assert!(!got.scope.insecure_allow_http);
    assert_eq!(got.scope.settling_time, secs(120));
    assert_eq!(got.scope.log_format, LogFormat::Text);
}

#[test]
fn lists_are_repeated_or_separated_by_commas() {
    assert_eq!(settings(&["--namespace=b,a", "--namespace", "c", "--namespace=a"]).scope.namespaces, ["a", "b", "c"]);
    let allowed = settings(&["--allowed-addresses=app.terraform.io,*.example.com", "--allowed-addresses", "localhost"]);
    assert_eq!(allowed.scope.allowed_addresses.to_string(), "app.terraform.io, *.example.com, localhost");
}

#[test]
fn switches_are_written_as_in_go() {
    assert_eq!(settings(&["--leader-elect=false"]).leader_election, None);
    assert!(settings(&["--leader-elect"]).leader_election.is_some());
    assert!(settings(&["--insecure-allow-http"]).scope.insecure_allow_http);
    assert!(!settings(&["--insecure-allow-http=false"]).scope.insecure_allow_http);
    assert_eq!(settings(&["--metrics-bind-address=0"]).metrics_bind_address, BindAddress::Off);
    assert_eq!(settings(&["--log-format=json"]).scope.log_format, LogFormat::Json);
}

#[test]
fn what_one_flag_can_not_be_is_a_usage_error_that_says_the_form() {
    for (flag, says) in [
        ("--namespace=", "leave it away"),
        ("--namespace=a,", "leave it away"),
        ("--namespace=Upper", "a-z"),
        ("--namespace=-a", "a-z"),
        ("--leader-elect=maybe", "true, false"),
        ("--settling-time=2", "90s, 2m or 1h30m"),
        ("--settling-time=-2m", "90s, 2m or 1h30m"),
        ("--max-concurrent-reconciles=0", "zero"),
        ("--max-concurrent-reconciles=70000", "too large"),
        ("--metrics-bind-address=8080", "HOST:PORT"),
        ("--allowed-addresses=https://app.terraform.io", "the host alone"),
        ("--allowed-addresses=", "the host alone"),
        ("--installation-id=", "1 to 63"),
        ("--installation-id=a/b", "1 to 63"),
        ("--installation-id=.a", "1 to 63"),
        ("--log-format=xml", "text, json"),
        ("--sweep", "unexpected argument"),
    ] {
        let error = run(&[flag]).expect_err(flag);
        assert_eq!(error.exit_code(), 2, "{flag}");
        assert!(error.to_string().contains(says), "{flag}: {error}");
    }
    assert!(run(&["--installation-id", &"a".repeat(64)]).is_err());
    assert!(run(&["--installation-id", &"a".repeat(63)]).is_ok());
}

#[test]
fn flags_that_do_not_go_together_are_refused_with_the_mend() {
    for (flags, says) in [
        (&["--leader-elect-lease-duration=10s"][..], "--leader-elect-renew-deadline (10s) must be shorter"),
        (&["--leader-elect-renew-deadline=1m"], "lower the first or raise the second"),
        (&["--leader-elect-retry-period=10s"], "--leader-elect-retry-period (10s) must be"),
        (&["--leader-elect-retry-period=0"], "longer than 0s"),
        (&["--leader-elect-lease-duration=15s500ms"], "whole seconds"),
        (&["--leader-elect-lease-duration=0s"], "at least 1s"),
        (&["--leader-elect-lease-duration=600000h"], "whole seconds"),
        (&["--settling-time=0s"], "leave it away for 2m"),
    ] {
        let error = run(flags).expect("each parses alone").settings().expect_err("but not together");
        assert!(error.to_string().contains(says), "{flags:?}: {error}");
    }
    let off = run(&["--leader-elect=false", "--leader-elect-lease-duration=1s"]).expect("parses").settings();
    assert!(off.is_ok(), "without an election its times don't matter");
}

#[test]
fn every_flag_is_documented_and_has_its_variable() {
    Args::command().debug_assert();
    let mut command = Args::command();
    let run = command.find_subcommand_mut("run").expect("run");
    for arg in run.get_arguments() {
        let flag = arg.get_long().expect("no positional arguments");
        assert!(arg.get_help().is_some(), "--{flag} has no help");
        let variable = arg.get_env().and_then(|name| name.to_str()).expect("each flag has a variable");
        if !flag.starts_with("pod-") {
            assert_eq!(variable, format!("TFC_TOKEN_OPERATOR_{}", flag.replace('-', "_").to_uppercase()));
        }
    }
    let help = run.render_long_help().to_string();
    assert!(help.contains("TFC_TOKEN_OPERATOR_SETTLING_TIME") && !help.contains("pod-namespace"), "{help}");
}

#[test]
fn the_other_subcommands() {
    let parse =
        |args: &[&str]| Args::try_parse_from(["tfc-token-operator"].iter().chain(args)).map(|args| args.command);
    assert!(matches!(parse(&["version"]), Ok(Command::Version)));
    assert!(matches!(parse(&["crds"]), Ok(Command::Crds { output_dir: None })));
    let Ok(Command::Crds { output_dir }) = parse(&["crds", "--output-dir", "out"]) else { unreachable!("crds parses") };
    assert_eq!(output_dir, Some(PathBuf::from("out")));
    assert_eq!(
        parse(&[]).expect_err("a subcommand is needed").kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
}

/// A table of the README, as one row of cells each.
fn readme_rows(first_cell: &str) -> Vec<Vec<&'static str>> {
    let rows = include_str!("../../README.md").lines().filter(|line| line.starts_with(first_cell));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect()).collect()
}

#[test]
fn the_readme_has_every_flag_of_run_with_its_default() {
    let command = Args::command();
    let run = command.find_subcommand("run").expect("run");
    let shown = run.get_arguments().filter(|flag| !flag.is_hide_set() && flag.get_id() != "help");
    let (flags, defaults): (Vec<String>, Vec<Option<String>>) = shown
        .map(|flag| {
            let default = flag.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
            (format!("--{}", flag.get_long().expect("a long flag")), default)
        })
        .unzip();
    let rows = readme_rows("| `--");
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), flags, "the table's flags, in the order of --help");
    for (row, default) in rows.iter().zip(defaults) {
        // Without a default of its own the table says in a word what no flag means.
        assert!(default.is_none_or(|default| default == row[1]), "{row:?}");
    }
}
