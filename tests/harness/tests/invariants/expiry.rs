use tfc_harness::invariants::{Invariant::Expiry, Mint, check};

use crate::story::Story;

#[test]
fn each_mint_sends_an_expiry() {
    Story::issued().holds();
    let mut story = Story::of("shop", "users/u");
    story.begins("shop", "a1");
    let mint = Mint { expiry: None, ..story.mint("shop", "a1", "at-1") };
    story.sends(mint);
    let found = check(&story.history);
    assert!(found.iter().any(|v| v.invariant == Expiry && v.token.as_deref() == Some("at-1")), "{found:?}");
}
