//! The rules of the protocol that are kept in acting. Each can be broken, to see that its absence is noticed.
//!
//! Not among them: that the Secret is read after the role, and once more before a revocation. The planner guards the same a third time
//! (a former token whose time has come is adopted no more), so that no history breaks without both.

/// A rule, as the models of the design name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The intent is written before the mint.
    Intent,
    /// What stands in the Secret has won: a lost record never revokes.
    CommitPoint,
    /// An unknown token is revoked only after a write to the Secret.
    Fence,
    /// Who lost a write of the Secret reads it before he revokes.
    LoserReads,
    /// What may still be created is not revoked.
    SettleCreate,
    /// Nothing is looked for before the settling time is over.
    Settle,
    /// An attempt's name is never used twice.
    RandomAttempts,
    /// An attempt of unknown fate is kept.
    Unsettled,
    /// A slot's loser does not delete it.
    NoRevoke,
    /// What the Secret's write would meet is found out before a slot's mint.
    Rehearse,
    /// A slot's loser reads the Secret before the slot.
    SecretThenSlot,
    /// A mint is sent soon after its intent.
    Prompt,
}

#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub broken: Vec<Rule>,
}

impl Rules {
    pub fn breaks(&self, rule: Rule) -> bool {
        self.broken.contains(&rule)
    }
}
