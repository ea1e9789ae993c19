//! Every name the operator puts into the cluster, in one place.

/// API group of both kinds; prefix of finalizers, labels and annotations.
pub const GROUP: &str = "terraformcloud.dev";
/// Name of the operator: field manager, event source, value of `app.kubernetes.io/managed-by`.
pub const OPERATOR: &str = "tfc-token-operator";

/// Finalizer of a role: its tokens have to be revoked first.
pub const FINALIZER_REVOKE: &str = "terraformcloud.dev/revoke";
/// Finalizer of a config: roles depend on it.
pub const FINALIZER_IN_USE: &str = "terraformcloud.dev/in-use";
/// Finalizer of a config's admin Secret: something may have to be revoked with it.
pub const FINALIZER_ADMIN_SECRET: &str = "terraformcloud.dev/admin-secret";

/// Annotation on a role: mint a successor; any new value asks once.
pub const ANNOTATION_ROTATE: &str = "terraformcloud.dev/rotate";
/// Annotation on a role: the lease starts anew; any new value asks once.
pub const ANNOTATION_RENEW: &str = "terraformcloud.dev/renew";
/// Annotation on a role, or on a config for all its roles: a successor at once, then every predecessor is revoked at
/// once.
pub const ANNOTATION_REVOKE: &str = "terraformcloud.dev/revoke";
/// Annotation on a config: give up on tokens whose revocation can't be proven.
pub const ANNOTATION_ABANDON_UNPROVEN: &str = "terraformcloud.dev/abandon-unproven";

/// Annotation on a Secret of ours: the record of what it holds (one versioned JSON object).
pub const ANNOTATION_RECORD: &str = "terraformcloud.dev/record";
/// Annotation on a Secret of ours: a slot's mint is about to happen (attempt, requested expiry, the slot's token
/// before).
pub const ANNOTATION_PENDING: &str = "terraformcloud.dev/pending";
/// Annotation on a Secret of ours: changed so that a late write finds its resourceVersion stale.
pub const ANNOTATION_FENCE: &str = "terraformcloud.dev/fence";
/// Annotation on the leader's Lease: an uninstall is at work, or has just been, so that the replicas stand back.
pub const ANNOTATION_UNINSTALL: &str = "terraformcloud.dev/uninstall";
/// Annotation by which a workload's owner has it restarted with each new token of a role of its namespace: the role's name.
pub const ANNOTATION_RESTART_FOR: &str = "terraformcloud.dev/restart-for";
/// Annotation on such a workload's pod template: TFC's id of the token with which it was restarted last.
pub const ANNOTATION_TOKEN_ID: &str = "terraformcloud.dev/token-id";
/// Annotation on a slot's Lease: namespace and name of the role that holds the slot.
pub const ANNOTATION_HOLDER: &str = "terraformcloud.dev/holder";

/// Label of every Secret of ours, and of a slot's Lease.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label on a Secret of ours: the role's name.
pub const LABEL_ROLE: &str = "terraformcloud.dev/role";

/// Keys that the operator writes into a role's Secret itself, with those under [`SECRET_KEY_PREFIX`]: a template can't
/// name them.
pub const SECRET_KEYS: [&str; 8] =
    ["token", "token_id", "role", "organization", "team_id", "user_id", "expires_at", "credentials.tfrc.json"];
/// Prefix of the keys that `terraform` reads from its environment.
pub const SECRET_KEY_PREFIX: &str = "TF_TOKEN_";
/// What a template of the Secret may use, as `${...}`.
pub const TEMPLATE_VARIABLES: [&str; 8] =
    ["token", "token_id", "host", "organization", "team_id", "user_id", "role", "expires_at"];
/// Domains whose labels and annotations on a Secret can mean power elsewhere, their subdomains included; but
/// [`ALLOWED_LABEL_DOMAIN`].
pub const FORBIDDEN_LABEL_DOMAINS: [&str; 5] =
    ["kubernetes.io", "k8s.io", "helm.sh", "argoproj.io", "terraformcloud.dev"];
/// The recommended labels of Kubernetes: these are allowed.
pub const ALLOWED_LABEL_DOMAIN: &str = "app.kubernetes.io";
