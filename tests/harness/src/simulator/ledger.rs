//! A handle on a running simulator, for who writes down what happened.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

use super::http::Shared;
use super::log::Call;
use super::tokens::TokenView;

/// Gives the number of the last thing that happened elsewhere; `None` where that can't be found out.
pub type Stamper = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<u64>> + Send>> + Send + Sync>;

/// A handle on a running simulator. It outlives it: what happened stays readable.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// From now on each call is stamped when the server has acted and before it replies: whatever has a higher number came after.
    pub fn stamp_with(&self, stamper: Stamper) {
        self.shared.stamp_with(stamper);
    }

    /// Every call so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.core().log.since(0).cloned().collect()
    }

    /// How many calls came in so far.
    pub fn call_count(&self) -> u64 {
        self.shared.core().log.count()
    }

    /// Every token ever made, oldest first.
    pub fn tokens(&self) -> Vec<TokenView> {
        let core = self.shared.core();
        let now = core.now();
        core.state.tokens.iter().map(|token| token.view(now)).collect()
    }

    /// The time on the simulator's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.core().now()
    }

    /// The id of the token with this value, dead or alive.
    pub fn token_id_of_value(&self, value: &str) -> Option<String> {
        let core = self.shared.core();
        core.state.tokens.of_value(value).map(|serial| core.state.tokens.get(serial).id.clone())
    }

    /// Ids of the tokens of whose value a part stands in the text, plain or in base64.
    pub fn traced_in(&self, text: &str) -> Vec<String> {
        self.shared.core().state.tokens.traced_in(text).map(|token| token.id.clone()).collect()
    }
}
