//! From values to objects: each value does what its comment says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::helm::{NAMESPACE, args, env, render};
use super::trial;

/// Kinds that stand outside namespaces.
const OF_THE_CLUSTER: [&str; 4] = ["CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Namespace"];

fn arguments(values: Value) -> Vec<String> {
    args(render(&values).operator())
}

/// What the operator is granted by a role, as `group/resource:verb`.
fn granted(role: &Value) -> BTreeSet<String> {
    let rules = role["rules"].as_array().expect("rules");
    let list = |rule: &Value, key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).expect("a list") };
    let mut all = BTreeSet::new();
    for rule in rules {
        for (group, resource) in list(rule, "apiGroups")
            .iter()
            .flat_map(|g| list(rule, "resources").into_iter().map(move |r| (g.clone(), r)))
        {
            all.extend(list(rule, "verbs").iter().map(|verb| format!("{group}/{resource}:{verb}")));
        }
    }
    all
}

#[test]
fn the_defaults_are_two_replicas_with_an_election_and_everything_that_keeps_them_up() {
    let rendered = render(&json!({}));
    let deployment = rendered.one("Deployment");
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert!(args(rendered.operator()).contains(&"--leader-elect=true".to_owned()));
    assert_eq!(rendered.one("PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    let spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"].as_array().expect("a spread");
    let selector = &deployment["spec"]["selector"];
    assert!(spread.len() == 2 && spread.iter().all(|constraint| constraint["labelSelector"] == *selector));
    for kind in ["NetworkPolicy", "Service", "ServiceAccount", "ClusterRole", "Job"] {
        assert!(rendered.has(kind), "no {kind}");
    }
    for kind in ["ServiceMonitor", "PodMonitor", "PrometheusRule"] {
        assert!(!rendered.has(kind), "{kind} is behind a switch");
    }
}

#[test]
fn everything_that_selects_the_operators_pods_selects_them_and_no_other_pod() {
    let rendered = render(&json!({"prometheus": {"servicemonitor": {"enabled": true}}}));
    let labels = |pod: &Value| pod["metadata"]["labels"].as_object().expect("labels").clone();
    let pods: Vec<_> = rendered.pods().iter().map(labels).collect();
    assert_eq!(pods.len(), 3, "the operator's, the uninstallation's, the test's");
    let selected = |selector: &Value| -> Vec<String> {
        let wanted = selector.as_object().expect("a selector");
        let fits =
            |pod: &&serde_json::Map<String, Value>| wanted.iter().all(|(key, value)| pod.get(key) == Some(value));
        pods.iter()
            .filter(fits)
            .map(|pod| pod["app.kubernetes.io/component"].as_str().expect("one").to_owned())
            .collect()
    };
    let spec = |kind: &str| rendered.one(kind)["spec"].clone();
    for selector in [
        &spec("Deployment")["selector"]["matchLabels"],
        &spec("PodDisruptionBudget")["selector"]["matchLabels"],
        &spec("Service")["selector"],
    ] {
        assert_eq!(selected(selector), ["controller"], "{selector}");
    }
    let policy = spec("NetworkPolicy");
    assert_eq!(selected(&policy["podSelector"]["matchLabels"]).len(), 3, "the policy is for all of them");
    let service = rendered.one("Service")["metadata"]["labels"].as_object().expect("labels");
    let monitored = spec("ServiceMonitor")["selector"]["matchLabels"].clone();
    assert!(monitored.as_object().expect("labels").iter().all(|(key, value)| service.get(key) == Some(value)));
}

#[test]
fn flags_follow_their_values() {
    let all = arguments(json!({
        "watchNamespaces": ["a", "b"],
        "installationID": "prod",
        "allowedAddresses": ["app.terraform.io", "*.example.com"],
        "maxConcurrentReconciles": 8,
        "sweepInterval": "2h",
        "logFormat": "text",
        "rolloutRestart": {"enabled": true},
        "leaderElection": {"leaseDuration": "30s", "renewDeadline": "20s", "retryPeriod": "5s"},
        "prometheus": {"port": 9402},
        "healthProbe": {"port": 9403},
        "extraArgs": ["--settling-time=1m"],
    }));
    let expected = [
        "run",
        "--namespace=a",
        "--namespace=b",
        "--installation-id=prod",
        "--allowed-addresses=app.terraform.io",
        "--allowed-addresses=*.example.com",
        "--leader-elect-lease-duration=30s",
        "--leader-elect-renew-deadline=20s",
        "--leader-elect-retry-period=5s",
        "--log-format=text",
        "--leader-elect=true",
        "--metrics-bind-address=:9402",
        "--health-probe-bind-address=:9403",
        "--max-concurrent-reconciles=8",
        "--sweep-interval=2h",
        "--rollout-restart",
        "--settling-time=1m",
    ];
    assert_eq!(all, expected);
    let quiet = arguments(json!({"prometheus": {"enabled": false}}));
    assert!(quiet.contains(&"--metrics-bind-address=0".to_owned()), "{quiet:?}");
    assert!(!quiet.iter().any(|arg| arg == "--rollout-restart" || arg.starts_with("--namespace")), "{quiet:?}");
}

#[test]
fn the_operator_takes_every_flag_that_the_chart_gives_it() {
    use clap::Parser;
    for (what, values) in trial::sets() {
        let rendered = render(&values);
        let given = args(rendered.operator());
        // A flag of a later version would be a pod that never starts.
        let taken = tfc_token_operator::args::Args::try_parse_from(
            std::iter::once("tfc-token-operator".to_owned()).chain(given.clone()),
        );
        assert!(taken.is_ok(), "{what}: {given:?}: {}", taken.err().map(|e| e.to_string()).unwrap_or_default());
    }
}

#[test]
fn probes_ports_and_services_agree() {
    let rendered = render(&json!({"prometheus": {"port": 9402}, "healthProbe": {"port": 9403}}));
    let container = rendered.operator();
    let ports: Vec<(&str, i64)> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| (port["name"].as_str().expect("a name"), port["containerPort"].as_i64().expect("a port")))
        .collect();
    assert_eq!(ports, [("http-metrics", 9402), ("http-health", 9403)]);
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/healthz", "port": "http-health"}));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "http-health"}));
    let test = rendered.one("Pod");
    let asked = args(&test["spec"]["containers"][0]);
    assert_eq!(asked, ["check", "--url", "http://tfc-token-operator.tfc-token-operator.svc:9403/readyz"]);
}

#[test]
fn crds_are_kept_by_default_and_left_away_on_demand() {
    let crds = |values| -> Vec<Value> { render(&values).of("CustomResourceDefinition").cloned().collect() };
    let kept = |crd: &Value| crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep";
    let usual = crds(json!({}));
    assert!(usual.len() == 2 && usual.iter().all(kept));
    let going = crds(json!({"crds": {"keep": false}}));
    assert!(going.len() == 2 && !going.iter().any(kept));
    assert!(crds(json!({"crds": {"enabled": false}})).is_empty());
}

#[test]
fn the_crds_are_those_of_the_code() {
    let rendered = render(&json!({}));
    for crd in tfc_token_operator::api::crds() {
        let name = crd.metadata.name.clone().expect("a name");
        let spec = serde_json::to_value(&crd.spec).expect("JSON");
        assert_eq!(plain(&rendered.named("CustomResourceDefinition", &name)["spec"]), plain(&spec), "{name}");
    }
}

/// A value whose numbers are all of one sort: Go writes 1 where Rust writes 1.0.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

#[test]
fn with_watch_namespaces_there_are_roles_in_these_and_a_small_cluster_role() {
    let rendered = render(&json!({"watchNamespaces": ["a", "b"], "rbac": {"aggregateClusterRoles": false}}));
    let whole = render(&json!({}));
    let everywhere = granted(whole.named("ClusterRole", "tfc-token-operator"));
    for namespace in ["a", "b"] {
        let mut roles = rendered.of("Role").filter(|role| role["metadata"]["namespace"] == namespace);
        let role = roles.find(|role| role["metadata"]["name"] == "tfc-token-operator").expect("a Role");
        let there = granted(role);
        let missing: Vec<&String> =
            everywhere.difference(&there).filter(|atom| !atom.starts_with("/namespaces:")).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    let small = rendered.named("ClusterRole", "tfc-token-operator:tfc-token-operator");
    assert_eq!(
        small["rules"],
        json!([
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["a", "b"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
        ])
    );
}

#[test]
fn without_labels_of_namespaces_nothing_of_the_cluster_is_needed() {
    let rendered = render(&trial::nothing_of_the_cluster());
    let outside: Vec<&Value> =
        rendered.0.iter().filter(|object| OF_THE_CLUSTER.iter().any(|kind| object["kind"] == *kind)).collect();
    assert!(outside.is_empty(), "{outside:#?}");
    let served: BTreeSet<&str> =
        rendered.of("Role").map(|role| role["metadata"]["namespace"].as_str().expect("one")).collect();
    assert_eq!(served, BTreeSet::from(["shop", "tfc-platform", NAMESPACE]));
}

#[test]
fn everything_has_a_namespace_and_the_labels_of_the_release() {
    for (what, values) in trial::sets() {
        for object in render(&values).0 {
            let at = format!("{what}: {} {}", object["kind"], object["metadata"]["name"]);
            let labels = &object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], "tfc-token-operator", "{at}");
            let outside = OF_THE_CLUSTER.iter().any(|kind| object["kind"] == *kind);
            assert_eq!(object["metadata"]["namespace"].is_null(), outside, "{at}");
        }
    }
}

#[test]
fn rollout_restart_and_nothing_else_brings_the_right_to_patch_workloads() {
    let rights = |values| granted(render(&values).named("ClusterRole", "tfc-token-operator"));
    let more: BTreeSet<String> =
        rights(json!({"rolloutRestart": {"enabled": true}})).difference(&rights(json!({}))).cloned().collect();
    let expected = ["deployments", "statefulsets", "daemonsets"]
        .iter()
        .flat_map(|resource| ["list", "patch"].map(|verb| format!("apps/{resource}:{verb}")));
    assert_eq!(more, expected.collect());
}

#[test]
fn people_get_roles_by_edit_and_configs_by_admin_and_a_status_by_none() {
    let rendered = render(&json!({}));
    let reach = |aggregated: &str| -> BTreeSet<String> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{aggregated}");
        rendered
            .of("ClusterRole")
            .filter(|role| role["metadata"]["labels"][&label] == "true")
            .flat_map(granted)
            .collect()
    };
    let writes =
        |atoms: &BTreeSet<String>, resource: &str| atoms.contains(&format!("terraformcloud.dev/{resource}:create"));
    let (view, edit, admin) = (reach("view"), reach("edit"), reach("admin"));
    assert!(view.iter().all(|atom| atom.ends_with(":get") || atom.ends_with(":list") || atom.ends_with(":watch")));
    assert!(writes(&edit, "terraformcloudroles") && !writes(&edit, "terraformcloudconfigs"));
    assert!(writes(&admin, "terraformcloudroles") && writes(&admin, "terraformcloudconfigs"));
    assert!(view.is_subset(&edit) && edit.is_subset(&admin));
    assert!(!admin.iter().any(|atom| atom.contains("/status") || atom.contains('*')), "{admin:?}");
    assert!(
        !render(&json!({"rbac": {"aggregateClusterRoles": false}}))
            .of("ClusterRole")
            .any(|role| role["metadata"]["labels"].to_string().contains("aggregate-to"))
    );
}

#[test]
fn the_uninstallation_is_a_hook_that_serves_what_the_operator_serves() {
    let rendered = render(&json!({
        "watchNamespaces": ["a"],
        "namespaceLabels": false,
        "installationID": "prod",
        "uninstall": {"policy": "Release", "timeout": "2m", "allowUnproven": true, "extraArgs": ["--settling-time=1m"]},
    }));
    let job = rendered.one("Job");
    let given = args(&job["spec"]["template"]["spec"]["containers"][0]);
    assert_eq!(given[..4], ["uninstall", "--policy=Release", "--timeout=2m", "--allow-unproven"]);
    for flag in ["--namespace=a", "--installation-id=prod", "--settling-time=1m"] {
        assert!(given.iter().any(|arg| arg == flag), "{given:?}");
    }
    // All that it needs comes and goes with it.
    let account = job["spec"]["template"]["spec"]["serviceAccountName"].as_str().expect("an account");
    assert_eq!(account, "tfc-token-operator-uninstall");
    let hooks: Vec<&Value> =
        rendered.0.iter().filter(|o| o["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete").collect();
    let kinds: BTreeSet<&str> = hooks.iter().map(|hook| hook["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, BTreeSet::from(["Job", "Role", "RoleBinding", "ServiceAccount"]));
    assert!(!render(&json!({"uninstall": {"enabled": false}})).has("Job"));
    let bound: BTreeSet<&str> = rendered
        .of("RoleBinding")
        .filter(|binding| binding["subjects"][0]["name"] == account)
        .map(|binding| binding["metadata"]["namespace"].as_str().expect("one"))
        .collect();
    assert_eq!(bound, BTreeSet::from(["a", NAMESPACE]));
}

#[test]
fn without_roles_of_its_own_the_uninstallation_runs_as_the_operators_account() {
    let rendered = render(&json!({"rbac": {"create": false}, "serviceAccount": {"create": false, "name": "mine"}}));
    assert_eq!(rendered.one("Job")["spec"]["template"]["spec"]["serviceAccountName"], "mine");
    assert!(!rendered.has("ServiceAccount") && !rendered.has("Role") && !rendered.has("ClusterRoleBinding"));
}

#[test]
fn a_ca_bundle_is_read_besides_the_certificates_of_the_image() {
    let rendered = render(&json!({"caBundle": {"secretName": "ca", "key": "bundle.pem"}}));
    for pod in rendered.pods().iter().filter(|pod| pod["kind"] != "Pod") {
        let container = &pod["spec"]["containers"][0];
        let set = env(container);
        assert_eq!(set["SSL_CERT_FILE"], "/etc/ssl/certs/ca-certificates.crt");
        assert_eq!(set["SSL_CERT_DIR"], container["volumeMounts"][0]["mountPath"]);
        let items = json!([{"key": "bundle.pem", "path": "ca.crt"}]);
        assert_eq!(pod["spec"]["volumes"][0]["secret"], json!({"secretName": "ca", "items": items}));
    }
}

#[test]
fn proxies_reach_the_operator_and_the_uninstallation() {
    let rendered =
        render(&json!({"http_proxy": "http://p:1", "https_proxy": "http://p:2", "no_proxy": "tfe.example.com"}));
    let containers: Vec<Value> = rendered
        .pods()
        .iter()
        .filter(|pod| pod["kind"] != "Pod")
        .map(|pod| pod["spec"]["containers"][0].clone())
        .collect();
    assert_eq!(containers.len(), 2);
    for container in &containers {
        let set = env(container);
        assert_eq!((&set["HTTP_PROXY"], &set["HTTPS_PROXY"]), (&json!("http://p:1"), &json!("http://p:2")));
        assert_eq!(set["NO_PROXY"], "tfe.example.com");
    }
    assert!(!env(render(&json!({})).operator()).keys().any(|key| key.contains("PROXY")));
}

#[test]
fn an_image_is_named_by_digest_where_there_is_one() {
    let image = |values| render(&json!({"image": values})).operator()["image"].as_str().expect("an image").to_owned();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(image(json!({"repository": "r/t"})), format!("r/t:{version}"), "the chart is of the operator's version");
    assert_eq!(image(json!({"repository": "r/t", "tag": "x"})), "r/t:x");
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(image(json!({"repository": "r/t", "tag": "x", "digest": digest})), format!("r/t@{digest}"));
}

#[test]
fn only_the_operators_pods_get_a_token_of_the_api_server() {
    let rendered = render(&json!({}));
    for account in rendered.of("ServiceAccount") {
        assert_eq!(account["automountServiceAccountToken"], false);
    }
    let mounted: Vec<bool> = rendered
        .pods()
        .iter()
        .map(|pod| pod["spec"]["automountServiceAccountToken"].as_bool().expect("said"))
        .collect();
    assert_eq!(mounted, [true, true, false], "the operator, the uninstallation, the test");
}

#[test]
fn the_network_policy_lets_scrapers_and_kubelets_in_and_whom_it_is_told_out() {
    let open = render(&json!({}));
    assert_eq!(open.one("NetworkPolicy")["spec"]["egress"], json!([{}]));
    let from = json!([{"podSelector": {}}]);
    let narrow = render(&json!({"networkPolicy": {"metricsFrom": from, "egress": [{"ports": [{"port": 443}]}]}}));
    let policy = &narrow.one("NetworkPolicy")["spec"];
    assert_eq!(policy["ingress"][1]["from"], from);
    let ports: BTreeSet<String> = policy["egress"]
        .as_array()
        .expect("rules")
        .iter()
        .flat_map(|rule| rule["ports"].as_array().expect("ports").iter().map(|port| port["port"].to_string()))
        .collect();
    assert_eq!(ports, BTreeSet::from(["53".into(), "443".into(), "\"http-health\"".into()]));
}

#[test]
fn every_metric_that_an_alert_asks_for_exists() {
    let rules = render(&trial::everything());
    let rules = &rules.one("PrometheusRule")["spec"]["groups"][0]["rules"];
    let readme = std::fs::read_to_string(crate::bed::root().join("README.md")).expect("README.md");
    let alerts: Vec<&str> = rules.as_array().expect("rules").iter().filter_map(|rule| rule["alert"].as_str()).collect();
    assert_eq!(alerts.len(), 7, "{alerts:?}");
    for rule in rules.as_array().expect("rules") {
        let text = rule["expr"].as_str().expect("an expression");
        let words = text.split(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        for metric in words.filter(|word| word.starts_with("tfc_token_operator_")) {
            assert!(readme.contains(&format!("| `{metric}` |")), "{text}: {metric} is no metric of the README's table");
        }
    }
}
