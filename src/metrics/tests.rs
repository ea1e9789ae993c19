use super::*;

fn all() -> Metrics {
    let metrics = Metrics::new();
    metrics.issued(Kind::Team);
    metrics.rotated(Kind::Team);
    metrics.revoked(Kind::User);
    metrics.failed("Unreachable");
    metrics.tfc_request("/api/v2/account/details", "GET", "200".to_owned(), Duration::from_millis(300));
    metrics.tfc_request("/api/v2/account/details", "GET", "timed_out".to_owned(), Duration::from_secs(30));
    metrics.budget_left("app.terraform.io", "user-1", 12.5);
    metrics.swept("app.terraform.io", "user-1", true, 2);
    metrics.leading(true);
    metrics.reconciled(Duration::from_millis(20));
    metrics.watch_roles(Box::new(|visit| {
        let role =
            Role { namespace: "a", name: "one", ready: "True", reason: "Issued", expires_at: Some(1_800_000_000) };
        visit(role);
        visit(Role { name: "two", ..role });
        visit(Role { name: "new", ready: "False", reason: "Issuing", expires_at: None, ..role });
    }));
    metrics
}

#[test]
fn names_types_and_values() {
    let text = all().render();
    for line in [
        "# TYPE tfc_token_operator_build_info gauge",
        concat!("tfc_token_operator_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# TYPE tfc_token_operator_tokens_issued_total counter",
        "tfc_token_operator_tokens_issued_total{kind=\"Team\"} 1",
        "tfc_token_operator_tokens_issued_total{kind=\"TeamLegacy\"} 0",
        "# TYPE tfc_token_operator_tokens_rotated_total counter",
        "tfc_token_operator_tokens_rotated_total{kind=\"Team\"} 1",
        "# TYPE tfc_token_operator_tokens_revoked_total counter",
        "tfc_token_operator_tokens_revoked_total{kind=\"User\"} 1",
        "tfc_token_operator_tokens_revoked_total{kind=\"Organization\"} 0",
        "# TYPE tfc_token_operator_failures_total counter",
        "tfc_token_operator_failures_total{reason=\"Unreachable\"} 1",
        "# TYPE tfc_token_operator_tfc_requests_total counter",
        "tfc_token_operator_tfc_requests_total{route=\"/api/v2/account/details\",method=\"GET\",status=\"200\"} 1",
        "tfc_token_operator_tfc_requests_total{route=\"/api/v2/account/details\",method=\"GET\",status=\"timed_out\"} 1",
        "# TYPE tfc_token_operator_tfc_request_duration_seconds histogram",
        "tfc_token_operator_tfc_request_duration_seconds_count{route=\"/api/v2/account/details\",method=\"GET\"} 2",
        "# TYPE tfc_token_operator_tfc_budget_left gauge",
        "tfc_token_operator_tfc_budget_left{host=\"app.terraform.io\",account=\"user-1\"} 12.5",
        "tfc_token_operator_sweeps_total{outcome=\"complete\"} 1",
        "tfc_token_operator_unknown_tokens{host=\"app.terraform.io\",account=\"user-1\"} 2",
        "# TYPE tfc_token_operator_leader gauge",
        "tfc_token_operator_leader 1",
        "# TYPE tfc_token_operator_reconcile_duration_seconds histogram",
        "tfc_token_operator_reconcile_duration_seconds_count 1",
        "# TYPE tfc_token_operator_roles gauge",
        "tfc_token_operator_roles{ready=\"True\",reason=\"Issued\"} 2",
        "tfc_token_operator_roles{ready=\"False\",reason=\"Issuing\"} 1",
        "# TYPE tfc_token_operator_role_expiry_timestamp_seconds gauge",
        "tfc_token_operator_role_expiry_timestamp_seconds{namespace=\"a\",name=\"two\"} 1800000000",
    ] {
        assert!(text.lines().any(|got| got == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("name=\"new\""), "a role without a token has no expiry\n{text}");
}

#[test]
fn every_metric_is_typed_once_and_has_a_help_that_is_a_sentence() {
    let text = all().render();
    let named = |mark: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
        lines.filter_map(|rest| rest.split_once(' ')).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (helps, types) = (named("# HELP "), named("# TYPE "));
    let names: Vec<_> = types.iter().map(|(name, _)| name).collect();
    assert_eq!(helps.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len());
    for (name, help) in helps {
        assert!(name.starts_with("tfc_token_operator_"), "{name}");
        assert!(help.ends_with('.') && !help.ends_with("..") && help.len() > 20, "{name}: {help}");
    }
}

#[test]
fn without_roles_the_rest_is_rendered_and_an_account_is_forgotten() {
    let metrics = Metrics::new();
    metrics.budget_left("h", "a", 1.0);
    metrics.swept("h", "a", true, 1);
    assert!(metrics.clone().render().contains("tfc_budget_left{host=\"h\",account=\"a\"} 1.0"));
    metrics.forget_budget("h", "a");
    let text = metrics.render();
    assert!(!text.contains("account=\"a\"") && !text.contains("operator_roles"), "{text}");
    assert!(text.contains("tfc_token_operator_leader 0"), "{text}");
}

#[test]
fn the_readme_has_every_metric() {
    let text = all().render();
    let mut typed: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let rows = include_str!("../../README.md").lines().filter_map(|line| line.strip_prefix("| `tfc_token_operator_"));
    let mut told: Vec<String> =
        rows.filter_map(|row| Some(format!("tfc_token_operator_{}", row.split('`').next()?))).collect();
    typed.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, typed);
}
