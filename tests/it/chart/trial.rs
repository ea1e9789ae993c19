//! Values that the chart is tried with: each set turns something of it on or off.

use serde_json::{Value, json};

/// All sets, by what they are.
pub fn sets() -> Vec<(&'static str, Value)> {
    vec![
        ("the defaults", json!({})),
        ("everything on", everything()),
        ("everything on, by a PodMonitor", by_pods()),
        ("everything off", nothing()),
        ("some namespaces", some_namespaces()),
        ("nothing of the cluster", nothing_of_the_cluster()),
    ]
}

/// All switches on.
pub fn everything() -> Value {
    json!({
        "nameOverride": "tokens",
        "fullnameOverride": "token-operator",
        "commonLabels": {"team": "platform"},
        "image": {"repository": "registry.example.com/tfc-token-operator", "tag": "1.2.3"},
        "imagePullSecrets": [{"name": "registry"}],
        "installationID": "prod",
        "allowedAddresses": ["app.terraform.io", "*.example.com"],
        "rolloutRestart": {"enabled": true},
        "uninstall": {"policy": "Release", "allowUnproven": true, "extraArgs": ["--settling-time=1m"]},
        "serviceAccount": {"annotations": {"note": "ours"}, "labels": {"tier": "system"}},
        "caBundle": {"configMapName": "corporate-ca"},
        "http_proxy": "http://proxy.example.com:3128",
        "https_proxy": "http://proxy.example.com:3128",
        "no_proxy": "tfe.example.com",
        "extraArgs": ["--settling-time=1m"],
        "extraEnv": [{"name": "EXTRA", "value": "yes"}],
        "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "deploymentAnnotations": {"note": "ours"},
        "podAnnotations": {"note": "ours"},
        "podLabels": {"tier": "system"},
        "dnsPolicy": "ClusterFirst",
        "tolerations": [{"key": "system", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}
        ]}}},
        "podDisruptionBudget": {"minAvailable": "50%"},
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
            "egress": [{"ports": [{"port": 443}, {"port": 6443}]}],
        },
        "service": {"annotations": {"note": "ours"}, "labels": {"tier": "system"}},
        "prometheus": {
            "servicemonitor": {"enabled": true, "labels": {"release": "prometheus"}, "annotations": {"note": "ours"},
                "endpointAdditionalProperties": {"relabelings": [{"action": "drop", "sourceLabels": ["job"], "regex": "x"}]}},
            "prometheusrule": {"enabled": true, "labels": {"release": "prometheus"}, "alertLabels": {"team": "platform"},
                "additionalRules": [{"alert": "Mine", "expr": "vector(1)"}]},
        },
    })
}

fn by_pods() -> Value {
    let mut values = everything();
    values["prometheus"]["servicemonitor"]["enabled"] = json!(false);
    values["prometheus"]["podmonitor"] = json!({"enabled": true, "labels": {"release": "prometheus"}});
    values["caBundle"] = json!({"secretName": "corporate-ca", "key": "bundle.pem"});
    values["podDisruptionBudget"] = json!({"maxUnavailable": 1});
    values
}

/// All switches off.
pub fn nothing() -> Value {
    json!({
        "replicaCount": 1,
        "crds": {"enabled": false},
        "leaderElection": {"enabled": false},
        "uninstall": {"enabled": false},
        "rbac": {"create": false, "aggregateClusterRoles": false},
        "serviceAccount": {"create": false, "name": "mine"},
        "podDisruptionBudget": {"enabled": false},
        "service": {"enabled": false},
        "networkPolicy": {"enabled": false},
        "prometheus": {"enabled": false},
        "topologySpreadConstraints": [],
        "nodeSelector": {"kubernetes.io/os": null},
    })
}

/// Two namespaces in place of all.
pub fn some_namespaces() -> Value {
    json!({"watchNamespaces": ["tfc-platform", "shop"]})
}

/// For who may create nothing outside namespaces.
pub fn nothing_of_the_cluster() -> Value {
    json!({
        "watchNamespaces": ["tfc-platform", "shop"],
        "namespaceLabels": false,
        "installationID": "prod",
        "crds": {"enabled": false},
        "rbac": {"aggregateClusterRoles": false},
    })
}
