//! The closed lists of reasons: name, value of `Ready`, meaning and mend stand once, here. `docs/reasons.md` is made of them.

use std::fmt;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident: $ready:literal, $meaning:literal, $mend:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)*
        }

        impl $name {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that stands in the condition.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// What `Ready` is with this reason, for the documentation.
            pub const fn ready(self) -> &'static str {
                match self { $(Self::$variant => $ready,)* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What to do about it, in a sentence.
            pub const fn mend(self) -> &'static str {
                match self { $(Self::$variant => $mend,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why a role's `Ready` is what it is.
    RoleReason {
        Issued: "True",
            "The Secret holds a live token.",
            "Nothing.";
        IssuedClamped: "True",
            "The Secret holds a live token, with a shorter life than the role asks for.",
            "Nothing; or lower the role's `ttl` and `maxTTL`, or have the config's `maxTTL` raised.";
        Issuing: "False",
            "The first token is on its way.",
            "Wait; if it stays, read the message.";
        Expired: "False",
            "The lease is over and `renewal` is `Never`: the token is revoked and the Secret holds none.",
            "Set the annotation `terraformcloud.dev/rotate` to a new value when a token is wanted again.";
        Suspended: "True while the Secret holds a live token, else False",
            "`suspend` is set: nothing is minted, rotated or revoked.",
            "Set `suspend: false` when the work may go on.";
        ConfigNotAvailable: "False",
            "The config does not exist, or does not admit this role.",
            "Check `configRef`; ask the config's owner for an entry in its `allow`.";
        ConfigNotReady: "False",
            "The config can't be used at the moment.",
            "Ask the config's owner to look at its conditions; the role goes on by itself afterwards.";
        SlotOccupied: "False",
            "The single slot holds a token that is not this role's; minting would kill it.",
            "Find out who uses that token; then delete it in TFC, or set `slot: {ifOccupied: Replace}`.";
        WouldRevokeOwnToken: "False",
            "Minting would revoke the operator's own admin token.",
            "Give the config the token of a user, or ask for another subject.";
        Conflict: "False",
            "Another role holds the same single slot; the message names it where it may be seen.",
            "Delete one of the two roles, and share the Secret of the other.";
        TakenOver: "False",
            "Someone else has replaced the token in the single slot.",
            "Make sure that one party alone uses the slot; then set `terraformcloud.dev/rotate` to a new value.";
        SecretConflict: "False",
            "A Secret of that name exists and is not this role's.",
            "Delete that Secret, or create the role anew with another `secret.name`.";
        SecretRefused: "False",
            "The API server refuses the Secret for good: a quota, an immutable Secret, or an admission webhook.",
            "Remove what the message names; the role tries again by itself.";
        Restarting: "True",
            "The Secret holds a live token, and workloads that read it when they start are being restarted with it.",
            "Wait; if it stays, look at the workload that the message names. After ten minutes it is waited for no longer.";
        MissingPermission: "True while the Secret is known to hold a live token, else False",
            "The operator may not do what it has to do for this role; the message names verb, resource and namespace.",
            "Ask who runs the operator to grant it: the message names the chart's value that does.";
        Rejected: "False",
            "TFC refuses the request; the message has its words.",
            "Correct what the message names.";
        NotPermitted: "False",
            "The config's account may not do this, or TFC hides the subject from it.",
            "Check the subject's id or name; give the config's account the permission to manage its tokens.";
        Unreachable: "False",
            "TFC is out of reach; the message says how.",
            "Check network, proxy and TFC's status; the role tries again by itself.";
        Limited: "False",
            "TFC's rate limit is used up.",
            "Wait; if it stays, give fewer roles to one account, or lengthen their `ttl`.";
        TooManyPredecessors: "True while the Secret holds a live token, else False",
            "Eight former tokens still live, so the rotation waits until one of them is gone.",
            "Wait, shorten `overlap`, or revoke them with the annotation `terraformcloud.dev/revoke`.";
        RevocationUnproven: "False",
            "A token may still live, and its revocation can't be proven.",
            "Give the config's account a look at the subject again; else it ends with the token's own expiry, or \
             with `terraformcloud.dev/abandon-unproven` on the config.";
        Uninstalled: "False",
            "The operator was uninstalled, and has revoked the role's tokens; nobody serves the role.",
            "Install the operator again, which serves it at once; or delete the role.";
        Revoking: "False",
            "The role is being deleted, and its tokens are being revoked.",
            "Wait; if it stays, read the message.";
    }
}

reasons! {
    /// Why a config's `Ready` is what it is.
    ConfigReason {
        Authenticated: "True",
            "TFC accepts the token.",
            "Nothing.";
        Unauthorized: "False",
            "TFC refuses the token.",
            "Put a live token into the Secret that `tokenSecretRef` names.";
        Unreachable: "False",
            "TFC is out of reach; the message says how.",
            "Check `address`, network, proxy and, for a private CA, `caBundleRef`.";
        SecretNotFound: "False",
            "The Secret that `tokenSecretRef` names does not exist.",
            "Create it in the config's namespace, or correct `tokenSecretRef.name`.";
        KeyNotFound: "False",
            "The Secret lacks the key, or what stands there is no token.",
            "Put the token under the key that `tokenSecretRef.key` names (default `token`).";
        InvalidCABundle: "False",
            "The CA bundle is missing, or is none.",
            "Put certificates in PEM under the key that `caBundleRef` names.";
        MissingPermission: "True where it hinders entries of `allow` alone, else False",
            "The operator may not do what it has to do for this config; the message names verb, resource and namespace.",
            "Grant it: the message names the chart's value that does.";
        AddressNotAllowed: "False",
            "The operator's `--allowed-addresses` does not hold the address.",
            "Ask who runs the operator to allow it, or create a config with another address.";
        InsecureAddress: "False",
            "The address is http, and the operator runs without `--insecure-allow-http`.",
            "Create a config with an https address.";
        InUse: "False",
            "It is being deleted, and roles depend on it; the message names them.",
            "Delete those roles; the config goes when the last of them is gone.";
    }
}

/// The table of both lists, in Markdown: what `docs/reasons.md` holds.
pub fn reasons_table() -> String {
    let mut page = String::from(
        "# Reasons\n\n\
         The closed list of reasons in the conditions of both kinds.\n\n\
         `Ready` is always there. While a role's Secret holds a live token `Ready` stays `True`, and what hinders the next token shows beside \
         it: in `Reconciling` where the operator goes on by itself, in `Stalled` where a person must act. Where it holds none, `Ready` is `False` \
         with that reason. Both are there only while they are true.\n\n\
         Made from `src/api/reasons.rs` by `make generate`.\n",
    );
    let row = |reason: &str, ready: &str, meaning: &str, mend: &str| {
        format!("| `{reason}` | {ready} | {meaning} | {mend} |\n")
    };
    let head = "| Reason | Ready | What it means | What to do |\n| --- | --- | --- | --- |\n";
    page += &format!("\n## TerraformCloudRole\n\n{head}");
    page.extend(RoleReason::ALL.iter().map(|r| row(r.as_str(), r.ready(), r.meaning(), r.mend())));
    page += &format!("\n## TerraformCloudConfig\n\n{head}");
    page.extend(ConfigReason::ALL.iter().map(|r| row(r.as_str(), r.ready(), r.meaning(), r.mend())));
    page
}
