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
/// Annotation on a role, or on a config for all its roles: a successor at once, then every predecessor is revoked at once.
pub const ANNOTATION_REVOKE: &str = "terraformcloud.dev/revoke";
/// Annotation on a config: give up on tokens whose revocation can't be proven.
pub const ANNOTATION_ABANDON_UNPROVEN: &str = "terraformcloud.dev/abandon-unproven";

/// Annotation on a Secret of ours: the record of what it holds (one versioned JSON object).
pub const ANNOTATION_RECORD: &str = "terraformcloud.dev/record";
/// Annotation on a Secret of ours: a slot's mint is about to happen (attempt, requested expiry, the slot's token before).
pub const ANNOTATION_PENDING: &str = "terraformcloud.dev/pending";
/// Annotation on a Secret of ours: changed so that a late write finds its resourceVersion stale.
pub const ANNOTATION_FENCE: &str = "terraformcloud.dev/fence";
/// Annotation on a slot's Lease: namespace and name of the role that holds the slot.
pub const ANNOTATION_HOLDER: &str = "terraformcloud.dev/holder";

/// Label of every Secret of ours, and of a slot's Lease.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label on a Secret of ours: the role's name.
pub const LABEL_ROLE: &str = "terraformcloud.dev/role";
