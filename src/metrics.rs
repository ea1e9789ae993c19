//! The operator's metrics, in Prometheus' text format. No label ever holds a token's value or its id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::Kind;
use crate::tfc::{CallOutcome, Observer};

#[cfg(test)]
mod tests;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Seconds: from a quick reply of TFC to the 30 s after which a request is given up.
const REQUEST_BUCKETS: [f64; 10] = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0];
/// Seconds: from a look that finds nothing to do to a round of several slow requests.
const RECONCILE_BUCKETS: [f64; 10] = [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0];

/// A role as the metrics see it at a scrape.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Status of its condition Ready: `True`, `False` or `Unknown`.
    pub ready: &'a str,
    /// Reason of its condition Ready; empty while there is none.
    pub reason: &'a str,
    /// When its token expires, in seconds since 1970; `None` while it has no token.
    pub expires_at: Option<i64>,
}

/// Shows each role to the visitor. Asked at each scrape, twice, so that nothing is kept or copied for 10,000 roles.
pub type Roles = Box<dyn Fn(&mut dyn FnMut(Role<'_>)) + Send + Sync>;

/// All metrics. Cheap to clone; the clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    issued: Family<KindLabels, Counter>,
    rotated: Family<KindLabels, Counter>,
    revoked: Family<KindLabels, Counter>,
    failures: Family<ReasonLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    budget_left: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    sweeps: Family<SweepLabels, Counter>,
    unknown_tokens: Family<BudgetLabels, Gauge>,
    leader: Gauge,
    reconcile_duration: Histogram,
    roles: Arc<RoleCollector>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BudgetLabels {
    host: String,
    account: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SweepLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Metrics {
    /// Metrics at zero, without roles until [`Metrics::watch_roles`].
    pub fn new() -> Metrics {
        let request_histogram: fn() -> Histogram = || Histogram::new(REQUEST_BUCKETS);
        let mut inner = Inner {
            registry: Registry::with_prefix("tfc_token_operator"),
            issued: Family::default(),
            rotated: Family::default(),
            revoked: Family::default(),
            failures: Family::default(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(request_histogram),
            budget_left: Family::default(),
            sweeps: Family::default(),
            unknown_tokens: Family::default(),
            leader: Gauge::default(),
            reconcile_duration: Histogram::new(RECONCILE_BUCKETS),
            roles: Arc::default(),
        };
        inner.register();
        // Zero is a value: a rate can be taken from the first token on.
        for kind in Kind::ALL.iter().copied().map(KindLabels::from) {
            for family in [&inner.issued, &inner.rotated, &inner.revoked] {
                drop(family.get_or_create(&kind));
            }
        }
        Metrics(Arc::new(inner))
    }

    /// A token was minted and stands in its Secret.
    pub fn issued(&self, kind: Kind) {
        self.0.issued.get_or_create(&kind.into()).inc();
    }

    /// A token replaced a predecessor; counted besides [`Metrics::issued`].
    pub fn rotated(&self, kind: Kind) {
        self.0.rotated.get_or_create(&kind.into()).inc();
    }

    /// A token was revoked in TFC, with proof.
    pub fn revoked(&self, kind: Kind) {
        self.0.revoked.get_or_create(&kind.into()).inc();
    }

    /// A round over a role ended in a failure with this reason (as in the role's condition).
    pub fn failed(&self, reason: &'static str) {
        self.0.failures.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A request to TFC ended after `took`. `route` is the path's template, never the path: it holds ids. `status` is the
    /// reply's status, or one of a few words where none came.
    pub fn tfc_request(&self, route: &'static str, method: &'static str, status: String, took: Duration) {
        self.0.requests.get_or_create(&RequestLabels { route, method, status }).inc();
        self.0.request_duration.get_or_create(&RouteLabels { route, method }).observe(took.as_secs_f64());
    }

    /// How many requests an account may send at once by now.
    pub fn budget_left(&self, host: &str, account: &str, left: f64) {
        self.0.budget_left.get_or_create(&BudgetLabels::new(host, account)).set(left);
    }

    /// An account's lists were walked; `unknown` of its tokens carry our marker, are in use, and stand in no record.
    pub fn swept(&self, host: &str, account: &str, complete: bool, unknown: usize) {
        let outcome = if complete { "complete" } else { "failed" };
        self.0.sweeps.get_or_create(&SweepLabels { outcome }).inc();
        let unknown = i64::try_from(unknown).unwrap_or(i64::MAX);
        self.0.unknown_tokens.get_or_create(&BudgetLabels::new(host, account)).set(unknown);
    }

    /// No config uses this account any more.
    pub fn forget_budget(&self, host: &str, account: &str) {
        self.0.budget_left.remove(&BudgetLabels::new(host, account));
        self.0.unknown_tokens.remove(&BudgetLabels::new(host, account));
    }

    /// Whether this replica leads.
    pub fn leading(&self, leads: bool) {
        self.0.leader.set(leads.into());
    }

    /// A round over a role took this long.
    pub fn reconciled(&self, took: Duration) {
        self.0.reconcile_duration.observe(took.as_secs_f64());
    }

    /// Where the roles are found at each scrape. The first call counts.
    pub fn watch_roles(&self, roles: Roles) {
        // Set already: the first stays, as said.
        let _ = self.0.roles.source.set(roles);
    }

    /// All metrics in Prometheus' text format ([`CONTENT_TYPE`]).
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String can't fail, and neither do these metrics.
        let _ = prometheus_text::encode(&mut text, &self.0.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Inner {
    // The encoder ends each help with a full stop and each counter's name with `_total`.
    fn register(&mut self) {
        let build = Family::<BuildLabels, Gauge>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
        let to = &mut self.registry;
        to.register("build_info", "Always 1; the label tells the operator's version", build);
        to.register("tokens_issued", "Tokens minted and put into their Secret, by kind", self.issued.clone());
        to.register(
            "tokens_rotated",
            "Tokens that replaced a predecessor, by kind; they count as issued too",
            self.rotated.clone(),
        );
        to.register("tokens_revoked", "Tokens proven revoked in TFC, by kind", self.revoked.clone());
        to.register(
            "failures",
            "Rounds over a role that failed, by the reason that its condition shows",
            self.failures.clone(),
        );
        to.register(
            "tfc_requests",
            "Requests to TFC, by route and method; status is a word where no answer came",
            self.requests.clone(),
        );
        to.register(
            "tfc_request_duration_seconds",
            "Seconds from a request to TFC to the end of its answer, or to giving up",
            self.request_duration.clone(),
        );
        to.register(
            "tfc_budget_left",
            "Requests that an account may send at once by now, by host and account",
            self.budget_left.clone(),
        );
        to.register(
            "sweeps",
            "Sweeps over the tokens of one account, by outcome; a failed one could not walk every list",
            self.sweeps.clone(),
        );
        to.register(
            "unknown_tokens",
            "Tokens with this installation's marker that are in use and in no record, by host and account",
            self.unknown_tokens.clone(),
        );
        to.register("leader", "1 while this replica leads, 0 while it stands by", self.leader.clone());
        to.register(
            "reconcile_duration_seconds",
            "Seconds that a round over one role took",
            self.reconcile_duration.clone(),
        );
        to.register_collector(Box::new(Arc::clone(&self.roles)));
    }
}

impl From<Kind> for KindLabels {
    fn from(kind: Kind) -> KindLabels {
        KindLabels { kind: kind.as_str() }
    }
}

impl BudgetLabels {
    fn new(host: &str, account: &str) -> BudgetLabels {
        BudgetLabels { host: host.to_owned(), account: account.to_owned() }
    }
}

/// Counts the roles when it is asked.
#[derive(Default)]
struct RoleCollector {
    source: OnceLock<Roles>,
}

impl fmt::Debug for RoleCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoleCollector")
    }
}

impl Collector for RoleCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(roles) = self.source.get() else { return Ok(()) };

        let mut counts = BTreeMap::<(String, String), i64>::new();
        roles(&mut |role| *counts.entry((role.ready.to_owned(), role.reason.to_owned())).or_default() += 1);
        let help = "Roles that this replica serves, by status and reason of their condition Ready.";
        let mut family = encoder.encode_descriptor("roles", help, None, MetricType::Gauge)?;
        for ((ready, reason), count) in counts {
            let labels = [("ready", ready.as_str()), ("reason", reason.as_str())];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }

        let help = "When the token in a role's Secret expires, in seconds since 1970 (UTC).";
        let mut family = encoder.encode_descriptor("role_expiry_timestamp_seconds", help, None, MetricType::Gauge)?;
        let mut outcome = Ok(());
        roles(&mut |role| {
            if let (Ok(()), Some(expires_at)) = (outcome, role.expires_at) {
                let labels = [("namespace", role.namespace), ("name", role.name)];
                outcome = family.encode_family(&labels).and_then(|metric| ConstGauge::new(expires_at).encode(metric));
            }
        });
        outcome
    }
}

impl Observer for Metrics {
    fn call(&self, route: &'static str, method: &'static str, outcome: CallOutcome, took: Duration) {
        self.tfc_request(route, method, outcome.label(), took);
    }
}
